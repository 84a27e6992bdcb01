package sessionstore_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// newStore returns a store with a client of its own: another instance.
func newStore(t testing.TB, s *redistest.Server, opts *sessionstore.Options) *sessionstore.Store {
	t.Helper()
	return storeOf(t, s.Client(t), opts)
}

func storeOf(t testing.TB, c rueidis.Client, opts *sessionstore.Options) *sessionstore.Store {
	t.Helper()
	o := sessionstore.Options{}
	if opts != nil {
		o = *opts
	}
	o.Redis = c
	store, err := sessionstore.NewStore(&o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// valuesOf returns a store's values with a type, as users have them.
func valuesOf[T any](store *sessionstore.Store, name string) *session.Values[T] {
	return session.NewValues[T]((*session.Store)(store), name)
}

func space(t testing.TB, prefix string) rediskeys.Space {
	t.Helper()
	sp, err := rediskeys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

// create stores a session and returns its id.
func create(t testing.TB, store *sessionstore.Store, r sessionstore.Record) string {
	t.Helper()
	r, err := store.Create(t.Context(), r)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return r.ID
}

func do(t testing.TB, c rueidis.Client, args ...string) rueidis.RedisMessage {
	t.Helper()
	// The key is always the second word here.
	cmd := c.B().Arbitrary(args[0]).Keys(args[1]).Args(args[2:]...).Build()
	msg, err := c.Do(t.Context(), cmd).ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%v: %v", args, err)
	}
	return msg
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func mustTouch(t testing.TB, store *sessionstore.Store, id string, streams ...string) sessionstore.Pulse {
	t.Helper()
	pulse, err := store.Touch(t.Context(), id, streams...)
	if err != nil {
		t.Fatalf("touch after %v: %v", time.Now(), err)
	}
	return pulse
}

// everyCall names each call that concerns one session.
func everyCall(t testing.TB, store *sessionstore.Store) map[string]func(id string) error {
	values := valuesOf[int](store, "n")
	ctx := t.Context()
	return map[string]func(id string) error{
		"Load":           func(id string) error { _, err := store.Load(ctx, id); return err },
		"LoadFresh":      func(id string) error { _, err := store.LoadFresh(ctx, id); return err },
		"SetInitialized": func(id string) error { _, _, err := store.SetInitialized(ctx, id, "", "", false); return err },
		"Negotiate": func(id string) error {
			return store.Negotiate(ctx, id, sessionstore.Agreement{ProtocolVersion: "2024-11-05"})
		},
		"SetLogLevel": func(id string) error { return store.SetLogLevel(ctx, id, "info") },
		"LogLevel":    func(id string) error { _, err := store.LogLevel(ctx, id); return err },
		"Touch":       func(id string) error { _, err := store.Touch(ctx, id, "1"); return err },
		"Delete":      func(id string) error { return store.Delete(ctx, id) },
		"Subscribe":   func(id string) error { _, err := store.Subscribe(ctx, id, "a:b", "1-0"); return err },
		"Unsubscribe": func(id string) error { _, err := store.Unsubscribe(ctx, id, "a:b"); return err },
		"Values.Get":  func(id string) error { _, _, err := values.Get(ctx, id); return err },
		"Values.CompareAndSet": func(id string) error {
			_, err := values.CompareAndSet(ctx, id, 0, 1)
			return err
		},
		"Values.Update": func(id string) error {
			_, err := values.Update(ctx, id, func(n int) (int, error) { return n + 1, nil })
			return err
		},
		"Values.Delete": func(id string) error { return values.Delete(ctx, id) },
	}
}
