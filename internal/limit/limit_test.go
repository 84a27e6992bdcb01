package limit_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A bucket is what a rate means, told in another way: each request fills it by
// one, it runs dry at the steady rate, and a request that would make it run
// over is refused.
type bucket struct {
	requests int
	drip     time.Duration // in which it loses one request
	level    time.Duration // in which it would be dry
	at       time.Time
}

func newBucket(r limit.Rate) *bucket {
	return &bucket{requests: r.Requests, drip: max((r.Per / time.Duration(r.Requests)).Truncate(time.Microsecond), time.Microsecond)}
}

func (b *bucket) ask(now time.Time, take bool) limit.Verdict {
	full := time.Duration(b.requests) * b.drip
	b.level, b.at = max(0, b.level-now.Sub(b.at)), now
	if b.level+b.drip > full {
		return limit.Verdict{Reset: b.level + b.drip - full}
	}
	if take {
		b.level += b.drip
	}
	return limit.Verdict{Allowed: true, Remaining: int((full - b.level) / b.drip), Reset: b.level}
}

// giveBack takes one request out of the bucket, if there is any in it.
func (b *bucket) giveBack(now time.Time) {
	b.level, b.at = max(0, b.level-now.Sub(b.at)), now
	b.level = max(0, b.level-b.drip)
}

// A step lets time pass, and asks or gives back.
type step struct {
	wait     time.Duration
	instance int
	look     bool
	back     bool
}

func drawSteps(rt *rapid.T, r limit.Rate) []step {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		wait := time.Duration(0)
		if rapid.IntRange(0, 2).Draw(rt, "waits") == 0 {
			wait = time.Duration(rapid.Int64Range(0, int64(2*r.Per)).Draw(rt, "wait"))
		}
		return step{wait.Truncate(time.Microsecond), rapid.IntRange(0, 1).Draw(rt, "instance"), rapid.IntRange(0, 4).Draw(rt, "look") == 0, rapid.IntRange(0, 3).Draw(rt, "back") == 0}
	}), 1, 60).Draw(rt, "steps")
}

func TestRateIsThatOfALeakyBucketOnAllInstances(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := limit.Rate{
			Requests: rapid.IntRange(1, 40).Draw(rt, "requests"),
			Per:      time.Duration(rapid.Int64Range(1, 100_000_000).Draw(rt, "per")) * time.Microsecond,
		}
		steps := drawSteps(rt, r)
		var failure error
		synctest.Test(t, func(t *testing.T) {
			b := redistest.NewBubble(t)
			instances := []*limit.Limiter{newLimiter(t, b.Client(t), "p"), newLimiter(t, b.Client(t), "p")}
			want := newBucket(r)
			for i, s := range steps {
				time.Sleep(s.wait)
				if s.back {
					l := instances[s.instance]
					if err := l.GiveBack(t.Context(), l.Count("n", "who"), r); err != nil {
						failure = fmt.Errorf("step %d %+v: %w", i, s, err)
						return
					}
					want.giveBack(time.Now())
					continue
				}
				ask := instances[s.instance].Take
				if s.look {
					ask = instances[s.instance].Peek
				}
				got, err := ask(t.Context(), "n", "who", r)
				if model := want.ask(time.Now(), !s.look); err != nil || got != model {
					failure = fmt.Errorf("step %d %+v: got %+v, %w; want %+v", i, s, got, err, model)
					return
				}
			}
		})
		if failure != nil {
			rt.Fatal(failure)
		}
	})
}

func TestABurstIsExactlyTheRateWhoeverCounts(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		prefix := s.Prefix(t)
		instances := []*limit.Limiter{newLimiter(t, s.Client(t), prefix), newLimiter(t, s.Client(t), prefix)}
		rate := limit.Rate{Requests: 30, Per: time.Hour}
		var allowed atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				v, err := instances[i%2].Take(t.Context(), "n", "who", rate)
				if err != nil {
					t.Error(err)
				}
				if v.Allowed {
					allowed.Add(1)
				}
			})
		}
		wg.Wait()
		if n := allowed.Load(); n != 30 {
			t.Errorf("%d of 100 were allowed, want 30", n)
		}
		for _, other := range [][2]string{{"n", "other"}, {"other", "who"}} {
			if v, err := instances[0].Take(t.Context(), other[0], other[1], rate); err != nil || v.Remaining != 29 {
				t.Errorf("limit %s of %s: %+v, %v", other[0], other[1], v, err)
			}
		}
		for _, k := range redistest.AssertTTLs(t, s.Client(t), prefix) {
			if k.TTL > rate.Per {
				t.Errorf("key %s lives for %v, which is longer than it can matter", k.Name, k.TTL)
			}
		}
	})
}

