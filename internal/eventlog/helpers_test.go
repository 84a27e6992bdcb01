package eventlog

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A rig is a Redis with a session store and the logs of its streams.
type rig struct {
	client rueidis.Client
	prefix string
	keys   rediskeys.Space
	store  *sessionstore.Store
	log    *Log
}

func newRig(t testing.TB, client rueidis.Client, opts Options) *rig {
	t.Helper()
	prefix := redistest.NewPrefix()
	store, err := sessionstore.NewStore(&sessionstore.Options{Redis: client, Prefix: prefix, SessionTTL: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	space, err := rediskeys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{client, prefix, space, store, New(redisx.New(client, 0), space, opts)}
}

func beginSession(t testing.TB, store *sessionstore.Store) string {
	t.Helper()
	r, err := store.Create(t.Context(), sessionstore.Record{
		InitializeParams: json.RawMessage(`{}`), ProtocolVersion: "2025-11-25", Initialized: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// newOpening describes a stream written by "w" and read by "r/1".
func newOpening(session string) Opening {
	call := json.RawMessage(`1`)
	return Opening{Stream: StreamID{session, NewCallStream(call)}, Nonce: NewNonce(), Writer: "w", Reader: "r/1", Call: call}
}

// open begins a stream written by "w" and read by "r/1".
func (r *rig) open(t testing.TB, session string) StreamID {
	t.Helper()
	o := newOpening(session)
	if _, err := r.log.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o.Stream
}

// append adds an event to a stream of "w", or to the standalone one.
func (r *rig) append(t testing.TB, id StreamID, data string) ID {
	t.Helper()
	a := Append{Nonce: NewNonce(), Data: []byte(data)}
	if !IsStandalone(id.Stream) {
		a.Writer = "w"
	}
	e, _, err := r.log.Append(t.Context(), id, a)
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

func (r *rig) end(t testing.TB, id StreamID) {
	t.Helper()
	if _, _, err := r.log.Append(t.Context(), id, Append{Writer: "w", End: true}); err != nil {
		t.Fatal(err)
	}
}

// do runs one command, past everything.
func (r *rig) do(t testing.TB, args ...string) rueidis.RedisResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// The key is the second word of all commands that tests use.
	return r.client.Do(ctx, r.client.B().Arbitrary(args[0]).Keys(args[1]).Args(args[2:]...).Build())
}

// loseTail does to a log what the failover to a replica does that had not yet
// received the last events.
func (r *rig) loseTail(t testing.TB, id StreamID, events int) {
	t.Helper()
	for range events {
		if err := r.do(t, "RPOP", r.keys.Log(id.Session, id.Stream)).Error(); err != nil {
			t.Fatal(err)
		}
		if err := r.do(t, "HINCRBY", r.keys.Stream(id.Session, id.Stream), "next", "-1").Error(); err != nil {
			t.Fatal(err)
		}
	}
}

func datas(events []Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = string(e.Data)
	}
	return out
}
