//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// operationID is the raw id of the call of startOperation.
const operationID = `"operation"`

// operation is the request of a call that says how far it is, in steps.
func operation(seconds float64, steps int) string {
	return fleettest.Request("operation", "tools/call", operationParams(seconds, steps))
}

func operationParams(seconds float64, steps int) string {
	return fmt.Sprintf(`{"name":"longRunningOperation","arguments":{"duration":%g,"steps":%d},"_meta":{"progressToken":"steps"}}`, seconds, steps)
}

// startOperation calls a tool that takes a while, and returns once it streams.
func startOperation(t testing.TB, c *fleettest.Client, seconds float64, steps int) *fleettest.Stream {
	t.Helper()
	s := fleettest.NewStream(c.Post(t, operation(seconds, steps)))
	if m := s.Message(t); m.Method != "notifications/progress" {
		t.Fatalf("the call begins with %s%s", m.Result, m.Error)
	}
	return s
}

// patience is how long tests wait for anything. It is ten times the longest
// time in which something is promised, the answer to a call whose process died.
const patience = 10 * 15 * time.Second

// receive returns what comes through a channel.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came for %v", patience)
		panic("not reached")
	}
}

// until waits until done reports true.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %v: %s", patience, what)
		}
	}
}

// response returns the next response on a stream.
func response(t testing.TB, s *fleettest.Stream) *jsonrpcmsg.Message {
	t.Helper()
	for {
		if m := s.Message(t); m.IsResponse() {
			return m
		}
	}
}

// step returns how far an operation says it is.
func step(t testing.TB, m *jsonrpcmsg.Message) int {
	t.Helper()
	n, err := stepOf(m)
	must(t, err)
	return n
}

// stepOf is step for goroutines.
func stepOf(m *jsonrpcmsg.Message) (int, error) {
	var p struct{ Progress int }
	if err := json.Unmarshal(m.Params, &p); err != nil || m.Method != "notifications/progress" {
		return 0, fmt.Errorf("not a step: %s%s%s", m.Method, m.Result, m.Error)
	}
	return p.Progress, nil
}
