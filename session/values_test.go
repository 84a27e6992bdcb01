package session_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

type cart struct {
	Items map[string]int `json:"items"`
	Note  string         `json:"note,omitempty"`
}

func TestAValueIsSeenByOtherInstances(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &session.Options{Prefix: s.Prefix(t)}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, mine)
		written, read := session.NewValues[cart](mine, "cart"), session.NewValues[cart](other, "cart")

		if got, version, err := read.Get(t.Context(), id); !cmp.Equal(got, cart{}) || version != 0 || err != nil {
			t.Errorf("before it was set: %+v at %d, %v", got, version, err)
		}
		want := cart{Items: map[string]int{"tea": 2, "": 1}, Note: "a b\n\x00 1 <&>"}
		version, err := written.CompareAndSet(t.Context(), id, 0, want)
		if err != nil {
			t.Fatal(err)
		}
		got, at, err := read.Get(t.Context(), id)
		if diff := cmp.Diff(want, got); diff != "" || at != version || err != nil {
			t.Errorf("version %d, want %d; %v (-want +got):\n%s", at, version, err, diff)
		}
	})
}

func TestCompareAndSetRefusesAnOldVersion(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		store := newStore(t, s, &session.Options{Prefix: s.Prefix(t)})
		id := create(t, store)
		a, b := session.NewValues[int](store, "a"), session.NewValues[int](store, "b")
		first, err := a.CompareAndSet(t.Context(), id, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.CompareAndSet(t.Context(), id, 0, 100); err != nil {
			t.Errorf("a value disturbs another: %v", err)
		}
		second, err := a.CompareAndSet(t.Context(), id, first, 2)
		if err != nil || second == first {
			t.Fatalf("version %d after %d, %v", second, first, err)
		}
		for _, old := range []session.Version{0, first, -1, second + 1, math.MaxInt64} {
			_, err := a.CompareAndSet(t.Context(), id, old, 3)
			wantErr(t, "at version "+strconv.Itoa(int(old)), err, session.ErrConflict)
		}
		if n, version, err := a.Get(t.Context(), id); n != 2 || version != second || err != nil {
			t.Errorf("%d at %d, %v", n, version, err)
		}
	})
}

// With versions that began again, a caller that read before the deletion
// would overwrite what was set after it.
func TestADeletedValueDoesNotComeBackAtAnOldVersion(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		store := newStore(t, s, &session.Options{Prefix: s.Prefix(t)})
		id := create(t, store)
		v := session.NewValues[string](store, "v")
		seen := map[session.Version]bool{}
		for range 3 {
			version, err := v.CompareAndSet(t.Context(), id, 0, "x")
			if err != nil || seen[version] {
				t.Errorf("version %d is used again, %v", version, err)
			}
			seen[version] = true
			for range 2 { // deleting what is not there is no error
				if err := v.Delete(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			if got, version, err := v.Get(t.Context(), id); got != "" || version != 0 || err != nil {
				t.Errorf("after Delete: %q at %d, %v", got, version, err)
			}
		}
	})
}

