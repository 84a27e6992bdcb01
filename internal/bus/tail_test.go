package bus

import (
	"strings"
	"sync"
	"testing"
)

// tailOf is a tail with count changes, at 1-0, 2-0 and so on.
func tailOf(count int) *tail {
	t := &tail{}
	for i := range count {
		t.add(newUpdate(Position{uint64(i + 1), 0}, "a:b"))
	}
	return t
}

func TestATailKnowsWhatCameAfterAPosition(t *testing.T) {
	t.Parallel()
	tail := tailOf(5)
	tail.advance(Position{6, 3})
	for _, test := range []struct {
		after Position
		from  uint64 // ms of the first change
		count int
		ok    bool
	}{
		{Position{0, 0}, 1, 5, true},
		{Position{1, 0}, 2, 4, true},  // a change's own
		{Position{1, 7}, 2, 4, true},  // between two
		{Position{4, 99}, 5, 1, true}, // before the last
		{Position{5, 0}, 0, 0, true},
		{Position{6, 3}, 0, 0, true},
		{Position{6, 4}, 0, 0, false}, // not read yet, or lost
		{Position{9, 0}, 0, 0, false},
	} {
		changes, last, ok := tail.since(test.after)
		if len(changes) != test.count || ok != test.ok || last != (Position{6, 3}) {
			t.Errorf("after %v: %d changes, last %v, %v", test.after, len(changes), last, ok)
		}
		if len(changes) > 0 && changes[0].at.ms != test.from {
			t.Errorf("after %v comes %v", test.after, changes[0].at)
		}
	}
}

func TestATailDropsTheOldestAndSaysSo(t *testing.T) {
	t.Parallel()
	tail := tailOf(2*maxEntries - 1)
	if changes, _, ok := tail.since(Position{}); !ok || len(changes) != 2*maxEntries-1 {
		t.Fatalf("%d changes, %v", len(changes), ok)
	}
	held, _, _ := tail.since(Position{1, 0}) // of a slow feed
	tail.add(newUpdate(Position{2 * maxEntries, 0}, "a:b"))
	for ms, want := range map[uint64]int{0: -1, 1: -1, maxEntries - 1: -1, maxEntries: maxEntries, maxEntries + 1: maxEntries - 1, 2 * maxEntries: 0} {
		changes, _, ok := tail.since(Position{ms, 0})
		if ok != (want >= 0) || ok && len(changes) != want {
			t.Errorf("after %d: %d changes, %v, want %d", ms, len(changes), ok, want)
		}
	}
	if _, _, ok := tail.since(Position{maxEntries, 0}.previous()); ok {
		t.Error("the tail vouches for a change that it has dropped")
	}
	for range 3 * maxEntries {
		tail.add(newUpdate(Position{tail.last.ms + 1, 0}, "a:b"))
		if len(tail.changes) >= 2*maxEntries || len(tail.changes) < maxEntries {
			t.Fatalf("the tail has %d changes", len(tail.changes))
		}
	}
	for i, c := range held {
		if c.at.ms != uint64(i+2) {
			t.Fatalf("what was given out has changed: %v under %d", c.at, i)
		}
	}
}

func TestATailIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	tail, large, sum := &tail{}, strings.Repeat("x", maxTailBytes+1), 0
	for i := range 4 * maxTailBytes / (8 << 10) {
		tail.add(&Change{at: Position{uint64(i + 1), 0}, URI: large[:8<<10]})
	}
	for _, c := range tail.changes {
		sum += c.size()
	}
	if sum != tail.bytes || sum > maxTailBytes || sum < maxTailBytes/4 {
		t.Errorf("%d bytes, counted %d", sum, tail.bytes)
	}
	if _, _, ok := tail.since(tail.floor.previous()); ok || tail.floor.ms+1 != tail.changes[0].at.ms {
		t.Errorf("behind %v the first is %v, %v", tail.floor, tail.changes[0].at, ok)
	}
	// Of one change that is larger than everything nothing is left.
	tail.add(&Change{at: Position{1 << 40, 0}, URI: large})
	if _, _, ok := tail.since(Position{1 << 40, 0}.previous()); ok || len(tail.changes) > 0 {
		t.Errorf("%d changes, %v", len(tail.changes), ok)
	}
	tail.add(newUpdate(Position{2 << 40, 0}, "a:b"))
	if changes, _, ok := tail.since(Position{1 << 40, 0}); !ok || len(changes) != 1 {
		t.Errorf("%d changes, %v", len(changes), ok)
	}
	if tail.bytes > maxTailBytes {
		t.Errorf("%d bytes", tail.bytes)
	}
}

func TestATailThatWasResetVouchesForNothingBefore(t *testing.T) {
	t.Parallel()
	tail := tailOf(5)
	tail.reset(Position{9, 0})
	for after, want := range map[Position]bool{{}: false, {3, 0}: false, {5, 0}: false, {8, 9}: false, {9, 0}: true, {9, 1}: false} {
		if changes, _, ok := tail.since(after); ok != want || len(changes) > 0 {
			t.Errorf("after %v: %d changes, %v", after, len(changes), ok)
		}
	}
	if tail.bytes != 0 {
		t.Errorf("%d bytes of nothing", tail.bytes)
	}
}

// The tail is read by many while one adds.
func TestATailIsReadWhileItGrows(t *testing.T) {
	t.Parallel()
	tail := tailOf(1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for at := (Position{1, 0}); at.ms < 3*maxEntries; {
				changes, last, ok := tail.since(at)
				if !ok { // too slow
					at = last
					continue
				}
				for _, c := range changes {
					if c.at.ms != at.ms+1 {
						t.Errorf("after %v comes %v", at, c.at)
						return
					}
					at = c.at
				}
			}
		})
	}
	for i := range 3 * maxEntries {
		tail.add(newUpdate(Position{uint64(i + 2), 0}, "a:b"))
	}
	wg.Wait()
}
