package sessionstore_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestAnOwnerHasOnlySoManySessions(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := s.Prefix(t)
		store := newStore(t, s, &sessionstore.Options{Prefix: prefix, SessionsPerUser: 3})
		var created, refused atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := store.Create(t.Context(), sessionstore.Record{Owner: "alice"})
				if err == nil {
					created.Add(1)
					return
				}
				refused.Add(1)
				wantErr(t, "one session too many", err, sessionstore.ErrTooMany)
			})
		}
		wg.Wait()
		if created.Load() != 3 || refused.Load() != 17 {
			t.Errorf("%d created and %d refused, want 3 and 17", created.Load(), refused.Load())
		}
		create(t, store, sessionstore.Record{Owner: "bob"})
		for range 10 {
			create(t, store, sessionstore.Record{})
		}
		keys, records := redistest.Keys(t, s.Client(t), prefix), 0
		for _, k := range keys {
			if strings.HasSuffix(k.Name, ":session") {
				records++
			}
		}
		if records != 14 {
			t.Errorf("there are %d records, want 14: what was refused is gone", records)
		}
		for _, k := range keys {
			if strings.Contains(k.Name, "alice") {
				t.Errorf("key %s names its owner", k.Name)
			}
		}
	})
}

func TestADeletedSessionGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		store := newStore(t, s, &sessionstore.Options{Prefix: s.Prefix(t), SessionsPerUser: 1})
		for range 3 {
			id := create(t, store, sessionstore.Record{Owner: "o"})
			_, err := store.Create(t.Context(), sessionstore.Record{Owner: "o"})
			wantErr(t, "second session", err, sessionstore.ErrTooMany)
			if err := store.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestASessionThatWasNotCreatedGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		store := newStore(t, s, &sessionstore.Options{Prefix: s.Prefix(t), SessionsPerUser: 1})
		id := create(t, store, sessionstore.Record{})
		_, err := store.Create(t.Context(), sessionstore.Record{ID: id, Owner: "o"})
		wantErr(t, "create again", err, sessionstore.ErrExists)
		create(t, store, sessionstore.Record{Owner: "o"})
	})
}

func TestPlacesFollowTheLivesOfSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		store := storeOf(t, b.Client(t), &sessionstore.Options{SessionTTL: time.Minute, SessionsPerUser: 2})
		used := create(t, store, sessionstore.Record{Owner: "o"})
		create(t, store, sessionstore.Record{Owner: "o"}) // and never used
		for range 4 {
			_, err := store.Create(t.Context(), sessionstore.Record{Owner: "o"})
			wantErr(t, "third session", err, sessionstore.ErrTooMany)
			time.Sleep(store.TouchEvery())
			mustTouch(t, store, used)
		}
		time.Sleep(store.TouchEvery())
		// The unused one has expired, the used one has not.
		create(t, store, sessionstore.Record{Owner: "o"})
		_, err := store.Create(t.Context(), sessionstore.Record{Owner: "o"})
		wantErr(t, "third session again", err, sessionstore.ErrTooMany)
		if places, err := b.ZMembers(space(t, "mcp").OwnerSessions("o")); len(places) != 2 || err != nil {
			t.Errorf("places %v are kept, want 2; %v", places, err)
		}
	})
}

func TestTouchDoesNotBringAPlaceBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		store := storeOf(t, c, &sessionstore.Options{Prefix: prefix, SessionsPerUser: 2})
		id := create(t, store, sessionstore.Record{Owner: "o"})
		do(t, c, "DEL", space(t, prefix).OwnerSessions("o"))
		mustTouch(t, store, id)
		if found := redistest.AssertTTLs(t, c, prefix); len(found) != 1 {
			t.Errorf("keys %v, want the record alone", found)
		}
	})
}