func TestUpdatesFromTwoInstancesAllCount(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &session.Options{Prefix: s.Prefix(t)}
		stores := []*session.Store{newStore(t, s, opts), newStore(t, s, opts)}
		id := create(t, stores[0])
		var wg sync.WaitGroup
		const each = 10
		for i := range 4 {
			counter := session.NewValues[int](stores[i%2], "n")
			wg.Go(func() {
				for range each {
					if _, err := counter.Update(t.Context(), id, func(n int) (int, error) { return n + 1, nil }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n, _, err := session.NewValues[int](stores[0], "n").Get(t.Context(), id); n != 4*each || err != nil {
			t.Errorf("counted to %d, want %d; %v", n, 4*each, err)
		}
	})
}

func TestUpdateEndsWithTheErrorOfItsFunction(t *testing.T) {
	t.Parallel()
	store := newStore(t, redistest.NewMiniredis(t), nil)
	id := create(t, store)
	v := session.NewValues[int](store, "v")
	soldOut := errors.New("sold out")
	if _, err := v.Update(t.Context(), id, func(int) (int, error) { return 1, soldOut }); err != soldOut {
		t.Errorf("error %v, want the function's own", err)
	}
	if n, version, err := v.Get(t.Context(), id); n != 0 || version != 0 || err != nil {
		t.Errorf("%d at %d, %v", n, version, err)
	}
}

func TestUpdateGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storeOf(t, redistest.NewBubble(t).Client(t), nil)
		id := create(t, store)
		v := session.NewValues[int](store, "v")
		tries := 0
		overtaken := func(n int) (int, error) {
			tries++
			_, version, err := v.Get(t.Context(), id)
			if err == nil {
				_, err = v.CompareAndSet(t.Context(), id, version, n+1)
			}
			return n + 1, err
		}
		_, err := v.Update(t.Context(), id, overtaken)
		wantErr(t, "always overtaken", err, session.ErrConflict)
		if tries < 10 || tries > 100 {
			t.Errorf("gave up after %d tries", tries)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = v.Update(ctx, id, overtaken)
		wantErr(t, "with little time", err, context.DeadlineExceeded)
	})
}

func TestValuesAreBounded(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		store := newStore(t, s, &session.Options{Prefix: s.Prefix(t), MaxValue: 10, MaxValues: 3})
		id := create(t, store)
		value := func(i int) *session.Values[string] {
			return session.NewValues[string](store, "v"+strconv.Itoa(i))
		}
		if _, err := value(0).CompareAndSet(t.Context(), id, 0, "12345678"); err != nil {
			t.Errorf("10 bytes of JSON: %v", err)
		}
		_, err := value(0).CompareAndSet(t.Context(), id, 1, "123456789")
		wantErr(t, "11 bytes of JSON", err, session.ErrTooLarge)
		for i := range 3 {
			if _, err := value(i).Update(t.Context(), id, func(string) (string, error) { return "x", nil }); err != nil {
				t.Errorf("value %d: %v", i+1, err)
			}
		}
		_, err = value(3).CompareAndSet(t.Context(), id, 0, "x")
		wantErr(t, "value 4", err, session.ErrTooMany)
		if _, err := value(0).Update(t.Context(), id, func(string) (string, error) { return "y", nil }); err != nil {
			t.Errorf("change of a value when there are as many as allowed: %v", err)
		}
		if err := value(1).Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err = value(3).CompareAndSet(t.Context(), id, 0, "x"); err != nil {
			t.Errorf("value 4 in the place of a deleted one: %v", err)
		}
	})
}

func TestANameThatIsNoneIsAnErrorOfEveryCall(t *testing.T) {
	t.Parallel()
	store := newStore(t, redistest.NewMiniredis(t), nil)
	id := create(t, store)
	for _, name := range []string{"", ":last", "a b", strings.Repeat("x", 65), "ä"} {
		v := session.NewValues[int](store, name)
		_, _, get := v.Get(t.Context(), id)
		_, set := v.CompareAndSet(t.Context(), id, 0, 1)
		_, update := v.Update(t.Context(), id, func(n int) (int, error) { return n, nil })
		for call, err := range map[string]error{"Get": get, "CompareAndSet": set, "Update": update, "Delete": v.Delete(t.Context(), id)} {
			if err == nil || !strings.Contains(err.Error(), strconv.Quote(name)) {
				t.Errorf("%s of value %q: error %v", call, name, err)
			}
		}
	}
}

func TestAnUnusableValueIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix, c := s.Prefix(t), s.Client(t)
		store := storeOf(t, c, &session.Options{Prefix: prefix})
		id := create(t, store)
		keys, err := rediskeys.New(prefix)
		if err != nil {
			t.Fatal(err)
		}
		values := keys.Values(id)
		v := session.NewValues[cart](store, "cart")
		for _, stored := range []string{"x", "1", "1 ", "1 {", `1 "text"`, `x {}`, " {}", `1 {"items":{"tea":1},"note":1}`} {
			if err := c.Do(t.Context(), c.B().Hset().Key(values).FieldValue().FieldValue("cart", stored).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			got, version, err := v.Get(t.Context(), id)
			if err == nil || !strings.Contains(err.Error(), "cart") || errors.Is(err, session.ErrUnavailable) {
				t.Errorf("%q: error %v", stored, err)
			}
			if !cmp.Equal(got, cart{}) || version != 0 {
				t.Errorf("%q: %+v at %d", stored, got, version)
			}
		}
		if err := v.Delete(t.Context(), id); err != nil {
			t.Errorf("Delete of an unusable value: %v", err)
		}
	})
}

func TestAValueThatIsNotJSONIsRefused(t *testing.T) {
	t.Parallel()
	store := newStore(t, redistest.NewMiniredis(t), nil)
	id := create(t, store)
	v := session.NewValues[float64](store, "ratio")
	if _, err := v.CompareAndSet(t.Context(), id, 0, math.NaN()); err == nil || !strings.Contains(err.Error(), "ratio") {
		t.Errorf("error %v, want one that names the value", err)
	}
}
