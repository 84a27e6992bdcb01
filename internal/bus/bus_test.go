package bus

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func newBusWithoutRedis() *Bus { return &Bus{logger: slog.New(slog.DiscardHandler), feeds: newFeeds()} }

// newBus returns a bus that nobody else reads.
func newBus(t testing.TB, client rueidis.Client) (*Bus, redisx.Client) {
	t.Helper()
	keys, err := rediskeys.New(redistest.NewPrefix())
	if err != nil {
		t.Fatal(err)
	}
	rdb := redisx.New(client, 0)
	return New(rdb, keys, slog.New(slog.DiscardHandler)), rdb
}

// again returns a second instance's connection to the bus.
func (b *Bus) again() *Bus { return New(b.rdb, b.keys, b.logger) }

// rawEntries are the fields and values of all entries, in their order.
func rawEntries(t testing.TB, rdb redisx.Client, b *Bus) (entries [][]string) {
	t.Helper()
	all, err := rdb.Do(t.Context(), rdb.B().Xrange().Key(b.keys.Bus()).Start("-").End("+").Build()).ToArray()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		parts, err := e.ToArray()
		if err != nil {
			t.Fatal(err)
		}
		fields, err := parts[1].AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, fields)
	}
	return entries
}

// entries are all entries of the bus.
func entries(t testing.TB, rdb redisx.Client, b *Bus) []rueidis.XRangeEntry {
	t.Helper()
	all, err := rdb.Do(t.Context(), rdb.B().Xrange().Key(b.keys.Bus()).Start("-").End("+").Build()).AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryMessageNamesTheOneBefore(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, rdb := newBus(t, s.Client(t))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				other := b.again()
				for range 50 {
					if err := other.Publish(t.Context(), ResourceUpdated{URI: "a:b"}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		all := entries(t, rdb, b)
		if len(all) != 200 {
			t.Errorf("%d messages", len(all))
		}
		before := "0-0"
		for _, e := range all {
			if e.FieldValues["p"] != before {
				t.Fatalf("%s is said to follow %s, and follows %s", e.ID, e.FieldValues["p"], before)
			}
			before = e.ID
		}
		redistest.AssertTTLs(t, s.Client(t), b.keys.Prefix())
	})
}

func TestTheBusIsBounded(t *testing.T) {
	t.Parallel()
	b, rdb := newBus(t, redistest.Real(t).Client(t)) // a miniredis would take minutes
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range maxEntries / 16 {
				if err := b.Publish(t.Context(), ResourceUpdated{URI: "a:b"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	kept, err := rdb.Do(t.Context(), rdb.B().Xlen().Key(b.keys.Bus()).Build()).AsInt64()
	if err != nil || kept < maxEntries || kept > maxEntries+maxEntries/10 {
		t.Errorf("%d messages are kept, %v", kept, err)
	}
	// Who joins now finds a bus of which the beginning is gone.
	late := b.again()
	if err := late.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tail := &late.feeds.tail; tail.floor == (Position{}) || len(tail.changes) < maxEntries-1 {
		t.Errorf("a new instance knows %d changes behind %v", len(tail.changes), tail.floor)
	}
}

func TestTheBusLivesWhileAnInstanceDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bubble := redistest.NewBubble(t)
		b, rdb := newBus(t, bubble.Client(t))
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 {
			instance := New(redisx.New(bubble.Client(t), 0), b.keys, b.logger)
			if err := instance.Join(t.Context()); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { instance.Run(ctx, Handlers{}) })
		}
		for range 3 {
			time.Sleep(20 * time.Second) // nobody publishes anything
			left, err := rdb.Do(t.Context(), rdb.B().Pttl().Key(b.keys.Bus()).Build()).AsInt64()
			if err != nil || time.Duration(left)*time.Millisecond < busTTL-2*checkEvery {
				t.Errorf("%d ms are left, %v", left, err)
			}
		}
		stop()
		wg.Wait()
		time.Sleep(busTTL + time.Minute)
		if left := redistest.Keys(t, rdb.Client, b.keys.Prefix()); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// An instance that has not read as far as a client waits until it has, but not
// for what the bus does not hold, nor for longer than for Redis.
func TestReachWaitsForWhatIsOnTheBus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rdb := newBus(t, redistest.NewBubble(t).Client(t))
		if err := b.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Publish(t.Context(), ResourceUpdated{URI: "a:b"}); err != nil {
			t.Fatal(err)
		}
		all := entries(t, rdb, b)
		end, _ := ParsePosition(all[len(all)-1].ID)
		took := func(at Position) time.Duration {
			start := time.Now()
			b.Reach(t.Context(), at)
			return time.Since(start)
		}
		if d := took(b.Position()); d != 0 {
			t.Errorf("for what has been read it waits %v", d)
		}
		if d := took(Position{end.ms + 1, 0}); d != 0 {
			t.Errorf("for what is not on the bus it waits %v", d)
		}
		if d := took(end); d != rdb.Timeout {
			t.Errorf("for what is never read it waits %v", d)
		}
		time.AfterFunc(time.Second, func() { b.apply(all[len(all)-1], Handlers{}) })
		if d := took(end); d != time.Second {
			t.Errorf("for what is read after a second it waits %v", d)
		}
	})
}

