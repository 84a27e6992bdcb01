package sessionstore_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func wantSubscriptions(t *testing.T, store *sessionstore.Store, id string, want map[string]string) {
	t.Helper()
	got, err := store.Subscriptions(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(got)+len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("subscriptions (-want +got):\n" + diff)
	}
}

func subscribe(t *testing.T, store *sessionstore.Store, id, uri, position string) (reader string) {
	t.Helper()
	reader, err := store.Subscribe(t.Context(), id, uri, position)
	if err != nil {
		t.Fatalf("subscribe to %q: %v", uri, err)
	}
	return reader
}

func TestASubscriptionKeepsThePositionItBeganWith(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t)}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, mine, sessionstore.Record{})
		strange := "a{b}:\x00\r\n" + strings.Repeat("é", 100)
		wantSubscriptions(t, mine, id, nil)
		subscribe(t, mine, id, "a:b", "5-1")
		subscribe(t, other, id, "a:b", "9-0") // again
		subscribe(t, other, id, strange, "7-0")
		wantSubscriptions(t, other, id, map[string]string{"a:b": "5-1", strange: "7-0"})
		for range 2 { // to end what has ended is no error
			if _, err := other.Unsubscribe(t.Context(), id, "a:b"); err != nil {
				t.Fatal(err)
			}
		}
		wantSubscriptions(t, mine, id, map[string]string{strange: "7-0"})
		subscribe(t, other, id, "a:b", "9-0") // anew
		wantSubscriptions(t, mine, id, map[string]string{"a:b": "9-0", strange: "7-0"})
	})
}

func TestSubscribeReturnsWhoReadsTheStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c, prefix := s.Client(t), s.Prefix(t)
		store := storeOf(t, c, &sessionstore.Options{Prefix: prefix, MaxSubscriptions: 1})
		id := create(t, store, sessionstore.Record{})
		for _, reader := range []string{"", "i/1", "j/2", ""} {
			if reader != "" {
				do(t, c, "HSET", space(t, prefix).Stream(id, rediskeys.Standalone), "reader", reader)
			} else {
				do(t, c, "DEL", space(t, prefix).Stream(id, rediskeys.Standalone))
			}
			for range 2 { // the first, and again
				if got := subscribe(t, store, id, "a:b", "1-0"); got != reader {
					t.Errorf("Subscribe returns the reader %q, want %q", got, reader)
				}
			}
			if got, err := store.Unsubscribe(t.Context(), id, "a:b"); err != nil || got != reader {
				t.Errorf("Unsubscribe returns the reader %q, %v, want %q", got, err, reader)
			}
		}
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		store := newStore(t, s, &sessionstore.Options{Prefix: s.Prefix(t), MaxSubscriptions: 3})
		id, other := create(t, store, sessionstore.Record{}), create(t, store, sessionstore.Record{})
		largest := strings.Repeat("x", 8<<10)
		subscribe(t, store, id, largest, "1-0")
		_, err := store.Subscribe(t.Context(), id, largest+"x", "1-0")
		wantErr(t, "a URI that is too long", err, sessionstore.ErrTooLarge)
		subscribe(t, store, id, "a:1", "1-0")
		subscribe(t, store, id, "a:2", "1-0")
		_, err = store.Subscribe(t.Context(), id, "a:3", "1-0")
		wantErr(t, "one too many", err, sessionstore.ErrTooMany)
		subscribe(t, store, id, "a:2", "1-0") // is not one more
		subscribe(t, store, other, "a:3", "1-0")
		if _, err := store.Unsubscribe(t.Context(), id, largest); err != nil {
			t.Fatal(err)
		}
		subscribe(t, store, id, "a:3", "1-0")
	})
}

func TestTheBoundOfSubscriptionsHoldsForConcurrentCalls(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		const most = 10
		store := newStore(t, s, &sessionstore.Options{Prefix: s.Prefix(t), MaxSubscriptions: most})
		id := create(t, store, sessionstore.Record{})
		var wg sync.WaitGroup
		for i := range 4 * most {
			wg.Go(func() { _, _ = store.Subscribe(t.Context(), id, fmt.Sprint("a:", i), "1-0") })
		}
		wg.Wait()
		if subs, err := store.Subscriptions(t.Context(), id); err != nil || len(subs) != most {
			t.Errorf("%d subscriptions, %v, want %d", len(subs), err, most)
		}
	})
}

func TestSubscriptionsEndWithTheirSession(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c, prefix := s.Client(t), s.Prefix(t)
		store := storeOf(t, c, &sessionstore.Options{Prefix: prefix})
		id := create(t, store, sessionstore.Record{})
		subscribe(t, store, id, "a:b", "1-0")
		redistest.AssertTTLs(t, c, prefix)
		if err := store.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_, err := store.Subscribe(t.Context(), id, "a:b", "1-0")
		wantErr(t, "subscribe a session that has ended", err, sessionstore.ErrNotFound)
		wantSubscriptions(t, store, id, nil)
		if left := redistest.Keys(t, c, prefix); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestSubscriptionsLiveAsLongAsTheirSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := redistest.NewBubble(t).Client(t)
		store := storeOf(t, c, &sessionstore.Options{SessionTTL: time.Minute})
		id := create(t, store, sessionstore.Record{})
		time.Sleep(30 * time.Second)
		subscribe(t, store, id, "a:b", "1-0")
		for range 20 {
			time.Sleep(store.TouchEvery())
			mustTouch(t, store, id)
		}
		wantSubscriptions(t, store, id, map[string]string{"a:b": "1-0"})
		time.Sleep(5 * time.Minute)
		if left := redistest.Keys(t, c, "mcp"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestSubscriptionsOfNoSession(t *testing.T) {
	t.Parallel()
	store := newStore(t, redistest.NewMiniredis(t), nil)
	wantSubscriptions(t, store, sessionstore.NewID(), nil)
	_, err := store.Subscriptions(t.Context(), "*")
	wantErr(t, "what is no id", err, sessionstore.ErrNotFound)
}
