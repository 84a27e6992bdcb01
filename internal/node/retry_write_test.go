package node

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// sayings are the ways in which an instance, the first of a fleet, tells others
// something, each with one call to Redis.
func sayings(f *fleet, sid string) map[string]func(ctx context.Context) error {
	n, other := f.nodes[0], f.nodes[1]
	return map[string]func(ctx context.Context) error{
		"an update":            func(ctx context.Context) error { return n.Publisher().ResourceUpdated(ctx, "a:b") },
		"a changed list":       func(ctx context.Context) error { return n.Publisher().ListChanged(ctx, "tools") },
		"a cancellation":       func(ctx context.Context) error { return n.Cancel(ctx, sid, json.RawMessage(`1`)) },
		"the end of a session": func(ctx context.Context) error { return n.End(ctx, sessionstore.NewID()) },
		"a notification":       func(ctx context.Context) error { return n.Publisher().Notify(ctx, sid, "notifications/note", nil) },
		"a response": func(ctx context.Context) error {
			name, _ := json.Marshal(other.ID() + ".1.1")
			return n.ForwardResponse(ctx, sid, &jsonrpcmsg.Message{ID: name, Result: json.RawMessage(`{}`)})
		},
	}
}

// What is tried more than once takes no longer than one try (design D13).
func TestNobodyWaitsForAFrozenRedisLongerThanTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		for what, say := range sayings(f, beginSession(t, f.store)) {
			if err := say(t.Context()); err != nil { // Redis knows the script
				t.Errorf("%s: %v", what, err)
			}
			f.links[0].Freeze()
			start := time.Now()
			if err := say(t.Context()); !errors.Is(err, sessionstore.ErrUnavailable) {
				t.Errorf("%s over a frozen link: %v", what, err)
			}
			if took := time.Since(start); took != redisx.DefaultTimeout {
				t.Errorf("%s took %v", what, took)
			}
			f.links[0].Heal()
			time.Sleep(time.Second)
		}
	})
}

// Connections that break, under a message and before, do not lose it: it is tried
// again, in what is left of the time.
func TestAMessageWhoseConnectionBreaksIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		for what, say := range sayings(f, beginSession(t, f.store)) {
			for again, want := range map[string]error{"reachable": nil, "frozen": sessionstore.ErrUnavailable} {
				if err := say(t.Context()); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				f.links[0].Freeze()
				time.AfterFunc(redisx.DefaultTimeout/2, func() {
					f.links[0].Cut()
					f.links[0].Heal()
					if again == "frozen" {
						f.links[0].Freeze()
					}
				})
				start := time.Now()
				if err := say(t.Context()); !errors.Is(err, want) {
					t.Errorf("%s over a connection that breaks, Redis then being %s: %v", what, again, err)
				}
				if took := time.Since(start); took > redisx.DefaultTimeout {
					t.Errorf("%s, Redis then being %s, took %v", what, again, took)
				}
				f.links[0].Heal()
				time.Sleep(5 * time.Second)
			}
		}
	})
}
