package sessionstore_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// writeStreams writes what package eventlog would: a standalone stream, one
// open and one ended call stream.
func writeStreams(t *testing.T, c rueidis.Client, sp rediskeys.Space, id string) {
	t.Helper()
	do(t, c, "ZADD", sp.OpenStreams(id), "1", "open")
	do(t, c, "ZADD", sp.EndedStreams(id), "1", "ended")
	for _, stream := range []string{rediskeys.Standalone, "open", "ended"} {
		do(t, c, "HSET", sp.Stream(id, stream), "next", "12")
		do(t, c, "RPUSH", sp.Log(id, stream), "event")
	}
}

func TestDeleteLeavesNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		opts := &sessionstore.Options{Prefix: prefix, SessionsPerUser: 2}
		store, other := storeOf(t, c, opts), newStore(t, s, opts)
		id, bystander := create(t, store, sessionstore.Record{Owner: "o"}), create(t, store, sessionstore.Record{})
		before := len(redistest.Keys(t, c, prefix))
		if before != 3 {
			t.Fatalf("%d keys, want 3", before)
		}
		for range 2 {
			if _, err := store.Load(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := valuesOf[int](store, "n").CompareAndSet(t.Context(), id, 0, 1); err != nil {
			t.Fatal(err)
		}
		sp := space(t, prefix)
		writeStreams(t, c, sp, id)
		// More streams than one command deletes.
		for i := range 600 {
			name := "s" + strconv.Itoa(i)
			do(t, c, "ZADD", sp.EndedStreams(id), "1", name)
			do(t, c, "RPUSH", sp.Log(id, name), "event")
		}

		if err := other.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		left := redistest.Keys(t, c, prefix)
		if len(left) != 1 || left[0].Name != sp.Session(bystander) {
			t.Errorf("left behind: %v", left)
		}
		for name, call := range everyCall(t, other) {
			wantErr(t, name+" after Delete", call(id), sessionstore.ErrNotFound)
		}
	})
}

// What is written while a session is deleted must not bring any of its keys
// back, or they would stay without an owner until they expire.
func TestDeletionBeatsRacingChanges(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		opts := &sessionstore.Options{Prefix: prefix, SessionsPerUser: 100}
		deleter, racer := storeOf(t, c, opts), newStore(t, s, opts)
		for range 20 {
			id := create(t, deleter, sessionstore.Record{Owner: "o"})
			raceUntilGone(t, racer, id, func() {
				if err := deleter.Delete(t.Context(), id); err != nil {
					t.Error(err)
				}
			})
		}
		if left := redistest.Keys(t, c, prefix); len(left) != 0 {
			t.Errorf("brought back: %v", left)
		}
	})
}

// raceUntilGone runs end while every other call runs again and again, each
// until it says that the session is gone.
func raceUntilGone(t *testing.T, store *sessionstore.Store, id string, end func()) {
	t.Helper()
	var started, done sync.WaitGroup
	for name, call := range everyCall(t, store) {
		if name == "Delete" || name == "Load" {
			continue
		}
		started.Add(1)
		done.Go(func() {
			for i := 0; ; i++ {
				err := call(id)
				if i == 0 {
					started.Done()
				}
				if errors.Is(err, sessionstore.ErrNotFound) {
					return
				}
				if err != nil && !errors.Is(err, sessionstore.ErrConflict) && !errors.Is(err, sessionstore.ErrNegotiated) {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	started.Wait()
	end()
	done.Wait()
}
