package sessionstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestWithoutRedisEveryCallFailsInTime(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*redistest.Link){
		"cut":        (*redistest.Link).Cut,
		"frozen":     (*redistest.Link).Freeze,
		"black hole": func(l *redistest.Link) { l.Cut(); l.Heal(); l.Freeze() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				store := storeOf(t, link.Client(t), &sessionstore.Options{SessionsPerUser: 9})
				calls := everyCall(t, store)
				calls["Create"] = func(string) error {
					_, err := store.Create(t.Context(), sessionstore.Record{Owner: "o"})
					return err
				}
				for name, call := range calls {
					id := create(t, store, sessionstore.Record{Owner: "o"})
					fail(link)
					start := time.Now()
					wantErr(t, name, call(id), sessionstore.ErrUnavailable)
					if took := time.Since(start); took > 2*time.Second {
						t.Errorf("%s took %v", name, took)
					}
					link.Heal()
					recovers(t, store, id)
					b.FlushAll()
				}
			})
		})
	}
}

// recovers fails the test if the store does not work a minute after its link
// was healed, with whatever connections it has by then.
func recovers(t *testing.T, store *sessionstore.Store, id string) {
	t.Helper()
	time.Sleep(time.Minute)
	if _, err := store.LoadFresh(t.Context(), id); err != nil && !errors.Is(err, sessionstore.ErrNotFound) {
		t.Errorf("after the outage: %v", err)
	}
	_ = store.Delete(t.Context(), id)
}

// What failed because Redis was away does not happen later, and a caller that tries
// again finds it as it was.
func TestWhatFailedCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		link := b.Link()
		store, other := storeOf(t, link.Client(t, oneConnection), nil), storeOf(t, b.Client(t), nil)
		values := valuesOf[int](store, "n")
		id := create(t, store, sessionstore.Record{})
		// The connection is open and the script loaded before the link freezes.
		if _, err := values.CompareAndSet(t.Context(), id, 5, 7); err != sessionstore.ErrConflict {
			t.Fatal(err)
		}

		link.Freeze()
		_, err := values.CompareAndSet(t.Context(), id, 0, 7)
		wantErr(t, "CompareAndSet over a frozen link", err, sessionstore.ErrUnavailable)
		link.Heal()
		synctest.Wait()

		if version, err := valuesOf[int](other, "n").CompareAndSet(t.Context(), id, 0, 8); version != 1 || err != nil {
			t.Errorf("the next: version %d, %v", version, err)
		}
	})
}

// A hooked client calls after, if it is set, when a command is done: on the goroutine
// of the command, which may outlive its caller. Commands of the key second, if any,
// wait for that.
type hooked struct {
	rueidis.Client
	after  atomic.Pointer[func()]
	second string
	called chan struct{} // told when after has been called
}

func (h *hooked) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if after := h.after.Load(); after != nil && h.second != "" && slices.Contains(cmd.Commands(), h.second) {
		<-h.called
	} else if after != nil {
		defer func() {
			(*after)()
			h.called <- struct{}{}
		}()
	}
	return h.Client.Do(ctx, cmd)
}

func TestAnOutageBetweenTwoStepsCostsOneTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		link, calm := b.Link(), b.Client(t)
		client := &hooked{Client: link.Client(t), called: make(chan struct{}, 9)}
		freeze := link.Freeze
		store := storeOf(t, client, &sessionstore.Options{SessionsPerUser: 1})
		// All scripts are loaded, so that each step is one command.
		if err := store.Delete(t.Context(), create(t, store, sessionstore.Record{Owner: "o"})); err != nil {
			t.Fatal(err)
		}

		unborn := sessionstore.NewID()
		client.second = space(t, "mcp").Session(unborn)
		client.after.Store(&freeze)
		start := time.Now()
		_, err := store.Create(t.Context(), sessionstore.Record{ID: unborn, Owner: "o"})
		wantErr(t, "Create", err, sessionstore.ErrUnavailable)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("Create took %v", took)
		}
		client.after.Store(nil)
		link.Heal()
		time.Sleep(10 * time.Minute)
		if left := redistest.Keys(t, calm, "mcp"); len(left) != 0 {
			t.Errorf("left behind by Create: %v", left)
		}

		id := create(t, store, sessionstore.Record{Owner: "o"})
		writeStreams(t, calm, space(t, "mcp"), id)
		client.after.Store(&freeze)
		start = time.Now()
		if err := store.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete whose first step succeeded: %v", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("Delete took %v", took)
		}
		if _, err := storeOf(t, calm, nil).LoadFresh(t.Context(), id); err != sessionstore.ErrNotFound {
			t.Errorf("after Delete: %v", err)
		}
	})
}

