package sdkcompat

import (
	"runtime"
	"strings"
	"sync/atomic"
)

// The SDK does not tell a connection that has ended of what is sent in its session
// afterwards: it returns an error, with the text of the error that Read returned.
//
// Seen in: v1.8.0.
// Here: that error notices when its text is asked for.
// Test: TestASessionThatHasEndedAsksForTheErrorsText.

// An Ended is the error that Read of a connection returns at its end. Its zero value
// is none; Err must be set, and Used if that is of interest.
type Ended struct {
	Err error
	// Used is called when something is sent in the session after [Ended.Close]. It
	// must not block.
	Used func()

	closed atomic.Bool
}

// Close is to be called when the SDK closes the connection.
func (e *Ended) Close() { e.closed.Store(true) }

// Error implements error.
func (e *Ended) Error() string {
	if e.closed.Load() && e.Used != nil && !calledBySDK() {
		e.Used()
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *Ended) Unwrap() error { return e.Err }

// calledBySDK reports whether the SDK itself uses a session that has just ended: to
// tell it of changes, or to ping it.
func calledBySDK() bool {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if strings.Contains(frame.Function, "mcp.notifySessions") || strings.Contains(frame.Function, "startKeepalive") {
			return true
		}
	}
	return false
}
