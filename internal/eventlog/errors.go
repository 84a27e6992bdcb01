package eventlog

import (
	"errors"
	"fmt"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

var (
	// ErrFull says that a session has stored as much as it may.
	ErrFull = errors.New("too much is stored of the streams of this session")
	// ErrLost says that an event or stream is not, or no longer, in the log.
	ErrLost = errors.New("event is not in the log")
	// ErrEnded says that a stream has ended: nothing can be added to it.
	ErrEnded = errors.New("stream has ended")
	// ErrFenced says that a stream is written by another instance.
	ErrFenced = errors.New("stream has another writer")

	errLate        = errors.New("its writer has appended something since")
	errNewerReader = errors.New("a newer connection reads the stream")
	errClientGone  = errors.New("the client has gone")
	errMalformedID = errors.New("malformed event id")
)

// statusError returns the error for the status that a script returned.
func statusError(status string) error {
	switch status {
	case "ok":
		return nil
	case "gone":
		return sessionstore.ErrNotFound
	case "lost":
		return ErrLost
	case "ended":
		return ErrEnded
	case "fenced":
		return ErrFenced
	case "full":
		return ErrFull
	case "late":
		return redisx.Unavailable("append event", errLate)
	default:
		return fmt.Errorf("unknown status %q of a stream script", status)
	}
}
