package roundstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/roundstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

const (
	keep = 10 * time.Minute
	most = 1000 // bytes of answers
)

// newStores returns stores of two instances of one fleet.
func newStores(t testing.TB, s *redistest.Server) (a, b *roundstore.Store) {
	t.Helper()
	keys, err := rediskeys.New(redistest.NewPrefix())
	if err != nil {
		t.Fatal(err)
	}
	return newStore(t, s.Client(t), keys), newStore(t, s.Client(t), keys)
}

func newStore(_ testing.TB, client rueidis.Client, keys rediskeys.Space) *roundstore.Store {
	return roundstore.New(redisx.New(client, 0), keys, keep, most)
}

// waiting is a call that waits for an answer to one question on the instance "dead".
type waiting struct {
	state  roundstore.State
	run    roundstore.Run
	record roundstore.Record
}

func newWaiting(t testing.TB, s *roundstore.Store, again bool) waiting {
	t.Helper()
	w := waiting{run: roundstore.Run{Call: roundstore.NewCall(), Number: 1}}
	w.state = roundstore.NewState(w.run.Call)
	w.record = roundstore.Record{
		Round: w.state.Hash(), Claim: "claim", Instance: "dead", Conn: "c", Again: again,
		Asks: []roundstore.Question{{Key: "elicit-1", ID: "digest#1"}},
	}
	open(t, s, w.run, true, w.record)
	return w
}

func open(t testing.TB, s *roundstore.Store, run roundstore.Run, first bool, r roundstore.Record) {
	t.Helper()
	if ok, err := s.Open(context.Background(), run, first, r); err != nil || !ok {
		t.Fatalf("not opened: %v, %v", ok, err)
	}
}

func load(t testing.TB, s *roundstore.Store, call string) roundstore.Record {
	t.Helper()
	r, err := s.Load(context.Background(), call)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func storeOf(t testing.TB, client rueidis.Client, prefix string) *roundstore.Store {
	t.Helper()
	keys, err := rediskeys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return newStore(t, client, keys)
}
