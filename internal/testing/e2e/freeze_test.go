//go:build unix

package e2e

import (
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// A frozen process cannot know that the fleet has taken it for dead. When it
// goes on it must not answer a second time, to nobody.
func TestFrozenProcessDoesNotRespondTwice(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3)
	frozen := f.process(0)
	client := begin(t, frozen.URL)
	// The operation outlasts the freeze, and has more to say when it is over.
	original := startOperation(t, client, 5, 50)
	resumedFrom := original.Last
	patient := startOperation(t, begin(t, frozen.URL), 5, 50)
	frozen.freeze()
	since := time.Now()
	stayed := collect(original) // the client keeps the old connection as well

	resumed := at(client, f.process(1)).Get(t, resumedFrom)
	last := response(t, resumed)
	t.Logf("the call was answered %v after the freeze: %s%s", time.Since(since).Round(10*time.Millisecond), last.Result, last.Error)
	if d, err := time.ParseDuration(os.Getenv("TEST_FREEZE")); err == nil {
		time.Sleep(time.Until(since.Add(d))) // how long is what this variable is for
	}
	frozen.thaw()

	answers := map[string]bool{resumed.Last: true}
	for _, e := range append(receive(t, stayed), receive(t, collect(resumed))...) {
		if m, err := jsonrpcmsg.Decode(e.Data); err == nil && m.IsResponse() {
			answers[e.ID] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("the client got %d responses: %v", len(answers), answers)
	}
	// A client that noticed nothing was not given up.
	if m := response(t, patient); m.Result == nil {
		t.Errorf("the call of a client that waited: %s", m.Error)
	}
	if more := receive(t, collect(patient)); len(more) > 0 {
		t.Errorf("behind the response: %v", more)
	}
	if rest := at(client, f.process(2)).Get(t, resumed.Last); rest.StatusCode != http.StatusNoContent {
		t.Errorf("behind the response: %s", rest.Status)
	}
	if m := at(client, frozen).CallTool(t, "echo", `{"message":"hi"}`); m.Error != nil {
		t.Errorf("the thawed process: %s", m.Error)
	}
}

// A process that is frozen for less than it takes to be given up goes on as if
// nothing had been.
func TestShortFreezeLosesNothing(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 2)
	frozen := f.process(0)
	client := begin(t, frozen.URL)
	original := startOperation(t, client, 2, 20)
	frozen.freeze()
	resumed := at(client, f.process(1)).Get(t, original.Last)
	original.Close()
	thaw := time.AfterFunc(2*time.Second, frozen.thaw)
	defer thaw.Stop()
	for want := 2; want <= 20; want++ {
		if got := step(t, resumed.Message(t)); got != want {
			t.Fatalf("step %d, want %d", got, want)
		}
	}
	if m := resumed.Message(t); m.Result == nil || string(m.ID) != operationID {
		t.Errorf("the call ended with id %s, error %s", m.ID, m.Error)
	}
}

// collect reads a stream to its end.
func collect(s *fleettest.Stream) <-chan []sse.Event {
	ch := make(chan []sse.Event, 1)
	go func() {
		var events []sse.Event
		for {
			e, err := s.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					events = append(events, sse.Event{Name: "error", Data: []byte(err.Error())})
				}
				ch <- events
				return
			}
			events = append(events, e)
		}
	}()
	return ch
}
