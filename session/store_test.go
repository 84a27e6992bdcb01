package session_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

func TestAnotherProcessSeesASession(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &session.Options{Prefix: s.Prefix(t)}
		serving, other := newStore(t, s, opts), newStore(t, s, opts)
		params := `{"clientInfo":{"name":"client"}}`
		id := begin(t, serving, sessionstore.Record{
			Owner: "alice", ProtocolVersion: "2025-11-25", InitializeParams: []byte(params), Initialized: true,
		})
		want := session.Record{
			ID: id, Owner: "alice", ProtocolVersion: "2025-11-25", InitializeParams: []byte(params), Initialized: true,
		}
		for name, load := range map[string]func() (session.Record, error){
			"Load":      func() (session.Record, error) { return other.Load(t.Context(), id) },
			"LoadFresh": func() (session.Record, error) { return other.LoadFresh(t.Context(), id) },
		} {
			got, err := load()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if age := time.Since(got.Created); age < -time.Minute || age > time.Minute {
				t.Errorf("%s: created %v ago", name, age)
			}
			got.Created = time.Time{}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestADeletedSessionIsGoneWithItsValues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		store := storeOf(t, c, &session.Options{Prefix: prefix})
		id := begin(t, store, sessionstore.Record{Owner: "alice"})
		values := session.NewValues[int](store, "n")
		if _, err := values.CompareAndSet(t.Context(), id, 0, 1); err != nil {
			t.Fatal(err)
		}
		if err := store.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_, err := store.Load(t.Context(), id)
		wantErr(t, "Load", err, session.ErrNotFound)
		_, err = store.LoadFresh(t.Context(), id)
		wantErr(t, "LoadFresh", err, session.ErrNotFound)
		_, _, err = values.Get(t.Context(), id)
		wantErr(t, "Values.Get", err, session.ErrNotFound)
		wantErr(t, "Delete", store.Delete(t.Context(), id), session.ErrNotFound)
		if left := redistest.Keys(t, c, prefix); len(left) > 0 {
			t.Errorf("left in Redis: %v", left)
		}
	})
}

// The process that ends a session need not know how many sessions its user may
// have.
func TestADeletedSessionLeavesRoomForAnother(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c, prefix := s.Client(t), s.Prefix(t)
		serving, err := sessionstore.NewStore(&sessionstore.Options{Redis: c, Prefix: prefix, SessionsPerUser: 1})
		if err != nil {
			t.Fatal(err)
		}
		first := begin(t, (*session.Store)(serving), sessionstore.Record{Owner: "alice"})
		_, err = serving.Create(t.Context(), sessionstore.Record{Owner: "alice"})
		wantErr(t, "a second session", err, session.ErrTooMany)
		if err := newStore(t, s, &session.Options{Prefix: prefix}).Delete(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if _, err := serving.Create(t.Context(), sessionstore.Record{Owner: "alice"}); err != nil {
			t.Errorf("a session in the place of the deleted one: %v", err)
		}
	})
}

func TestNewStoreNamesTheOptionThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, opts := range []*session.Options{nil, {}} {
		if _, err := session.NewStore(opts); err == nil || err.Error() != "session: Options.Redis is nil" {
			t.Errorf("%+v: error %v", opts, err)
		}
	}
	redis := redistest.NewMiniredis(t).Client(t)
	if _, err := session.NewStore(&session.Options{Redis: redis, Prefix: "a{b}"}); err == nil || !strings.Contains(err.Error(), "Options.Prefix") {
		t.Errorf("a prefix with braces: error %v", err)
	}
	for field := range reflect.TypeFor[session.Options]().Fields() {
		if kind := field.Type.Kind(); kind != reflect.Int && kind != reflect.Int64 {
			continue
		}
		opts := &session.Options{Redis: redis}
		reflect.ValueOf(opts).Elem().FieldByIndex(field.Index).SetInt(-1)
		if _, err := session.NewStore(opts); err == nil || err.Error() != "session: Options."+field.Name+" is negative" {
			t.Errorf("a negative %s: error %v", field.Name, err)
		}
	}
}
