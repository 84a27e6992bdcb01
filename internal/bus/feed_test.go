package bus

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// A testBus is the feeds of a bus and their tail, without any Redis.
type testBus struct {
	*feeds
	next    uint64
	applied []*Change // all, also what the tail has dropped
}

func newTestBus() *testBus {
	b := &testBus{feeds: newFeeds(), next: 1}
	b.tail.reset(Position{})
	return b
}

// at returns the next position on the bus.
func (b *testBus) at() Position {
	at := Position{b.next / 3, b.next % 3} // some positions follow each other closely
	b.next++
	return at
}

func (b *testBus) update(uri string) *Change { return b.change(newUpdate(b.at(), uri)) }
func (b *testBus) list(list List) *Change    { return b.change(newListChange(b.at(), list)) }

func (b *testBus) change(c *Change) *Change {
	b.applied = append(b.applied, c)
	b.feeds.apply(c)
	return c
}

func (b *testBus) newFeed() *Feed { return &Feed{feeds: b.feeds, wake: func() {}} }

// openFeed opens a feed that begins where the bus is.
func (b *testBus) openFeed(uris ...string) *Feed {
	f := b.newFeed()
	f.Open(b.tail.position(), true, wanted(uris...), map[List]bool{})
	return f
}

func wanted(uris ...string) map[string]Position {
	wanted := map[string]Position{}
	for _, uri := range uris {
		wanted[uri] = Position{}
	}
	return wanted
}

func wantItems(t *testing.T, items []Item, want ...*Change) {
	t.Helper()
	if !slices.EqualFunc(items, want, func(i Item, c *Change) bool { return i.Change == c }) {
		t.Errorf("%d items, want %d: %v", len(items), len(want), items)
	}
}

func take(t *testing.T, f *Feed) []Item {
	t.Helper()
	items, lost := f.Take()
	if lost {
		t.Error("the feed has lost something")
	}
	return items
}

// A feed may be looked at when a change is marked and not yet in the tail.
func TestAMarkOutlivesALookBeforeItsChangeIsThere(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 1, 3} { // looks before
		b := newTestBus()
		f := b.openFeed("a:b")
		for range before {
			take(t, f)
		}
		b.update("c:d")
		c := newUpdate(b.at(), "a:b")
		f.mark(c.at)
		wantItems(t, take(t, f))
		b.tail.add(c)
		wantItems(t, take(t, f), c)
		wantItems(t, take(t, f))
	}
}

// A feed may be looked at when it has been told of a loss and the tail not yet,
// and the other way round it must not be possible.
func TestALossIsNotOverlookedBeforeTheTailShowsIt(t *testing.T) {
	t.Parallel()
	b := newTestBus()
	f := b.openFeed("a:b")
	take(t, f)
	f.reset()
	if items, lost := f.Take(); !lost || len(items) != 1 {
		t.Errorf("%d items, lost %v", len(items), lost)
	}
	b.tail.reset(b.at())
	wantItems(t, take(t, f)) // it has been told of everything
	wantItems(t, take(t, f))
	c := b.update("a:b")
	wantItems(t, take(t, f), c)
}

func TestEveryFeedLearnsOfALoss(t *testing.T) {
	t.Parallel()
	b := newTestBus()
	idle, behind, other := b.openFeed("a:b"), b.openFeed("a:b"), b.openFeed("c:d", "e:f")
	other.lists["tools"] = true
	nothing := b.openFeed()
	take(t, idle)
	b.update("a:b")
	take(t, idle)
	b.feeds.reset(b.at())
	for f, want := range map[*Feed]int{idle: 1, behind: 1, other: 3, nothing: 0} {
		items, lost := f.Take()
		if !lost || len(items) != want {
			t.Errorf("%d items, lost %v, want %d", len(items), lost, want)
		}
		for i, item := range items {
			if up := item.At == b.tail.position(); up != (i == len(items)-1) {
				t.Errorf("up to date with item %d: %v", i, up)
			}
		}
		wantItems(t, take(t, f))
	}
}

