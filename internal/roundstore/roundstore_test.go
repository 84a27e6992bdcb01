package roundstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/roundstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// What one instance notes, others find; of a call of which nothing is noted, nothing.
func TestACallsRecordIsFoundByEveryInstance(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		a, b := newStores(t, s)
		w := newWaiting(t, a, true)
		if diff := cmp.Diff(w.record, load(t, b, w.run.Call)); diff != "" {
			t.Error(diff)
		}
		next := w.record
		next.Round, next.Asks = roundstore.NewState(w.run.Call).Hash(), []roundstore.Question{{Key: "roots-2", ID: "other#1"}}
		open(t, a, w.run, false, next)
		if diff := cmp.Diff(next, load(t, b, w.run.Call)); diff != "" {
			t.Error(diff)
		}
		if ok := a.End(t.Context(), w.run); ok != nil {
			t.Fatal(ok)
		}
		if diff := cmp.Diff(roundstore.Record{}, load(t, b, w.run.Call)); diff != "" {
			t.Error(diff)
		}
	})
}

// A dead instance's call is taken over once, however many try, with all its answers;
// the same try may be repeated.
func TestACallIsTakenOverOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		a, b := newStores(t, s)
		ctx := t.Context()
		w := newWaiting(t, a, true)
		if ok, err := a.Answer(ctx, w.run, map[string]json.RawMessage{"digest#1": json.RawMessage(`{"n":1}`)}); err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
		second := w.record
		state := roundstore.NewState(w.run.Call)
		second.Round = state.Hash()
		open(t, a, w.run, false, second)
		given := map[string]json.RawMessage{"digest#2": json.RawMessage(`{"n":2}`)}
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				store, try := []*roundstore.Store{a, b}[i%2], fmt.Sprint("try ", i)
				run, all, err := store.Adopt(ctx, try, state, second, "heir", given)
				if err != nil {
					t.Error(err)
				}
				if run.Number == 0 {
					return
				}
				won.Add(1)
				again, allAgain, err := store.Adopt(ctx, try, state, second, "heir", given)
				if err != nil || again != run {
					t.Errorf("the try once more: %v, %v, want %v", again, err, run)
				}
				want := map[string]json.RawMessage{"digest#1": json.RawMessage(`{"n":1}`), "digest#2": json.RawMessage(`{"n":2}`)}
				if diff := cmp.Diff(want, all) + cmp.Diff(want, allAgain); diff != "" || run != (roundstore.Run{Call: w.run.Call, Number: 2}) {
					t.Errorf("%v %s", run, diff)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("taken over %d times", won.Load())
		}
	})
}

// Only a call that may be run again is taken over, of the instance, in the round and by
// whom it says.
func TestACallThatIsNotTakenOver(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		a, b := newStores(t, s)
		w, once := newWaiting(t, a, true), newWaiting(t, a, false)
		other := func(change func(*roundstore.Record)) roundstore.Record {
			r := w.record
			change(&r)
			return r
		}
		for name, test := range map[string]struct {
			state  roundstore.State
			record roundstore.Record
		}{
			"another's":          {w.state, other(func(r *roundstore.Record) { r.Claim = "other" })},
			"another instance's": {w.state, other(func(r *roundstore.Record) { r.Instance = "other" })},
			"another round":      {roundstore.NewState(w.run.Call), w.record},
			"unknown":            {roundstore.NewState(roundstore.NewCall()), w.record},
			"not repeatable":     {once.state, once.record},
		} {
			run, _, err := b.Adopt(t.Context(), name, test.state, test.record, "heir", nil)
			if err != nil || run.Number != 0 {
				t.Errorf("%s: %v, %v", name, run, err)
			}
		}
	})
}

// An instance that was taken for dead, and is back, writes nothing any more.
func TestARunThatWasTakenOverWritesNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		a, b := newStores(t, s)
		ctx := t.Context()
		w := newWaiting(t, a, true)
		run, _, err := b.Adopt(ctx, "try", w.state, w.record, "heir", nil)
		if err != nil || run.Number != 2 {
			t.Fatalf("%v, %v", run, err)
		}
		of := w.record
		of.Instance = "heir"
		open(t, b, run, false, of)
		if ok, err := a.Open(ctx, w.run, false, w.record); err != nil || ok {
			t.Errorf("opened a round: %v, %v", ok, err)
		}
		if ok, err := a.Answer(ctx, w.run, map[string]json.RawMessage{"x": nil}); err != nil || ok {
			t.Errorf("kept answers: %v, %v", ok, err)
		}
		if err := a.End(ctx, w.run); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(of, load(t, a, w.run.Call)); diff != "" {
			t.Error(diff)
		}
	})
}

// A call whose answers are lost, or are too large, is not run again: it would ask what
// it has asked.
func TestACallWhoseAnswersAreNotKeptIsNotRunAgain(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		a, b := newStores(t, s)
		ctx := t.Context()
		for name, lose := range map[string]func(w waiting) error{
			"lost": func(w waiting) error { return a.End(ctx, w.run) },
			"too large": func(w waiting) error {
				ok, err := a.Answer(ctx, w.run, map[string]json.RawMessage{"x": json.RawMessage(`"` + strings.Repeat("x", most) + `"`)})
				if !ok {
					t.Error("the call has been taken over")
				}
				return err
			},
		} {
			w := newWaiting(t, a, true)
			// The same answer again counts once.
			for range 3 {
				if ok, err := a.Answer(ctx, w.run, map[string]json.RawMessage{"y": json.RawMessage(`"` + strings.Repeat("y", most/2) + `"`)}); err != nil || !ok {
					t.Fatalf("%v, %v", ok, err)
				}
			}
			if !load(t, b, w.run.Call).Again {
				t.Fatalf("%s: too early", name)
			}
			if err := lose(w); err != nil {
				t.Fatal(err)
			}
			open(t, a, w.run, false, w.record)
			if load(t, b, w.run.Call).Again {
				t.Errorf("%s: the call may be run again", name)
			}
		}
	})
}

// Every record has a time to live, which each write renews.
func TestEveryRecordExpires(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		client, prefix := s.Client(t), redistest.NewPrefix()
		a := storeOf(t, client, prefix)
		w := newWaiting(t, a, true)
		check := func(what string) {
			t.Helper()
			for _, key := range redistest.AssertTTLs(t, client, prefix) {
				if key.TTL > keep || key.TTL < keep-keep/10 {
					t.Errorf("%s: %s lives %v", what, key.Name, key.TTL)
				}
			}
		}
		check("opened")
		if _, err := a.Answer(context.Background(), w.run, map[string]json.RawMessage{"x": json.RawMessage(`1`)}); err != nil {
			t.Fatal(err)
		}
		check("answered")
		if _, _, err := a.Adopt(context.Background(), "try", w.state, w.record, "heir", nil); err != nil {
			t.Fatal(err)
		}
		check("taken over")
	})
}
