package sessionstore_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Redis evicts a session's subscriptions, or its values. Whatever touches them next
// ends the session, so that its client learns of it.
func TestASessionEndsThatHasLostAKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	subscriptions := map[string]func(s *sessionstore.Store, id string) error{
		"touch": func(s *sessionstore.Store, id string) error { _, err := s.Touch(ctx, id); return err },
		"load":  func(s *sessionstore.Store, id string) error { _, err := s.Subscriptions(ctx, id); return err },
		"subscribe": func(s *sessionstore.Store, id string) error {
			_, err := s.Subscribe(ctx, id, "test://b", "1-0")
			return err
		},
		"subscribe again": func(s *sessionstore.Store, id string) error {
			_, err := s.Subscribe(ctx, id, "test://a", "1-0")
			return err
		},
		"unsubscribe": func(s *sessionstore.Store, id string) error { _, err := s.Unsubscribe(ctx, id, "test://a"); return err },
	}
	values := map[string]func(s *sessionstore.Store, id string) error{
		"touch": func(s *sessionstore.Store, id string) error { _, err := s.Touch(ctx, id); return err },
		"get": func(s *sessionstore.Store, id string) error {
			_, _, err := sessionstore.NewValues(s, "v").Get(ctx, id)
			return err
		},
		"get another": func(s *sessionstore.Store, id string) error {
			_, _, err := sessionstore.NewValues(s, "w").Get(ctx, id)
			return err
		},
		"set": func(s *sessionstore.Store, id string) error {
			_, err := sessionstore.NewValues(s, "w").CompareAndSet(ctx, id, 0, json.RawMessage(`2`))
			return err
		},
		"delete": func(s *sessionstore.Store, id string) error { return sessionstore.NewValues(s, "v").Delete(ctx, id) },
	}
	redistest.Each(t, func(t *testing.T, srv *redistest.Server) {
		client, prefix := srv.Client(t), srv.Prefix(t)
		s := storeOf(t, client, &sessionstore.Options{Prefix: prefix})
		other := newStore(t, srv, &sessionstore.Options{Prefix: prefix})
		keys := space(t, prefix)
		lose := func(what, key, id string, next func(*sessionstore.Store, string) error) {
			t.Helper()
			if err := next(s, id); err != nil {
				t.Errorf("%s with all keys: %v", what, err)
			}
			if err := client.Do(ctx, client.B().Del().Key(key).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			wantErr(t, what, next(other, id), sessionstore.ErrNotFound)
			_, err := s.LoadFresh(ctx, id)
			wantErr(t, what+", then load", err, sessionstore.ErrNotFound)
		}
		for name, next := range subscriptions {
			id := create(t, s, sessionstore.Record{})
			for _, uri := range []string{"test://a", "test://c"} {
				if _, err := s.Subscribe(ctx, id, uri, "1-0"); err != nil {
					t.Fatal(err)
				}
			}
			lose("subscriptions lost, "+name, keys.Subscriptions(id), id, next)
		}
		for name, next := range values {
			id := create(t, s, sessionstore.Record{})
			if _, err := sessionstore.NewValues(s, "v").CompareAndSet(ctx, id, 0, json.RawMessage(`1`)); err != nil {
				t.Fatal(err)
			}
			lose("values lost, "+name, keys.Values(id), id, next)
		}
	})
}

// A session that has no subscriptions, because there were none or because it ended
// all of them, has lost nothing.
func TestASessionWithoutSubscriptionsGoesOn(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, srv *redistest.Server) {
		ctx := t.Context()
		s := newStore(t, srv, &sessionstore.Options{Prefix: srv.Prefix(t)})
		id := create(t, s, sessionstore.Record{})
		works := func(when string) {
			t.Helper()
			if _, err := s.Touch(ctx, id); err != nil {
				t.Errorf("%s: touch: %v", when, err)
			}
			if subs, err := s.Subscriptions(ctx, id); len(subs) != 0 || err != nil {
				t.Errorf("%s: %v, %v", when, subs, err)
			}
		}
		works("at first")
		if _, err := s.Subscribe(ctx, id, "test://a", "1-0"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Unsubscribe(ctx, id, "test://a"); err != nil {
			t.Fatal(err)
		}
		works("after the last was removed")
		if _, err := s.Unsubscribe(ctx, id, "test://a"); err != nil {
			t.Fatal(err)
		}
		if err := sessionstore.NewValues(s, "v").Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		works("after nothing was removed")
	})
}