// On a busy bus a feed that wants little of it is not behind.
func TestWhatIsNotWantedDoesNotMakeAFeedFallBehind(t *testing.T) {
	t.Parallel()
	b := newTestBus()
	f := b.openFeed("a:b")
	take(t, f)
	for range 5 * maxEntries {
		b.update("c:d")
	}
	c := b.update("a:b")
	wantItems(t, take(t, f), c)
}

func TestAFeedThatIsTooFarBehindIsToldOfEverything(t *testing.T) {
	t.Parallel()
	b := newTestBus()
	f := b.openFeed("a:b", "c:d")
	take(t, f)
	for range 2*maxEntries + 1 {
		b.update("a:b")
	}
	if items, lost := f.Take(); !lost || len(items) != 2 {
		t.Errorf("%d items, lost %v", len(items), lost)
	}
	wantItems(t, take(t, f))
}

func TestAFeedIsTakenInParts(t *testing.T) {
	t.Parallel()
	b := newTestBus()
	f := b.openFeed("a:b")
	const count = 3*maxTaken + 7
	for range count {
		b.update("a:b")
		b.update("c:d")
	}
	var got []*Change
	for {
		items := take(t, f)
		if len(items) > maxTaken {
			t.Fatalf("%d items at once", len(items))
		}
		if len(items) == 0 {
			break
		}
		for _, i := range items {
			got = append(got, i.Change)
		}
		if at, known := f.Position(); !known || at.Before(items[len(items)-1].At) {
			t.Fatalf("the feed is at %v, %v", at, known)
		}
		if at, _ := f.Position(); len(items) == maxTaken && at != items[maxTaken-1].At {
			t.Fatalf("the feed is at %v, what was taken reaches to %v", at, items[maxTaken-1].At)
		}
	}
	if len(got) != count {
		t.Errorf("%d changes were taken, want %d", len(got), count)
	}
}

func TestANewSubscriptionCountsFromItsPosition(t *testing.T) {
	t.Parallel()
	type step func(b *testBus, f *Feed)
	look := func(_ *testBus, f *Feed) { f.Take() }
	for _, test := range []struct {
		name  string
		steps []step // between the position and the subscription
		want  int
	}{
		{"nothing has happened", []step{look}, 0},
		{"the feed has passed an update", []step{func(b *testBus, _ *Feed) { b.update("new") }, look}, 1},
		{"the feed has passed three", []step{func(b *testBus, _ *Feed) { b.update("new"); b.update("new"); b.update("new") }, look}, 1},
		{"the feed has not passed it", []step{look, func(b *testBus, _ *Feed) { b.update("new") }}, 1},
		{"it has passed one and not the other", []step{func(b *testBus, _ *Feed) { b.update("new") }, look, func(b *testBus, _ *Feed) { b.update("new") }}, 2},
		{"something else has happened", []step{func(b *testBus, _ *Feed) { b.update("old"); b.list("tools") }, look}, 0},
		{"all that is dropped", []step{func(b *testBus, f *Feed) {
			for range 2*maxEntries + 1 {
				b.update("other")
			}
		}, look}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newTestBus()
			f := b.openFeed("old")
			b.update("new") // before the position
			from := b.tail.position()
			for _, s := range test.steps {
				s(b, f)
			}
			at, _ := f.Position()
			f.Subscribe(map[string]Position{"old": {}, "new": from})
			var got int
			items := take(t, f)
			for _, i := range items {
				if i.Change.URI == "new" {
					got++
				}
			}
			if got != test.want {
				t.Errorf("%d updates, want %d", got, test.want)
			}
			if len(items) > 0 && items[len(items)-1].At.Before(at) {
				t.Errorf("with the last the client is at %v, the feed was at %v", items[len(items)-1].At, at)
			}
			wantItems(t, take(t, f))
			c := b.update("new")
			wantItems(t, take(t, f), c)
		})
	}
}

