package sessionstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// alive asks for a session without using it.
func alive(t *testing.T, store *sessionstore.Store, id string) bool {
	t.Helper()
	_, err := store.LoadFresh(t.Context(), id)
	if err != nil && err != sessionstore.ErrNotFound {
		t.Fatal(err)
	}
	return err == nil
}

func TestASessionLivesTTLAfterItsLastUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		store := storeOf(t, b.Client(t), &sessionstore.Options{SessionTTL: time.Minute})
		id := create(t, store, sessionstore.Record{})
		for range 100 {
			mustTouch(t, store, id)
			time.Sleep(store.TouchEvery())
		}
		// Its last use comes when the next touch is all but due.
		time.Sleep(time.Minute - time.Millisecond)
		if !alive(t, store, id) {
			t.Error("the session died before TTL was over")
		}
		time.Sleep(store.TouchEvery())
		if alive(t, store, id) {
			t.Error("the session outlived a touch by more than TTL and a quarter")
		}
		_, err := store.Touch(t.Context(), id)
		wantErr(t, "touch of an expired session", err, sessionstore.ErrNotFound)
	})
}

func TestAnUnusedSessionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		c := b.Client(t)
		store := storeOf(t, c, &sessionstore.Options{SessionsPerUser: 3})
		id := create(t, store, sessionstore.Record{Owner: "o"})
		values := valuesOf[int](store, "n")
		time.Sleep(time.Minute)
		if _, err := values.CompareAndSet(t.Context(), id, 0, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Minute + 14*time.Second)
		if !alive(t, store, id) {
			t.Error("gone too early")
		}
		time.Sleep(time.Second)
		if alive(t, store, id) {
			t.Error("still there")
		}
		if left := redistest.Keys(t, c, "mcp"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestUseDoesNotProlongAnAbsoluteLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		c := b.Client(t)
		store := storeOf(t, c, &sessionstore.Options{SessionTTL: time.Minute, SessionLifetime: 10 * time.Minute, SessionsPerUser: 1})
		values := valuesOf[int](store, "n")
		id := create(t, store, sessionstore.Record{Owner: "o"})
		start := time.Now()
		do(t, c, "HSET", space(t, "mcp").Stream(id, "7"), "next", "1")
		for time.Since(start) < 10*time.Minute-time.Second {
			if _, err := values.Update(t.Context(), id, func(n int) (int, error) { return n + 1, nil }); err != nil {
				t.Fatalf("after %v: %v", time.Since(start), err)
			}
			mustTouch(t, store, id, "7")
			time.Sleep(time.Second)
		}
		if !alive(t, store, id) {
			t.Error("gone too early")
		}
		time.Sleep(time.Second)
		if alive(t, store, id) {
			t.Error("alive after its absolute lifetime")
		}
		if left := redistest.Keys(t, c, "mcp"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestAShortLifetimeIsNotStretchedToTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storeOf(t, redistest.NewBubble(t).Client(t), &sessionstore.Options{
			SessionTTL: time.Minute, SessionLifetime: 2 * time.Second, SessionsPerUser: 2,
		})
		touched, untouched := create(t, store, sessionstore.Record{Owner: "o"}), create(t, store, sessionstore.Record{Owner: "o"})
		mustTouch(t, store, touched)
		time.Sleep(2 * time.Second)
		if alive(t, store, touched) || alive(t, store, untouched) {
			t.Error("alive after its absolute lifetime")
		}
		// Nor are their places.
		create(t, store, sessionstore.Record{Owner: "o"})
		create(t, store, sessionstore.Record{Owner: "o"})
	})
}

