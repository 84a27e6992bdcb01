package node

import (
	"strings"
	"sync"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// bus is a tail that has heard count changes, at 1-0, 2-0 and so on.
func heardBus(count int) *tail {
	t := &tail{}
	for i := range count {
		t.add(newUpdate(position{uint64(i + 1), 0}, "a:b"))
	}
	return t
}

func TestATailKnowsWhatCameAfterAPosition(t *testing.T) {
	t.Parallel()
	bus := heardBus(5)
	bus.pass(position{6, 3})
	for _, test := range []struct {
		after position
		from  uint64 // ms of the first change
		count int
		ok    bool
	}{
		{position{0, 0}, 1, 5, true},
		{position{1, 0}, 2, 4, true},  // a change's own
		{position{1, 7}, 2, 4, true},  // between two
		{position{4, 99}, 5, 1, true}, // before the last
		{position{5, 0}, 0, 0, true},
		{position{6, 3}, 0, 0, true},
		{position{6, 4}, 0, 0, false}, // not heard yet, or lost
		{position{9, 0}, 0, 0, false},
	} {
		changes, last, ok := bus.since(test.after)
		if len(changes) != test.count || ok != test.ok || last != (position{6, 3}) {
			t.Errorf("after %v: %d changes, last %v, %v", test.after, len(changes), last, ok)
		}
		if len(changes) > 0 && changes[0].at.ms != test.from {
			t.Errorf("after %v comes %v", test.after, changes[0].at)
		}
	}
}

func TestATailForgetsTheOldestAndSaysSo(t *testing.T) {
	t.Parallel()
	bus := heardBus(2*maxBus - 1)
	if changes, _, ok := bus.since(position{}); !ok || len(changes) != 2*maxBus-1 {
		t.Fatalf("%d changes, %v", len(changes), ok)
	}
	held, _, _ := bus.since(position{1, 0}) // of a slow feed
	bus.add(newUpdate(position{2 * maxBus, 0}, "a:b"))
	for ms, want := range map[uint64]int{0: -1, 1: -1, maxBus - 1: -1, maxBus: maxBus, maxBus + 1: maxBus - 1, 2 * maxBus: 0} {
		changes, _, ok := bus.since(position{ms, 0})
		if ok != (want >= 0) || ok && len(changes) != want {
			t.Errorf("after %d: %d changes, %v, want %d", ms, len(changes), ok, want)
		}
	}
	if _, _, ok := bus.since(position{maxBus, 0}.previous()); ok {
		t.Error("the tail vouches for a change that it has forgotten")
	}
	for range 3 * maxBus {
		bus.add(newUpdate(position{bus.last.ms + 1, 0}, "a:b"))
		if len(bus.changes) >= 2*maxBus || len(bus.changes) < maxBus {
			t.Fatalf("the tail has %d changes", len(bus.changes))
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
	bus, large, sum := &tail{}, strings.Repeat("x", maxTailBytes+1), 0
	for i := range 4 * maxTailBytes / sessionstore.MaxURI {
		bus.add(&change{at: position{uint64(i + 1), 0}, uri: large[:sessionstore.MaxURI]})
	}
	for _, c := range bus.changes {
		sum += c.size()
	}
	if sum != bus.bytes || sum > maxTailBytes || sum < maxTailBytes/4 {
		t.Errorf("%d bytes, counted %d", sum, bus.bytes)
	}
	if _, _, ok := bus.since(bus.floor.previous()); ok || bus.floor.ms+1 != bus.changes[0].at.ms {
		t.Errorf("behind %v the first is %v, %v", bus.floor, bus.changes[0].at, ok)
	}
	// Of one change that is larger than everything nothing is left.
	bus.add(&change{at: position{1 << 40, 0}, uri: large})
	if _, _, ok := bus.since(position{1 << 40, 0}.previous()); ok || len(bus.changes) > 0 {
		t.Errorf("%d changes, %v", len(bus.changes), ok)
	}
	bus.add(newUpdate(position{2 << 40, 0}, "a:b"))
	if changes, _, ok := bus.since(position{1 << 40, 0}); !ok || len(changes) != 1 {
		t.Errorf("%d changes, %v", len(changes), ok)
	}
	if bus.bytes > maxTailBytes {
		t.Errorf("%d bytes", bus.bytes)
	}
}

func TestATailThatWasResetVouchesForNothingBefore(t *testing.T) {
	t.Parallel()
	bus := heardBus(5)
	bus.reset(position{9, 0})
	for after, want := range map[position]bool{{}: false, {3, 0}: false, {5, 0}: false, {8, 9}: false, {9, 0}: true, {9, 1}: false} {
		if changes, _, ok := bus.since(after); ok != want || len(changes) > 0 {
			t.Errorf("after %v: %d changes, %v", after, len(changes), ok)
		}
	}
	if bus.bytes != 0 {
		t.Errorf("%d bytes of nothing", bus.bytes)
	}
}

// The tail is read by many while one adds.
func TestATailIsReadWhileItGrows(t *testing.T) {
	t.Parallel()
	bus := heardBus(1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for at := (position{1, 0}); at.ms < 3*maxBus; {
				changes, last, ok := bus.since(at)
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
	for i := range 3 * maxBus {
		bus.add(newUpdate(position{uint64(i + 2), 0}, "a:b"))
	}
	wg.Wait()
}

func TestAChangeIsEncodedForSessionsAndListeners(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change            *change
		session, listener string
	}{
		{
			newUpdate(position{1, 0}, `a:"b"`),
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:\"b\""}}`,
			`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7},"uri":"a:\"b\""}}`,
		},
		{
			newListChange(position{1, 0}, "tools"),
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}`,
		},
	} {
		if got := string(test.change.message); got != test.session {
			t.Errorf("for a session: %s", got)
		}
		if got := string(test.change.forListener([]byte(`7`))); got != test.listener {
			t.Errorf("for a listener: %s", got)
		}
	}
}