func TestAnEndedSubscriptionIsNotToldOf(t *testing.T) {
	t.Parallel()
	b := newTestBus()
	f := b.openFeed("a:b", "c:d")
	b.update("a:b")
	f.Subscribe(wanted("c:d"))
	b.update("a:b")
	c := b.update("c:d")
	wantItems(t, take(t, f), c)
}

func TestAnAnnouncedListCountsFromItsPosition(t *testing.T) {
	t.Parallel()
	b := newTestBus()
	f := b.openFeed()
	b.list("tools") // before the position
	from := b.tail.position()
	b.list("tools")
	take(t, f)
	f.Announce(map[List]bool{"tools": true, "prompts": true}, from)
	if items := take(t, f); len(items) != 1 || items[0].Change.List != "tools" {
		t.Errorf("%d items", len(items))
	}
	c := b.list("prompts")
	b.list("resources")
	wantItems(t, take(t, f), c)
}

// What a feed that was removed wanted is forgotten, whatever it wanted before.
func TestTheFeedsOfAnInstanceKeepNothingOfThoseThatLeft(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := newTestBus()
		all := make([]*Feed, 4)
		uris := func() []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID).Draw(rt, "uris")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"open": func(rt *rapid.T) {
				i := rapid.IntRange(0, len(all)-1).Draw(rt, "i")
				if all[i] == nil {
					all[i] = b.openFeed(uris()...)
				}
			},
			"subscribe": func(rt *rapid.T) {
				if f := rapid.SampledFrom(all).Draw(rt, "f"); f != nil {
					f.Subscribe(wanted(uris()...))
				}
			},
			"announce": func(rt *rapid.T) {
				if f := rapid.SampledFrom(all).Draw(rt, "f"); f != nil {
					f.Announce(map[List]bool{"tools": true}, Position{})
				}
			},
			"remove": func(rt *rapid.T) {
				i := rapid.IntRange(0, len(all)-1).Draw(rt, "i")
				if all[i] != nil {
					all[i].Close()
					all[i] = nil
				}
			},
			"": func(rt *rapid.T) {
				byURI, byList := map[string]int{}, map[List]int{}
				count := 0
				for _, f := range all {
					if f == nil {
						continue
					}
					count++
					for uri := range f.uris {
						byURI[uri]++
					}
					for list := range f.lists {
						byList[list]++
					}
				}
				if len(b.feeds.open) != count || len(b.feeds.byURI) != len(byURI) {
					rt.Fatalf("%d feeds under %d URIs, want %d under %d", len(b.feeds.open), len(b.feeds.byURI), count, len(byURI))
				}
				for uri, n := range byURI {
					if len(b.feeds.byURI[uri]) != n {
						rt.Fatalf("%d feeds under %s, want %d", len(b.feeds.byURI[uri]), uri, n)
					}
				}
				for _, list := range Lists {
					if len(b.feeds.byList[list]) != byList[list] {
						rt.Fatalf("%d feeds under %s, want %d", len(b.feeds.byList[list]), list, byList[list])
					}
				}
			},
		})
	})
}

// Goroutines apply, take and subscribe at the same time.
func TestFeedsMissNothingWhileTheBusGoesOn(t *testing.T) {
	t.Parallel()
	const changes, takers, uris = 5_000, 8, 5
	b := newTestBus()
	over := make(chan struct{})
	var wg sync.WaitGroup
	for n := range takers {
		wake := make(chan struct{}, 1)
		f := b.newFeed()
		f.wake = func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
		own := fmt.Sprint(n % uris) // wanted from the beginning
		f.Open(Position{}, true, wanted(own), map[List]bool{})
		since := map[string]Position{own: {}}
		var mu sync.Mutex
		wg.Go(func() { // as the client subscribes and unsubscribes
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			for {
				select {
				case <-over:
					return
				default:
				}
				next := map[string]Position{own: {}}
				mu.Lock()
				for uri := range uris {
					uri := fmt.Sprint(uri)
					if from, had := since[uri]; had && rng.IntN(3) > 0 {
						next[uri] = from
					} else if !had && rng.IntN(2) > 0 {
						next[uri] = b.tail.position()
					}
				}
				since = next
				mu.Unlock()
				f.Subscribe(maps.Clone(next))
				runtime.Gosched()
			}
		})
		wg.Go(func() {
			var got []*Change
			look := func() {
				for {
					items, lost := f.Take()
					if lost {
						t.Error("something was lost")
						return
					}
					for _, i := range items {
						if i.Change.URI == own {
							got = append(got, i.Change)
						}
					}
					if len(items) == 0 {
						return
					}
				}
			}
			for done := false; !done; {
				select {
				case <-wake:
				case <-over:
					done = true
				}
				look()
				look() // once more, as for a keep-alive
			}
			want := slices.DeleteFunc(slices.Clone(b.applied), func(c *Change) bool { return c.URI != own })
			if !slices.Equal(got, want) {
				t.Errorf("taker %d: %d changes, want %d", n, len(got), len(want))
			}
		})
	}
	for i := range changes {
		b.update(fmt.Sprint(i % uris))
		if i%7 == 0 {
			runtime.Gosched()
		}
	}
	close(over)
	wg.Wait()
}