func oneConnection(o *rueidis.ClientOption) { o.PipelineMultiplex = -1 }

// A call whose connection breaks may have been carried out. Sending it again is
// right only for one that does no harm the second time, whatever others did in
// between.
func TestWhatIsSentAgain(t *testing.T) {
	t.Parallel()
	again := map[string]bool{
		"Load": true, "LoadFresh": true, "LogLevel": true, "Values.Get": true, "Touch": true, "SetLogLevel": true,
		"SetInitialized": false, "Delete": false, "Values.CompareAndSet": false, "Values.Delete": false,
	}
	for name, want := range again {
		synctest.Test(t, func(t *testing.T) {
			link := redistest.NewBubble(t).Link()
			store := storeOf(t, link.Client(t, oneConnection), nil)
			call, id := everyCall(t, store)[name], create(t, store, sessionstore.Record{})
			link.Freeze()
			done := make(chan error)
			go func() { done <- call(id) }()
			synctest.Wait()
			link.Cut()
			link.Heal()
			err := <-done
			if sentAgain := err == nil; sentAgain != want || err != nil && !errors.Is(err, sessionstore.ErrUnavailable) {
				t.Errorf("%s: error %v, want it sent again: %v", name, err, want)
			}
		})
	}
}

func TestWithoutMemoryRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := server.Client(t)
	store := storeOf(t, c, &sessionstore.Options{SessionsPerUser: 5})
	values := valuesOf[int](store, "n")
	id := create(t, store, sessionstore.Record{Owner: "o"})
	if _, err := values.CompareAndSet(t.Context(), id, 0, 1); err != nil {
		t.Fatal(err)
	}
	writeStreams(t, c, space(t, "mcp"), id)
	mustTouch(t, store, id, rediskeys.Standalone, "open", "ended")
	before := redistest.Keys(t, c, "mcp")
	config(t, c, "maxmemory-policy", "noeviction")
	config(t, c, "maxmemory", "1")

	calls := everyCall(t, store)
	for name, call := range map[string]func() error{
		"Create": func() error {
			_, err := store.Create(t.Context(), sessionstore.Record{Owner: "o"})
			return err
		},
		"Create without owner": func() error {
			_, err := store.Create(t.Context(), sessionstore.Record{})
			return err
		},
		"Create of a second owner": func() error {
			_, err := store.Create(t.Context(), sessionstore.Record{Owner: "p"})
			return err
		},
		"SetInitialized": func() error {
			_, _, err := store.SetInitialized(t.Context(), id, "o", "", false)
			return err
		},
		"SetLogLevel":   func() error { return calls["SetLogLevel"](id) },
		"Values.Update": func() error { return calls["Values.Update"](id) },
		"Values.CompareAndSet": func() error {
			_, err := valuesOf[int](store, "other").CompareAndSet(t.Context(), id, 0, 1)
			return err
		},
	} {
		wantErr(t, name, call(), sessionstore.ErrUnavailable)
	}
	if got := fmt.Sprint(names(redistest.AssertTTLs(t, c, "mcp"))); got != fmt.Sprint(names(before)) {
		t.Errorf("keys %v, want %v", got, names(before))
	}
	// What needs no memory works on.
	if _, err := store.LoadFresh(t.Context(), id); err != nil {
		t.Errorf("LoadFresh: %v", err)
	}
	mustTouch(t, store, id, "open")
	if err := store.Delete(t.Context(), id); err != nil {
		t.Errorf("Delete: %v", err)
	}
	config(t, c, "maxmemory", "0")
	if left := redistest.Keys(t, c, "mcp"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func config(t *testing.T, c rueidis.Client, parameter, value string) {
	t.Helper()
	err := c.Do(t.Context(), c.B().ConfigSet().ParameterValue().ParameterValue(parameter, value).Build()).Error()
	if err != nil {
		t.Fatal(err)
	}
}

func names(found []redistest.Key) (names []string) {
	for _, k := range found {
		names = append(names, k.Name)
	}
	return names
}

// A Redis user who lacks a command must not leave half a session behind, least
// of all one that lives for ever.
func TestWithoutPermissionNothingIsStored(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := server.Client(t)
	for _, denied := range []string{"evalsha", "pexpire", "hset", "exists", "zadd", "time"} {
		t.Run(denied, func(t *testing.T) {
			prefix := server.Prefix(t)
			setUser(t, admin, denied)
			limited := server.Client(t, func(o *rueidis.ClientOption) { o.Username, o.Password = denied, "secret" })
			store := storeOf(t, limited, &sessionstore.Options{Prefix: prefix, SessionsPerUser: 5})
			for _, owner := range []string{"o", ""} {
				if denied == "zadd" && owner == "" {
					continue // not needed then
				}
				if r, err := store.Create(t.Context(), sessionstore.Record{Owner: owner}); !errors.Is(err, sessionstore.ErrUnavailable) {
					t.Errorf("Create for owner %q: %+v, %v", owner, r, err)
				}
			}
			if found := redistest.AssertTTLs(t, admin, prefix); len(found) != 0 {
				t.Errorf("left behind: %v", found)
			}
		})
	}
	t.Run("values without pexpire", func(t *testing.T) {
		prefix := server.Prefix(t)
		setUser(t, admin, "pexpire")
		limited := server.Client(t, func(o *rueidis.ClientOption) { o.Username, o.Password = "pexpire", "secret" })
		opts := &sessionstore.Options{Prefix: prefix}
		id := create(t, storeOf(t, admin, opts), sessionstore.Record{})
		store := storeOf(t, limited, opts)
		_, err := valuesOf[int](store, "n").CompareAndSet(t.Context(), id, 0, 1)
		wantErr(t, "CompareAndSet", err, sessionstore.ErrUnavailable)
		_, err = store.Touch(t.Context(), id)
		wantErr(t, "Touch", err, sessionstore.ErrUnavailable)
		if found := redistest.AssertTTLs(t, admin, prefix); len(found) != 1 {
			t.Errorf("keys %v, want the record alone", found)
		}
	})
	t.Run("reading", func(t *testing.T) {
		setUser(t, admin, "hmget")
		limited := server.Client(t, func(o *rueidis.ClientOption) { o.Username, o.Password = "hmget", "secret" })
		store := storeOf(t, limited, &sessionstore.Options{Prefix: server.Prefix(t)})
		calls, id := everyCall(t, store), create(t, store, sessionstore.Record{})
		wantErr(t, "Load", calls["Load"](id), sessionstore.ErrUnavailable)
		wantErr(t, "LoadFresh", calls["LoadFresh"](id), sessionstore.ErrUnavailable)
	})
}

// setUser makes a Redis user, named after the one command it must not use.
func setUser(t *testing.T, admin rueidis.Client, denied string) {
	t.Helper()
	cmd := admin.B().AclSetuser().Username(denied).Rule("on", ">secret", "~*", "&*", "+@all", "-"+denied).Build()
	if err := admin.Do(t.Context(), cmd).Error(); err != nil {
		t.Fatal(err)
	}
}

func TestARestartedRedisIsUsedAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	store := storeOf(t, server.Client(t), &sessionstore.Options{RedisTimeout: 200 * time.Millisecond})
	id := create(t, store, sessionstore.Record{})
	if _, err := store.Load(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	redistest.Until(t, "the cache is dropped with its connection", func() bool {
		_, err := store.Load(t.Context(), id)
		return errors.Is(err, sessionstore.ErrUnavailable)
	})
	server.Restart(t)
	redistest.Until(t, "the lost session is not found", func() bool {
		_, err := store.Load(t.Context(), id)
		return err == sessionstore.ErrNotFound
	})
	redistest.Until(t, "a session is created", func() bool {
		_, err := store.Create(t.Context(), sessionstore.Record{})
		return err == nil
	})
}
