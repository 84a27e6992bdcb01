package redisx

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Whatever the answers' delays, the estimate is not ahead of the clock and not
// further behind it than the fastest answer took.
func TestAClockIsNeverAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		c := NewClock()
		if c.Now() != 0 {
			t.Error("it knows the time before it has observed it")
		}
		var offset, fastest = 17*time.Hour + 1234567*time.Nanosecond, time.Hour
		shown := func() time.Duration { return time.Duration(time.Now().UnixNano()) + offset }
		for i := range 2000 {
			if i == 1000 {
				offset, fastest = -3*time.Hour, time.Hour // a failover to a slower clock
			}
			sent := time.Now()
			there, back := time.Duration(rng.IntN(30))*time.Millisecond, time.Duration(rng.IntN(30))*time.Millisecond
			time.Sleep(there)
			ms := shown().Milliseconds()
			time.Sleep(back)
			c.Observe(sent, ms)
			fastest = min(fastest, there+back)
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			if now, got := shown().Milliseconds(), c.Now(); got > now || got < now-fastest.Milliseconds()-2 {
				t.Fatalf("after %d answers: %d ms, Redis's clock shows %d, the fastest answer took %v", i+1, got, now, fastest)
			}
		}
	})
}

// counts is how often its script has been executed.
const counts = `return redis.call('INCR', KEYS[1])`

// A clock that is wrong costs a second try at the worst, and the next script none.
func TestAScriptRunsWhateverRedissClockShows(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				c, s := New(b.Client(t), 0), NewScript("count", counts)
				var runs int64
				run := func() {
					t.Helper()
					runs++
					msg, err := s.Exec(t.Context(), c, []string{"k"})
					if n, _ := msg.AsInt64(); n != runs || err != nil {
						t.Fatalf("run %d is number %d, %v", runs, n, err)
					}
				}
				for range 30 {
					run() // rueidis makes each of its connections when it first picks it
				}
				before := b.CommandCount()
				run()
				each := b.CommandCount() - before
				b.SetTime(time.Now().Add(jump))
				run()
				before = b.CommandCount()
				run()
				if got := b.CommandCount() - before; got != each {
					t.Errorf("%d commands once the time is known, %d before", got, each)
				}
			})
		})
	}
}

// A script that is executed while its caller waits has been executed, even if it
// took long; one that is executed later has not.
func TestAScriptRunsInTimeOrNotAtAll(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		after time.Duration
		want  string
	}{
		"in time": {1900 * time.Millisecond, "2"},
		"late":    {2100 * time.Millisecond, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				c, s := New(link.Client(t), 2*time.Second), NewScript("count", counts)
				if _, err := s.Exec(t.Context(), c, []string{"k"}); err != nil {
					t.Fatal(err)
				}
				link.Freeze()
				time.AfterFunc(test.after, link.Heal)
				_, err := s.Exec(t.Context(), c, []string{"k"})
				if late := test.want == "1"; errors.Is(err, ErrUnavailable) != late {
					t.Error(err)
				}
				time.Sleep(time.Second)
				if got, err := b.Get("k"); got != test.want || err != nil {
					t.Errorf("the script was executed %s times, %v", got, err)
				}
			})
		})
	}
}

// counting counts the commands that a client sends.
type counting struct {
	rueidis.Client
	sent int
}

func (c *counting) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	c.sent++
	return c.Client.Do(ctx, cmd)
}

// In an hour without an instance that hears the time, it is asked for once a minute.
func TestTheTimeIsAskedForSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := &counting{Client: redistest.NewBubble(t).Client(t)}
		c, s := New(client, 0), NewScript("count", counts)
		for range 3600 {
			if _, err := s.Exec(t.Context(), c, []string{"k"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if asked := client.sent - 3600; asked < 60 || asked > 64 {
			t.Errorf("besides the scripts there were %d commands", asked)
		}
	})
}

func BenchmarkScript(b *testing.B) {
	c, s := New(redistest.Real(b).Client(b), 0), NewScript("count", counts)
	for b.Loop() {
		if _, err := s.Exec(b.Context(), c, []string{"{bench}k"}); err != nil {
			b.Fatal(err)
		}
	}
}
