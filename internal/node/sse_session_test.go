package node

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// An instance may have lost an SSE session's stream and, for want of Redis,
// not have ended the session. Whoever begins a call of it finds out.
func TestACallForAStreamThatHasGoneEndsTheSSESession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		req := Request{Session: sid, Message: decode(t, []byte(toolCall("7")))}
		if err := f.nodes[0].Relay(t.Context(), StreamOwner{f.nodes[1].ID() + "/gone"}, &req); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := f.store.LoadFresh(t.Context(), sid); !errors.Is(err, sessionstore.ErrNotFound) {
			t.Errorf("the session: %v", err)
		}
	})
}

// After an outage of all, instances come back one after the other: the stream of
// an SSE session does not end because its call's instance is not the first.
func TestAnSSEStreamOutlivesAnOutageThatLastsLongerElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec, v, owner := f.sseSession(t)
		called := f.accept(t, f.nodes[1], speaker(t, 2*time.Minute), rec.ID, toolCall("7"), func(req *Request) {
			if err := f.nodes[1].Relay(t.Context(), owner, req); err != nil {
				t.Fatal(err)
			}
		})
		time.Sleep(10 * time.Second)
		f.links[0].Cut()
		f.links[1].Cut()
		time.Sleep(20 * time.Second)
		f.links[0].Heal()
		time.Sleep(inboxTTL)
		f.links[1].Heal()
		for {
			m := v.message(t)
			if m.IsResponse() {
				if textOf(t, m) != "done" {
					t.Errorf("answered with %s", m.Error)
				}
				break
			}
		}
		<-called.conn.Done()
		v.hangUp()
	})
}

// The stream of an SSE session does not wait for a call that an instance took
// on and, because it left at that moment, did not run.
func TestACallThatALeavingInstanceDoesNotRunKeepsNoSSEStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec, v, owner := f.sseSession(t)
		req := Request{Session: rec.ID, Message: decode(t, []byte(toolCall("7")))}
		if err := f.nodes[1].Relay(t.Context(), owner, &req); err != nil {
			t.Fatal(err)
		}
		f.nodes[1].Close(t.Context())
		if _, err := f.nodes[1].Accept(req); !errors.Is(err, ErrClosed) {
			t.Fatalf("accepted: %v", err)
		}
		time.Sleep(time.Minute)
		if n := f.nodes[0].Streams(); n != 1 {
			t.Error("the stream has ended")
		}
		v.hangUp()
	})
}

// That a call has ended is told when Redis is back, if it was away at the time:
// the stream does not end with the instance that ran the call.
func TestTheOwnerOfAnSSEStreamLearnsOfACallThatEndedInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec, v, owner := f.sseSession(t)
		called := f.accept(t, f.nodes[1], speaker(t, time.Hour), rec.ID, toolCall("7"), func(req *Request) {
			if err := f.nodes[1].Relay(t.Context(), owner, req); err != nil {
				t.Fatal(err)
			}
		})
		v.message(t)
		f.links[1].Cut()
		called.conn.cancel()
		<-called.conn.Done()
		time.Sleep(time.Second)
		f.links[1].Heal()
		time.Sleep(10 * time.Second)
		f.nodes[1].Close(t.Context())
		time.Sleep(time.Minute)
		if n := f.nodes[0].Streams(); n != 1 {
			t.Error("the stream has ended")
		}
		v.hangUp()
	})
}

// sseSession begins a session whose stream is at the first instance, and returns what
// the second one knows of that.
func (f *fleet) sseSession(t *testing.T) (sessionstore.Record, *viewer, StreamOwner) {
	t.Helper()
	rec, err := f.store.Create(t.Context(), sessionstore.Record{
		InitializeParams: []byte(testParams), ProtocolVersion: "2024-11-05", Initialized: true, HTTPSSE: true, LogLevel: "info",
	})
	if err != nil {
		t.Fatal(err)
	}
	v := f.follow(t, f.nodes[0], rec, nil)
	owner, err := f.nodes[1].StreamOwner(t.Context(), rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	return rec, v, owner
}
