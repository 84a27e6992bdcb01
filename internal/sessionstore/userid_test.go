package sessionstore_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func userID(t testing.TB, s *sessionstore.Store, server, user string) string {
	t.Helper()
	id, err := s.UserID(t.Context(), server, user)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAUserHasOneIDOnEveryInstance(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, srv *redistest.Server) {
		opts := &sessionstore.Options{Prefix: srv.Prefix(t)}
		a, b := newStore(t, srv, opts), newStore(t, srv, opts)
		alice := userID(t, a, "shop", "alice")
		if id := userID(t, b, "shop", "alice"); id != alice {
			t.Errorf("%q on one instance, %q on another", alice, id)
		}
		if id := userID(t, newStore(t, srv, opts), "shop", "alice"); id != alice {
			t.Errorf("%q before a restart, %q after", alice, id)
		}
		ids := map[string]string{alice: "alice"}
		for _, other := range []struct {
			store        *sessionstore.Store
			server, user string
		}{
			{a, "shop", "bob"}, {a, "shop", "Alice"}, {a, "shop", "alice "}, {a, "shop", strings.Repeat("alice", 1000)},
			{a, "bank", "alice"}, {a, "", "alice"}, {a, "", "shopalice"},
			{newStore(t, srv, &sessionstore.Options{Prefix: srv.Prefix(t)}), "shop", "alice"},
		} {
			id := userID(t, other.store, other.server, other.user)
			if of, taken := ids[id]; taken {
				t.Errorf("%s of %s has the id of %s", other.user, other.server, of)
			}
			if strings.Contains(id, "alice") || sessionstore.ValidID(id) || !sessionstore.IsStateless(id) {
				t.Errorf("%s has the id %q", other.user, id)
			}
			ids[id] = other.user
		}
	})
}

// Two instances that begin together make one secret, and what Redis loses of it comes
// back.
func TestTheSecretOfUserIDsIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		client := b.Client(t)
		s := storeOf(t, client, nil)
		if err := s.KeepSecret(t.Context()); err != nil || len(b.Keys()) != 0 {
			t.Errorf("a fleet that needs no secret has the keys %q, %v", b.Keys(), err)
		}
		alice := userID(t, s, "shop", "alice")
		key := space(t, "").Secret()
		for range 3 {
			time.Sleep(20 * time.Hour)
			if err := s.KeepSecret(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Hour)
		if id := userID(t, storeOf(t, client, nil), "shop", "alice"); id != alice {
			t.Error("the secret was not kept")
		}
		do(t, client, "DEL", key)
		if err := s.KeepSecret(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id := userID(t, storeOf(t, client, nil), "shop", "alice"); id != alice {
			t.Error("the secret was not put back")
		}

		do(t, client, "DEL", key)
		overtaking := storeOf(t, client, nil)
		other := userID(t, overtaking, "shop", "alice")
		if err := s.KeepSecret(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id := userID(t, s, "shop", "alice"); id != other || id == alice {
			t.Errorf("of two secrets that of Redis does not win")
		}
		time.Sleep(25 * time.Hour)
		if id := userID(t, storeOf(t, client, nil), "shop", "alice"); id == other {
			t.Error("the secret does not end")
		}
	})
}

func TestAKnownSecretCostsNoCommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		link := b.Link()
		s := storeOf(t, link.Client(t), nil)
		alice := userID(t, s, "shop", "alice")
		cold := storeOf(t, link.Client(t), nil)
		link.Cut()
		if id := userID(t, s, "shop", "alice"); id != alice {
			t.Errorf("%q, without Redis %q", alice, id)
		}
		if _, err := cold.UserID(t.Context(), "shop", "alice"); err == nil {
			t.Error("an id that no other instance has")
		}
	})
}

func TestValuesOfAUserLiveTTLAfterTheirLastUse(t *testing.T) {
	t.Parallel()
	uses := map[string]func(v *sessionstore.Values, t *testing.T, id string, version int64) (int64, error){
		"get": func(v *sessionstore.Values, t *testing.T, id string, version int64) (int64, error) {
			_, _, err := v.Get(t.Context(), id)
			return version, err
		},
		"set": func(v *sessionstore.Values, t *testing.T, id string, version int64) (int64, error) {
			return v.CompareAndSet(t.Context(), id, version, json.RawMessage(`1`))
		},
		"delete another": func(v *sessionstore.Values, t *testing.T, id string, version int64) (int64, error) {
			return version, v.Delete(t.Context(), id)
		},
	}
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				a := storeOf(t, b.Client(t), &sessionstore.Options{SessionTTL: time.Hour})
				other := storeOf(t, b.Client(t), nil) // with a shorter TTL, as a program has that serves nothing
				id := userID(t, a, "shop", "alice")
				v, used := sessionstore.NewValues(a, "v"), sessionstore.NewValues(a, "v")
				if name == "delete another" {
					used = sessionstore.NewValues(a, "w")
				}
				version, err := v.CompareAndSet(t.Context(), id, 0, json.RawMessage(`1`))
				if err != nil {
					t.Fatal(err)
				}
				first := version
				for range 3 {
					time.Sleep(59 * time.Minute)
					if version, err = use(used, t, id, version); err != nil {
						t.Fatal(err)
					}
				}
				if _, at, err := sessionstore.NewValues(other, "v").Get(t.Context(), id); at != version || err != nil {
					t.Errorf("on another instance: version %d, want %d; %v", at, version, err)
				}
				time.Sleep(59 * time.Minute)
				if _, at, err := sessionstore.NewValues(other, "v").Get(t.Context(), id); at != version || err != nil {
					t.Errorf("a shorter TTL counts: version %d, want %d; %v", at, version, err)
				}
				time.Sleep(time.Hour + time.Second)
				if _, at, err := v.Get(t.Context(), id); at != 0 || err != nil {
					t.Errorf("after its time: version %d, %v", at, err)
				}
				if len(b.Keys()) != 1 {
					t.Errorf("keys %q, want the secret alone", b.Keys())
				}
				if again, err := v.CompareAndSet(t.Context(), id, 0, json.RawMessage(`1`)); err != nil || again <= version || again <= first {
					t.Errorf("set anew it has version %d, after %d; %v", again, version, err)
				}
			})
		})
	}
}

// Whatever is called with a user's id, or a request's, nothing of a session comes of it.
func TestIDsWithoutASessionHaveNone(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, srv *redistest.Server) {
		s := newStore(t, srv, &sessionstore.Options{Prefix: srv.Prefix(t)})
		user, request := userID(t, s, "shop", "alice"), sessionstore.NewRequestID()
		malformed := []string{"user-", user + "a", user[:len(user)-1], strings.ToUpper(user), user[:len(user)-1] + "}", "user-" + sessionstore.NewID()}
		for name, call := range everyCall(t, s) {
			ofValues := strings.HasPrefix(name, "Values.")
			for _, id := range append(malformed, request, user) {
				switch err := call(id); {
				case ofValues && id == user:
					if err != nil && name != "Values.CompareAndSet" { // the order of calls is random
						t.Errorf("%s of a user: %v", name, err)
					}
				case ofValues && id == request:
					wantErr(t, name+" of a request", err, sessionstore.ErrNoUser)
				default:
					wantErr(t, name+" of "+id, err, sessionstore.ErrNotFound)
				}
			}
		}
	})
}