// A subscription that is made while the bus goes on gets everything from its
// position on, at least once.
func TestASubscriptionOnABusyBusMissesNothing(t *testing.T) {
	t.Parallel()
	for range 300 {
		b := newTestBus()
		f := b.openFeed()
		var wg sync.WaitGroup
		begun, done := make(chan Position, 1), make(chan struct{})
		var from Position
		wg.Go(func() {
			for i := range 60 {
				if i == 20 {
					from = b.tail.position()
					begun <- from
				}
				b.update("a:b")
				b.update("c:d")
			}
			close(done)
		})
		wg.Go(func() { f.Subscribe(map[string]Position{"a:b": <-begun}) })
		var items []Item
		wg.Go(func() {
			for over := false; !over; {
				select {
				case <-done:
					over = true
				default:
				}
				items = append(items, take(t, f)...)
			}
		})
		wg.Wait()
		items = append(items, take(t, f)...)
		if len(items) == 0 {
			t.Fatal("nothing was taken")
		}
		// One for all that the feed had passed, and each one after it.
		if first := items[0]; !slices.Contains(b.applied, first.Change) {
			from, items = first.Change.at, items[1:]
		}
		wantItems(t, items, slices.DeleteFunc(b.applied, func(c *Change) bool { return c.URI != "a:b" || !from.Before(c.at) })...)
	}
}

// Changes that nobody here wants, and time, leave gaps between positions. A look
// between the mark and the change must not take the gap for a bus that has lost
// its end.
func TestALookBehindAMarkFindsNoLossInAGap(t *testing.T) {
	t.Parallel()
	b := &testBus{feeds: newFeeds()}
	b.tail.add(newUpdate(Position{1, 0}, "a:b"))
	f := b.newFeed()
	f.Open(b.tail.position(), true, wanted("a:b"), nil)
	take(t, f)
	c := newUpdate(Position{5, 0}, "a:b")
	f.mark(c.at)
	wantItems(t, take(t, f))
	b.tail.add(c)
	wantItems(t, take(t, f), c)
	wantItems(t, take(t, f))
}

// A loss is the client's fault only if the tail has gone on without it.
func TestAFeedKnowsWhoseFaultALossIs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lose func(b *testBus)
		slow bool
	}{
		"more is wanted than the tail keeps": {func(b *testBus) {
			for range 2 * maxEntries {
				b.update("a")
			}
		}, true},
		"something was missed":                  {func(b *testBus) { b.reset(b.at()) }, false},
		"something was missed, and much wanted": {func(b *testBus) { b.reset(b.at()); b.update("a") }, false},
		"the bus ends before where the client is": {func(b *testBus) {
			b.update("a")
			b.tail.reset(Position{})
		}, false},
	} {
		b := newTestBus()
		b.update("a")
		f := b.openFeed("a")
		test.lose(b)
		if _, lost := f.Take(); !lost || f.Slow() != test.slow {
			t.Errorf("%s: lost %v, slow %v", name, lost, f.Slow())
		}
	}
}
