package sessionstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestARecordComesBackAsItWasStored(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t), SessionLifetime: time.Hour}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		for _, r := range []sessionstore.Record{
			{},
			{Owner: "https://issuer.example alice", ProtocolVersion: "2025-11-25", LogLevel: "warning", Initialized: true,
				InitializeParams: []byte(`{ "capabilities":{"unknown": [1.0, 1e400]},` + "\n" + `"clientInfo":{"name":"Zoë\u0000"} }`)},
			{Owner: "a\x00b\r\n", ProtocolVersion: "{}"},
			{ServerCapabilities: []byte(`{"tools":{"listChanged":true}, "x":1e400}`), Position: "1700000000000-18446744073709551615"},
		} {
			stored, err := mine.Create(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if !sessionstore.ValidID(stored.ID) || time.Since(stored.Created).Abs() > time.Minute || stored.Expires.Sub(stored.Created) != time.Hour {
				t.Errorf("id %q, created %v, expires %v", stored.ID, stored.Created, stored.Expires)
			}
			r.ID, r.Created, r.Expires = stored.ID, stored.Created, stored.Expires
			for name, load := range map[string]func() (sessionstore.Record, error){
				"Create":          func() (sessionstore.Record, error) { return stored, nil },
				"Load, uncached":  func() (sessionstore.Record, error) { return other.Load(t.Context(), r.ID) },
				"Load, cached":    func() (sessionstore.Record, error) { return other.Load(t.Context(), r.ID) },
				"LoadFresh":       func() (sessionstore.Record, error) { return other.LoadFresh(t.Context(), r.ID) },
				"LoadFresh, mine": func() (sessionstore.Record, error) { return mine.LoadFresh(t.Context(), r.ID) },
			} {
				got, err := load()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if diff := cmp.Diff(r, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		}
	})
}

func TestTheCallerMayChangeALoadedRecord(t *testing.T) {
	t.Parallel()
	s := redistest.Real(t)
	store := newStore(t, s, &sessionstore.Options{Prefix: s.Prefix(t)})
	id := create(t, store, sessionstore.Record{InitializeParams: []byte(`{"a":1}`)})
	for range 3 {
		r, err := store.Load(t.Context(), id)
		if err != nil || string(r.InitializeParams) != `{"a":1}` {
			t.Fatalf("params %s, error %v", r.InitializeParams, err)
		}
		copy(r.InitializeParams, "changed")
	}
}

func TestCreateRefusesAnIDInUse(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		store := newStore(t, s, &sessionstore.Options{Prefix: s.Prefix(t), SessionsPerUser: 1})
		id := create(t, store, sessionstore.Record{Owner: "first"})
		for _, owner := range []string{"first", "second"} {
			_, err := store.Create(t.Context(), sessionstore.Record{ID: id, Owner: owner})
			wantErr(t, "create again", err, sessionstore.ErrExists)
		}
		// That gave the place of the second back, and not that of the first.
		create(t, store, sessionstore.Record{Owner: "second"})
		_, err := store.Create(t.Context(), sessionstore.Record{Owner: "first"})
		wantErr(t, "another session of the first", err, sessionstore.ErrTooMany)
		r, err := store.LoadFresh(t.Context(), id)
		if err != nil || r.Owner != "first" {
			t.Errorf("the session is %+v, %v", r, err)
		}
	})
}

func TestCreateBoundsWhatAClientSends(t *testing.T) {
	t.Parallel()
	s := redistest.NewMiniredis(t)
	store := newStore(t, s, &sessionstore.Options{MaxInitialize: 10})
	create(t, store, sessionstore.Record{InitializeParams: []byte(`{"a":"bc"}`)})
	_, err := store.Create(t.Context(), sessionstore.Record{InitializeParams: []byte(`{"a":"bcd"}`)})
	wantErr(t, "params of 11 bytes", err, sessionstore.ErrTooLarge)
	_, err = store.Create(t.Context(), sessionstore.Record{LogLevel: "a level as long as nobody needs one"})
	wantErr(t, "a long log level", err, sessionstore.ErrTooLarge)
	if _, err := store.Create(t.Context(), sessionstore.Record{ID: "x}:{y"}); err == nil {
		t.Error("an id that is no UUID was accepted")
	}
	if found := redistest.Keys(t, s.Client(t), "mcp"); len(found) != 1 {
		t.Errorf("refused sessions left %v", found)
	}
}

func TestWithoutASessionEveryCallSaysNotFound(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := s.Prefix(t)
		store := newStore(t, s, &sessionstore.Options{Prefix: prefix})
		for name, call := range everyCall(t, store) {
			for _, id := range []string{sessionstore.NewID(), "", "*", "{x}", strings.ToUpper(sessionstore.NewID())} {
				wantErr(t, name+" of "+id, call(id), sessionstore.ErrNotFound)
			}
		}
		if found := redistest.Keys(t, s.Client(t), prefix); len(found) != 0 {
			t.Errorf("keys appeared: %v", found)
		}
	})
}

func TestInitializedIsToldOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t)}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, mine, sessionstore.Record{})
		for i, store := range []*sessionstore.Store{other, mine, other} {
			_, first, err := store.SetInitialized(t.Context(), id, "", "", false)
			if err != nil || first != (i == 0) {
				t.Errorf("call %d: first = %v, %v", i+1, first, err)
			}
		}
		if r, err := mine.LoadFresh(t.Context(), id); err != nil || !r.Initialized {
			t.Errorf("initialized = %v, %v", r.Initialized, err)
		}
	})
}