func TestRedisHasTheClock(t *testing.T) {
	t.Parallel()
	for _, offset := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		m := redistest.Mini(t)
		m.ClockTTL(false) // the clock stands still, or the jump would end all keys
		m.SetTime(time.Now().Add(offset))
		s := redistest.Of(m)
		store := newStore(t, s, &sessionstore.Options{SessionLifetime: time.Hour})
		r, err := store.Create(t.Context(), sessionstore.Record{})
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(r.Created) - offset; off.Abs() > time.Minute {
			t.Errorf("with Redis's clock at %v the session was created at %v", offset, r.Created)
		}
		if _, err := store.Load(t.Context(), r.ID); err != nil {
			t.Errorf("with Redis's clock at %v: %v", offset, err)
		}
		mustTouch(t, store, r.ID)
	}
}

func TestTouchKeepsEverythingOfTheSession(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		store := storeOf(t, c, &sessionstore.Options{Prefix: prefix, SessionTTL: time.Hour, SessionsPerUser: 5})
		id := create(t, store, sessionstore.Record{Owner: "o"})
		if _, err := valuesOf[int](store, "n").CompareAndSet(t.Context(), id, 0, 1); err != nil {
			t.Fatal(err)
		}
		sp := space(t, prefix)
		if pulse := mustTouch(t, store, id); pulse != (sessionstore.Pulse{}) {
			t.Errorf("without a standalone stream it is at %+v", pulse)
		}
		writeStreams(t, c, sp, id)
		do(t, c, "HSET", sp.Stream(id, rediskeys.Standalone), "reader", "i/1")
		for _, k := range redistest.Keys(t, c, prefix) {
			do(t, c, "PEXPIRE", k.Name, "60000")
		}
		if pulse, want := mustTouch(t, store, id, "open", "no-such-stream"), (sessionstore.Pulse{StandaloneNext: 12, StandaloneReader: "i/1"}); pulse != want {
			t.Errorf("the standalone stream is at %+v, want %+v", pulse, want)
		}
		// The places of the streams it names, and of no other.
		places, err := c.Do(t.Context(), c.B().Zrange().Key(sp.OpenStreams(id)).Min("0").Max("-1").Withscores().Build()).AsZScores()
		if err != nil {
			t.Fatal(err)
		}
		until := time.UnixMilli(int64(places[0].Score))
		if len(places) != 1 || places[0].Member != "open" || (time.Until(until)-75*time.Minute).Abs() > time.Minute {
			t.Errorf("open streams are %v, the first until %v", places, until)
		}
		untouched := map[string]bool{sp.Stream(id, "ended"): true, sp.Log(id, "ended"): true}
		for _, k := range redistest.AssertTTLs(t, c, prefix) {
			want := 75 * time.Minute
			if untouched[k.Name] {
				want = time.Minute
			}
			if k.TTL > want || k.TTL < want-30*time.Second {
				t.Errorf("%s has %v left, want %v", k.Name, k.TTL, want)
			}
		}
	})
}

func TestEveryKeyHasATTLFromTheStart(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		store := storeOf(t, c, &sessionstore.Options{Prefix: prefix, SessionsPerUser: 5})
		id := create(t, store, sessionstore.Record{Owner: "o"})
		values := valuesOf[string](store, "v")
		if _, err := values.Update(t.Context(), id, func(string) (string, error) { return "x", nil }); err != nil {
			t.Fatal(err)
		}
		if err := values.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if n := len(redistest.AssertTTLs(t, c, prefix)); n != 3 {
			t.Errorf("%d keys, want 3: record, values, sessions of the owner", n)
		}
	})
}

func TestValuesEndWithTheirSession(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		store := storeOf(t, c, &sessionstore.Options{Prefix: prefix})
		id := create(t, store, sessionstore.Record{})
		do(t, c, "PEXPIRE", space(t, prefix).Session(id), "30000")
		if _, err := valuesOf[int](store, "n").CompareAndSet(t.Context(), id, 0, 1); err != nil {
			t.Fatal(err)
		}
		for _, k := range redistest.Keys(t, c, prefix) {
			if k.TTL > 30*time.Second {
				t.Errorf("%s has %v left", k.Name, k.TTL)
			}
		}
	})
}
