package transport

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/keys"
	"github.com/mcpfleet/mcpfleet/internal/rds"
	"github.com/mcpfleet/mcpfleet/internal/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

// A rig is a Redis with a session store and the logs of its streams, without
// any instance.
type rig struct {
	client rueidis.Client
	prefix string
	keys   keys.Space
	store  *session.Store
	log    *Log
}

func newRig(t testing.TB, client rueidis.Client, opts LogOptions) *rig {
	t.Helper()
	prefix := redistest.NewPrefix()
	store, err := session.NewStore(client, &session.Options{Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	space, err := keys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{client, prefix, space, store, &Log{rds.New(client, 0), space, opts.withDefaults()}}
}

// testParams are the initialize parameters of a client that can everything.
const testParams = `{"protocolVersion":"2025-11-25","capabilities":{"sampling":{},"elicitation":{},"roots":{}},"clientInfo":{"name":"test","version":"1"}}`

func beginSession(t testing.TB, store *session.Store) string {
	t.Helper()
	r, err := store.Create(t.Context(), session.Record{
		InitializeParams: json.RawMessage(testParams), ProtocolVersion: "2025-11-25", Initialized: true, LogLevel: "info",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// open begins a stream written by "w" and read by "r/1".
func (r *rig) open(t testing.TB, session string) StreamID {
	t.Helper()
	id := StreamID{session, newCallStream(json.RawMessage(`1`))}
	if _, err := r.log.Open(t.Context(), id, "w", "r/1", json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	return id
}

// append adds an event to a stream of "w", or to the standalone one.
func (r *rig) append(t testing.TB, id StreamID, data string) EventID {
	t.Helper()
	a := Append{Tag: newTag(), Data: []byte(data)}
	if !IsStandalone(id.Stream) {
		a.Writer = "w"
	}
	offset, _, err := r.log.Append(t.Context(), id, a)
	if err != nil {
		t.Fatal(err)
	}
	return EventID{id.Stream, offset, a.Tag}
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