// Only who may use a session says that its client is ready.
func TestInitializedIsNotedOfOnesOwnSession(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t)}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, mine, sessionstore.Record{Owner: "alice", ServerName: "one"})
		for _, as := range []struct {
			owner, server string
			httpSSE       bool
			want          error
		}{
			{"bob", "one", false, sessionstore.ErrNotFound},
			{"", "one", false, sessionstore.ErrNotFound},
			{"alice", "two", false, sessionstore.ErrOtherServer},
			{"alice", "one", true, nil},
		} {
			if _, first, err := other.SetInitialized(t.Context(), id, as.owner, as.server, as.httpSSE); first || err != as.want {
				t.Errorf("%+v: first = %v, %v", as, first, err)
			}
		}
		for range 2 {
			r, first, err := other.SetInitialized(t.Context(), id, "alice", "one", false)
			if !first || err != nil || r.Initialized || r.ID != id || r.Owner != "alice" {
				t.Errorf("alice's: %+v, first = %v, %v", r, first, err)
			}
			mine.UnsetInitialized(t.Context(), id)
		}
		if r, err := mine.LoadFresh(t.Context(), id); err != nil || r.Initialized {
			t.Errorf("taken back: initialized = %v, %v", r.Initialized, err)
		}
	})
}

func TestTheLogLevelIsReadFresh(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t)}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, mine, sessionstore.Record{})
		if level, err := other.LogLevel(t.Context(), id); level != "" || err != nil {
			t.Errorf("before setLevel: %q, %v", level, err)
		}
		if err := mine.SetLogLevel(t.Context(), id, "error"); err != nil {
			t.Fatal(err)
		}
		if level, err := other.LogLevel(t.Context(), id); level != "error" || err != nil {
			t.Errorf("after setLevel: %q, %v", level, err)
		}
		if r, err := other.LoadFresh(t.Context(), id); r.LogLevel != "error" || err != nil {
			t.Errorf("record after setLevel: %q, %v", r.LogLevel, err)
		}
	})
}

func TestAnUnusableRecordIsAnErrorThatSaysWhy(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c, prefix := s.Client(t), s.Prefix(t)
		store := storeOf(t, c, &sessionstore.Options{Prefix: prefix})
		for _, damage := range []struct{ command, field, value, says string }{
			{"HSET", "v", "2", "version"},
			{"HDEL", "v", "", "version"},
			{"HSET", "created", "yesterday", "created"},
			{"HDEL", "created", "", "created"},
			{"HSET", "expires", "", "expires"},
			{"HDEL", "expires", "", "expires"},
		} {
			id := create(t, store, sessionstore.Record{})
			args := []string{damage.command, space(t, prefix).Session(id), damage.field}
			if damage.value != "" || damage.command == "HSET" {
				args = append(args, damage.value)
			}
			do(t, c, args...)
			for name, load := range map[string]func() (sessionstore.Record, error){
				"Load":      func() (sessionstore.Record, error) { return store.Load(t.Context(), id) },
				"LoadFresh": func() (sessionstore.Record, error) { return store.LoadFresh(t.Context(), id) },
			} {
				r, err := load()
				if err == nil || errors.Is(err, sessionstore.ErrNotFound) || errors.Is(err, sessionstore.ErrUnavailable) || !strings.Contains(err.Error(), damage.says) {
					t.Errorf("%s after %v: %+v, error %v", name, args, r, err)
				}
			}
			if err := store.Delete(t.Context(), id); err != nil {
				t.Errorf("delete after %v: %v", args, err)
			}
		}
	})
}

func TestAKeyOfAnotherTypeIsAnError(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c, prefix, id := s.Client(t), s.Prefix(t), sessionstore.NewID()
		do(t, c, "SET", space(t, prefix).Session(id), "x", "EX", "60")
		for name, call := range everyCall(t, storeOf(t, c, &sessionstore.Options{Prefix: prefix})) {
			if strings.HasPrefix(name, "Values.") || strings.HasSuffix(name, "ubscribe") {
				continue // they only ask whether the record exists
			}
			if err := call(id); err == nil || errors.Is(err, sessionstore.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestNewStoreNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	c := redistest.NewMiniredis(t).Client(t)
	for field, opts := range map[string]*sessionstore.Options{
		"Prefix":          {Prefix: "a{b}"},
		"SessionTTL":      {SessionTTL: time.Millisecond},
		"SessionLifetime": {SessionLifetime: time.Microsecond},
		"SessionsPerUser": {SessionsPerUser: -1},
		"CacheTTL":        {CacheTTL: -1},
		"MaxInitialize":   {MaxInitialize: -1},
		"MaxValue":        {MaxValue: -1},
		"MaxValues":       {MaxValues: -1},
		"RedisTimeout":    {RedisTimeout: -time.Second},

		"MaxSubscriptions": {MaxSubscriptions: -1},
	} {
		opts.Redis = c
		if _, err := sessionstore.NewStore(opts); err == nil || !strings.Contains(err.Error(), "Options."+field) {
			t.Errorf("%+v: error %v, want one that names %s", opts, err, field)
		}
	}
	for _, opts := range []*sessionstore.Options{nil, {}} {
		if _, err := sessionstore.NewStore(opts); err == nil || err.Error() != "Options.Redis is nil" {
			t.Errorf("%+v: error %v", opts, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	store := newStore(t, redistest.NewMiniredis(t), nil)
	if store.TTL() != 5*time.Minute || store.TouchEvery() != 75*time.Second {
		t.Errorf("TTL %v, touch every %v", store.TTL(), store.TouchEvery())
	}
}

func TestNewStoreDoesNoIO(t *testing.T) {
	t.Parallel()
	link := redistest.NewMiniredis(t).Link()
	link.Cut()
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{"nowhere"}, DialCtxFn: link.Dial, ForceSingleClient: true, DisableCache: true,
	})
	if err == nil {
		t.Fatal("the client connected")
	}
	defer c.Close()
	storeOf(t, c, nil)
}
