package sessionstore_test

import (
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// deaf makes a client that caches but hears of no change: what all clients are
// for a moment, and longer while Redis or the network is stuck.
func deaf(o *rueidis.ClientOption) {
	o.ClientTrackingOptions = []string{"BCAST", "PREFIX", "no-such-key:"}
}

// eachCaching runs f on the sorts of Redis that have client-side caching.
func eachCaching(t *testing.T, f func(t *testing.T, s *redistest.Server)) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		if !s.Real() {
			t.Skip("miniredis has no client-side caching")
		}
		f(t, s)
	})
}

func TestAStaleRecordIsAcceptedButNotForLong(t *testing.T) {
	t.Parallel()
	eachCaching(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t), CacheTTL: 300 * time.Millisecond}
		mine, other := storeOf(t, s.Client(t, deaf), opts), newStore(t, s, opts)
		id := create(t, other, sessionstore.Record{})
		cached := time.Now()
		if _, err := mine.Load(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := other.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_, err := mine.LoadFresh(t.Context(), id)
		wantErr(t, "LoadFresh", err, sessionstore.ErrNotFound)
		redistest.Until(t, "the session is not found", func() bool {
			_, err := mine.Load(t.Context(), id)
			if stale := time.Since(cached); err == nil && stale > 2*time.Second {
				t.Fatalf("a record %v old was accepted", stale)
			}
			return err == sessionstore.ErrNotFound
		})
	})
}

func TestForgetIsImmediate(t *testing.T) {
	t.Parallel()
	eachCaching(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t), CacheTTL: time.Hour}
		mine, other := storeOf(t, s.Client(t, deaf), opts), newStore(t, s, opts)
		gone, stays := create(t, other, sessionstore.Record{}), create(t, other, sessionstore.Record{})
		for _, id := range []string{gone, stays} {
			if _, err := mine.Load(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		if _, err := mine.Load(t.Context(), gone); err != nil {
			t.Errorf("the client is not deaf, this test proves nothing: %v", err)
		}
		mine.Forget(gone)
		mine.Forget(stays)
		_, err := mine.Load(t.Context(), gone)
		wantErr(t, "Load after Forget", err, sessionstore.ErrNotFound)
		if _, err := mine.Load(t.Context(), stays); err != nil {
			t.Errorf("Load of a forgotten session that exists: %v", err)
		}
	})
}

func TestTheDeletingStoreSeesItsDeletionAtOnce(t *testing.T) {
	t.Parallel()
	eachCaching(t, func(t *testing.T, s *redistest.Server) {
		store := storeOf(t, s.Client(t, deaf), &sessionstore.Options{Prefix: s.Prefix(t), CacheTTL: time.Hour})
		id := create(t, store, sessionstore.Record{})
		if _, err := store.Load(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := store.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_, err := store.Load(t.Context(), id)
		wantErr(t, "Load", err, sessionstore.ErrNotFound)
	})
}

// An instance that asked for a session before it existed has "no such session"
// in its cache.
func TestNotFoundNeverComesFromTheCache(t *testing.T) {
	t.Parallel()
	eachCaching(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t), CacheTTL: time.Hour}
		mine, other := storeOf(t, s.Client(t, deaf), opts), newStore(t, s, opts)
		id := sessionstore.NewID()
		_, err := mine.Load(t.Context(), id)
		wantErr(t, "Load before Create", err, sessionstore.ErrNotFound)
		create(t, other, sessionstore.Record{ID: id})
		if _, err := mine.Load(t.Context(), id); err != nil {
			t.Errorf("Load after Create: %v", err)
		}
	})
}

// The cache does not know of lifetimes, the record does.
func TestACachedRecordExpires(t *testing.T) {
	t.Parallel()
	eachCaching(t, func(t *testing.T, s *redistest.Server) {
		store := storeOf(t, s.Client(t, deaf), &sessionstore.Options{Prefix: s.Prefix(t), CacheTTL: time.Hour, SessionLifetime: time.Second})
		id := create(t, store, sessionstore.Record{})
		if _, err := store.Load(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		redistest.Until(t, "the session is not found", func() bool {
			_, err := store.Load(t.Context(), id)
			return err == sessionstore.ErrNotFound
		})
	})
}

func TestRedisTellsCachesOfChanges(t *testing.T) {
	t.Parallel()
	eachCaching(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t), CacheTTL: time.Hour}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, other, sessionstore.Record{})
		if r, err := mine.Load(t.Context(), id); err != nil || r.Initialized {
			t.Fatalf("initialized = %v, %v", r.Initialized, err)
		}
		if _, _, err := other.SetInitialized(t.Context(), id, "", "", false); err != nil {
			t.Fatal(err)
		}
		redistest.Until(t, "the change is seen", func() bool {
			r, err := mine.Load(t.Context(), id)
			return err == nil && r.Initialized
		})
		if err := other.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		redistest.Until(t, "the deletion is seen", func() bool {
			_, err := mine.Load(t.Context(), id)
			return err == sessionstore.ErrNotFound
		})
	})
}

func TestACachedLoadNeedsNoRedis(t *testing.T) {
	t.Parallel()
	eachCaching(t, func(t *testing.T, s *redistest.Server) {
		link := s.Link()
		store := storeOf(t, link.Client(t), &sessionstore.Options{Prefix: s.Prefix(t), CacheTTL: time.Hour, RedisTimeout: 100 * time.Millisecond})
		id := create(t, store, sessionstore.Record{})
		if _, err := store.Load(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		if _, err := store.Load(t.Context(), id); err != nil {
			t.Errorf("cached: %v", err)
		}
		_, err := store.LoadFresh(t.Context(), id)
		wantErr(t, "LoadFresh", err, sessionstore.ErrUnavailable)
		_, err = store.Load(t.Context(), sessionstore.NewID())
		wantErr(t, "Load of what is not cached", err, sessionstore.ErrUnavailable)
	})
}
