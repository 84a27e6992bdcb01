package sessionstore_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Each script is sent, and executed only after its caller has given it up.
func TestALateSessionScriptChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	newSession := func(t *testing.T, s *sessionstore.Store) string {
		return create(t, s, sessionstore.Record{Owner: "alice", ProtocolVersion: "2025-11-25", InitializeParams: json.RawMessage(`{}`)})
	}
	for name, prepare := range map[string]func(t *testing.T, s *sessionstore.Store) func() error{
		"owner_reserve": func(_ *testing.T, s *sessionstore.Store) func() error {
			return func() error { _, err := s.Create(ctx, sessionstore.Record{Owner: "alice"}); return err }
		},
		"session_create": func(_ *testing.T, s *sessionstore.Store) func() error {
			return func() error { _, err := s.Create(ctx, sessionstore.Record{}); return err }
		},
		"session_initialize": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			return func() error { _, _, err := s.SetInitialized(ctx, id, "alice", "", false); return err }
		},
		"session_negotiate": func(t *testing.T, s *sessionstore.Store) func() error {
			id := create(t, s, sessionstore.Record{HTTPSSE: true})
			return func() error {
				return s.Negotiate(ctx, id, sessionstore.Agreement{ProtocolVersion: "2024-11-05"})
			}
		},
		"session_touch": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			return func() error { _, err := s.Touch(ctx, id); return err }
		},
		"session_delete": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			return func() error { return s.Delete(ctx, id) }
		},
		"level_set": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			return func() error { return s.SetLogLevel(ctx, id, "debug") }
		},
		"subscription_add": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			return func() error { _, err := s.Subscribe(ctx, id, "test://a", "1-0"); return err }
		},
		"subscription_remove": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			if _, err := s.Subscribe(ctx, id, "test://a", "1-0"); err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := s.Unsubscribe(ctx, id, "test://a"); return err }
		},
		"value_set": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			return func() error {
				_, err := sessionstore.NewValues(s, "v").CompareAndSet(ctx, id, 0, json.RawMessage(`1`))
				return err
			}
		},
		"value_delete": func(t *testing.T, s *sessionstore.Store) func() error {
			id := newSession(t, s)
			v := sessionstore.NewValues(s, "v")
			if _, err := v.CompareAndSet(ctx, id, 0, json.RawMessage(`1`)); err != nil {
				t.Fatal(err)
			}
			return func() error { return v.Delete(ctx, id) }
		},
		"secret_keep": func(t *testing.T, s *sessionstore.Store) func() error {
			userID(t, s, "shop", "alice")
			return func() error { return s.KeepSecret(ctx) }
		},
		"uservalue_get": func(t *testing.T, s *sessionstore.Store) func() error {
			v, id := userValue(t, s)
			return func() error { _, _, err := v.Get(ctx, id); return err }
		},
		"uservalue_set": func(t *testing.T, s *sessionstore.Store) func() error {
			v, id := userValue(t, s)
			_, version, err := v.Get(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := v.CompareAndSet(ctx, id, version, json.RawMessage(`2`)); return err }
		},
		"uservalue_delete": func(t *testing.T, s *sessionstore.Store) func() error {
			v, id := userValue(t, s)
			return func() error { return v.Delete(ctx, id) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				s := storeOf(t, link.Client(t), &sessionstore.Options{SessionTTL: time.Minute, SessionsPerUser: 10})
				b.Late(t, link, func(t *testing.T) func() error { return prepare(t, s) })
			})
		})
	}
}

// userValue returns values of which a user has one.
func userValue(t *testing.T, s *sessionstore.Store) (v *sessionstore.Values, id string) {
	t.Helper()
	v, id = sessionstore.NewValues(s, "v"), userID(t, s, "shop", "alice")
	_, version, err := v.Get(t.Context(), id)
	if err == nil && version == 0 {
		_, err = v.CompareAndSet(t.Context(), id, 0, json.RawMessage(`1`))
	}
	if err != nil {
		t.Fatal(err)
	}
	return v, id
}
