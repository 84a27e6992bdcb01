package redistest_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func set(t *testing.T, c rueidis.Client, key string, ttl time.Duration) {
	t.Helper()
	cmd := c.B().Set().Key(key).Value("v").Build()
	if ttl > 0 {
		cmd = c.B().Set().Key(key).Value("v").Px(ttl).Build()
	}
	if err := c.Do(t.Context(), cmd).Error(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryKeyOfAPrefixIsFoundOnEveryNode(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c, prefix := s.Client(t), s.Prefix(t)
		const n = 50
		for i := range n {
			set(t, c, prefix+":"+strconv.Itoa(i), time.Minute)
		}
		set(t, c, prefix+"x:other", time.Minute)
		if got := redistest.AssertTTLs(t, c, prefix); len(got) != n {
			t.Errorf("found %d keys, want %d", len(got), n)
		}
		set(t, c, prefix+":eternal", 0)
		var eternal int
		for _, k := range redistest.Keys(t, c, prefix) {
			if k.TTL < 0 {
				eternal++
			}
		}
		if eternal != 1 {
			t.Errorf("found %d keys without TTL, want 1", eternal)
		}
	})
}

func TestClusterHasThreeNodes(t *testing.T) {
	t.Parallel()
	s := redistest.RealCluster(t)
	c := s.Client(t)
	if got := len(c.Nodes()); got != 3 || c.Mode() != rueidis.ClientModeCluster {
		t.Errorf("%d nodes in mode %s", got, c.Mode())
	}
}

func TestAPrivateServerCanBeKilledAndFrozen(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--maxmemory", "50mb")
	c := s.Client(t)
	ping := func(d time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		return c.Do(ctx, c.B().Ping().Build()).Error()
	}
	if err := ping(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	s.Freeze(t)
	if err := ping(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping of a frozen server: %v", err)
	}
	s.Thaw(t)
	s.Kill()
	if err := ping(50 * time.Millisecond); err == nil {
		t.Error("a killed server answered")
	}
	s.Restart(t)
	redistest.Until(t, "the restarted server answers", func() bool { return ping(time.Second) == nil })
	s.Stop()
}

func TestTimePassesInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := redistest.NewBubble(t).Client(t)
		set(t, c, "p:short", time.Hour)
		time.Sleep(time.Hour)
		if left := redistest.Keys(t, c, "p"); len(left) != 0 {
			t.Errorf("%v outlived its TTL", left)
		}
	})
}

func incr(t *testing.T, c rueidis.Client) error {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return c.Do(ctx, c.B().Incr().Key("n").Build()).Error()
}

func wantN(t *testing.T, c rueidis.Client, want string) {
	t.Helper()
	got, err := c.Do(t.Context(), c.B().Get().Key("n").Build()).ToString()
	if err != nil || got != want {
		t.Errorf("n = %s, %v; want %s", got, err, want)
	}
}

func TestACutLinkCarriesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		link := b.Link()
		mine, other := link.Client(t), b.Client(t)
		if err := incr(t, mine); err != nil {
			t.Fatal(err)
		}
		link.Cut()
		for range 3 {
			if err := incr(t, mine); err == nil {
				t.Error("a cut link carried a command")
			}
		}
		link.Heal()
		wantN(t, mine, "1")
		wantN(t, other, "1")
	})
}

func TestACutLinkToARealServer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		link, key := s.Link(), s.Prefix(t)+":k"
		mine := link.Client(t)
		set(t, mine, key, time.Minute)
		link.Cut()
		for range 3 {
			if err := mine.Do(t.Context(), mine.B().Del().Key(key).Build()).Error(); err == nil {
				t.Error("a cut link carried a command")
			}
		}
		link.Heal()
		if err := mine.Do(t.Context(), mine.B().Get().Key(key).Build()).Error(); err != nil {
			t.Errorf("over the healed link: %v", err)
		}
	})
}

func TestAFrozenLinkDeliversLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		link := b.Link()
		mine, other := link.Client(t), b.Client(t)
		for range 10 { // every connection of the client is open
			if err := incr(t, mine); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		link.Freeze()
		if err := incr(t, mine); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("over a frozen link: %v after %v", err, time.Since(start))
		}
		wantN(t, other, "10")
		link.Heal()
		synctest.Wait()
		wantN(t, other, "11")
	})
}