// What the past says of sessions and calls is of no interest to an instance that
// joins: none of them runs there.
func TestWhoJoinsLearnsOfPastChangesAndActsOnNothingElse(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, _ := newBus(t, s.Client(t))
		for _, m := range []Message{SessionEnded{Session: "past"}, ResourceUpdated{URI: "a:b"}, CallCancelled{Session: "past"}} {
			if err := b.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		late := b.again()
		if err := late.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(late.feeds.tail.changes) != 1 {
			t.Errorf("it knows %d changes", len(late.feeds.tail.changes))
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan string, 4)
		var wg sync.WaitGroup
		wg.Go(func() {
			late.Run(ctx, Handlers{
				SessionEnded:  func(m SessionEnded) { ended <- m.Session },
				CallCancelled: func(m CallCancelled) { ended <- m.Session },
			})
		})
		if err := b.Publish(t.Context(), SessionEnded{Session: "now"}); err != nil {
			t.Fatal(err)
		}
		if got := <-ended; got != "now" {
			t.Errorf("it acted on %s", got)
		}
		stop()
		wg.Wait()
	})
}

// Instances that notice a loss at the same moment mark it once. The mark is
// behind all that they had read, whatever the clock of the new primary says, or
// none of them would read it.
func TestAMarkOfALossIsBehindAllThatWasRead(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, rdb := newBus(t, s.Client(t))
		publish := func() {
			t.Helper()
			if err := b.Publish(t.Context(), ResourceUpdated{URI: "a:b"}); err != nil {
				t.Fatal(err)
			}
		}
		publish()
		kept, _ := ParsePosition(entries(t, rdb, b)[0].ID)
		read := Position{kept.ms + uint64(time.Hour.Milliseconds()), 5}
		for range 2 {
			other := b.again()
			other.readBeforeLoss = read
			if err := other.markLoss(t.Context()); err != nil || other.readBeforeLoss != (Position{}) {
				t.Fatalf("%v, then the loss is at %v", err, other.readBeforeLoss)
			}
		}
		publish()
		all := entries(t, rdb, b)
		if len(all) != 3 || all[1].FieldValues["k"] != "lost" {
			t.Fatalf("the bus is %v", all)
		}
		mark := all[1]
		if at, _ := ParsePosition(mark.ID); !read.Before(at) {
			t.Errorf("the mark is at %s, and %v had been read", mark.ID, read)
		}
		if mark.FieldValues["p"] != "" || all[2].FieldValues["p"] != mark.ID {
			t.Errorf("the mark is %v, what follows is %v", mark, all[2])
		}
		redistest.AssertTTLs(t, s.Client(t), b.keys.Prefix())
	})
}
