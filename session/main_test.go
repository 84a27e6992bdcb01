package session_test

import (
	"errors"
	"os"
	"testing"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// newStore returns a store with a client of its own: another process.
func newStore(t testing.TB, s *redistest.Server, opts *session.Options) *session.Store {
	t.Helper()
	return storeOf(t, s.Client(t), opts)
}

func storeOf(t testing.TB, c rueidis.Client, opts *session.Options) *session.Store {
	t.Helper()
	o := session.Options{}
	if opts != nil {
		o = *opts
	}
	o.Redis = c
	store, err := session.NewStore(&o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// create begins a session, as serving initialize does, and returns its id.
func create(t testing.TB, store *session.Store) string {
	t.Helper()
	return begin(t, store, sessionstore.Record{})
}

func begin(t testing.TB, store *session.Store, r sessionstore.Record) string {
	t.Helper()
	r, err := (*sessionstore.Store)(store).Create(t.Context(), r)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return r.ID
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}