// Whoever gives back what he takes is never refused, and of those who do not
// there are as many as without him, however long he keeps what he has taken.
func TestWhatIsGivenBackCountsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		instances := []*limit.Limiter{newLimiter(t, b.Client(t), ""), newLimiter(t, b.Client(t), "")}
		rate := limit.Rate{Requests: 10, Per: 10 * time.Minute}
		count := instances[0].Count("n", "who")
		take := func() bool {
			v, err := instances[1].Take(t.Context(), "n", "who", rate)
			if err != nil {
				t.Fatal(err)
			}
			return v.Allowed
		}
		giveBack := func() {
			if err := instances[0].GiveBack(t.Context(), count, rate); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 50 {
			if !take() {
				t.Fatalf("request %d was refused", i)
			}
			giveBack()
		}
		if keys := b.Keys(); len(keys) != 0 {
			t.Errorf("keys %v", keys)
		}
		kept := 0
		for range 60 { // an hour, which has room for 10 and 60 more
			for range 5 {
				if take() {
					kept++
				}
				if take() {
					time.Sleep(time.Second)
					giveBack()
				}
			}
			time.Sleep(time.Minute - 5*time.Second)
		}
		if kept < 10 || kept > 70 {
			t.Errorf("%d were taken and kept", kept)
		}
		giveBack()
		if v, err := instances[0].Peek(t.Context(), "n", "other", rate); err != nil || v.Remaining != 10 {
			t.Errorf("another's: %+v, %v", v, err)
		}
	})
}

func TestALowerRateHoldsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, redistest.NewBubble(t).Client(t), "")
		for range 100 {
			if _, err := l.Take(t.Context(), "n", "who", limit.Rate{Requests: 100, Per: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		// Who used up the old rate waits for the new one's interval, not for the
		// hour that the old one would take.
		v, err := l.Take(t.Context(), "n", "who", limit.Rate{Requests: 1, Per: time.Second})
		if err != nil || v.Allowed || v.Reset > time.Second {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestNoRateBoundsNothing(t *testing.T) {
	t.Parallel()
	m := redistest.Mini(t)
	l := newLimiter(t, redistest.Of(m).Client(t), "")
	for _, r := range []limit.Rate{{}, {Requests: 1}, {Per: time.Second}, {Requests: -1, Per: time.Second}} {
		for range 3 {
			if v, err := l.Take(t.Context(), "n", "who", r); err != nil || !v.Allowed {
				t.Errorf("%+v: %+v, %v", r, v, err)
			}
			if err := l.GiveBack(t.Context(), l.Count("n", "who"), r); err != nil {
				t.Errorf("%+v: give back: %v", r, err)
			}
		}
	}
	if keys := m.Keys(); len(keys) != 0 {
		t.Errorf("keys %v", keys)
	}
}

func TestWithoutRedisNobodyKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		link := redistest.NewBubble(t).Link()
		l := newLimiter(t, link.Client(t), "")
		rate := limit.Rate{Requests: 1, Per: time.Minute}
		link.Freeze()
		start := time.Now()
		v, err := l.Take(t.Context(), "n", "who", rate)
		if !errors.Is(err, redisx.ErrUnavailable) || v.Allowed || time.Since(start) > redisx.DefaultTimeout {
			t.Errorf("%+v, %v after %v", v, err, time.Since(start))
		}
		link.Heal()
		time.Sleep(time.Minute)
		if v, err := l.Take(t.Context(), "n", "who", rate); err != nil || !v.Allowed {
			t.Errorf("after the outage: %+v, %v", v, err)
		}
	})
}
