package node

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

// A hearing is a bus that is heard and the feeds that want something of it,
// without any instance.
type hearing struct {
	tail  tail
	feeds *feeds
	next  uint64
	heard []*change // all, also what the tail has forgotten
}

func newHearing() *hearing {
	h := &hearing{feeds: newFeeds(), next: 1}
	h.tail.reset(position{})
	return h
}

// at returns the next position on the bus.
func (h *hearing) at() position {
	at := position{h.next / 3, h.next % 3} // some positions follow each other closely
	h.next++
	return at
}

func (h *hearing) update(uri string) *change { return h.hear(newUpdate(h.at(), uri)) }
func (h *hearing) list(list string) *change  { return h.hear(newListChange(h.at(), list)) }

func (h *hearing) hear(c *change) *change {
	h.heard = append(h.heard, c)
	h.feeds.hear(&h.tail, c)
	return c
}

// open lists a feed that begins where the bus is.
func (h *hearing) open(uris ...string) *feed {
	f := &feed{tail: &h.tail, wake: func() {}}
	f.open(h.tail.position(), true, wanted(uris...), map[string]bool{})
	h.feeds.add(f)
	return f
}

// subscribe has a feed want other resources, each from a position on, as
// [Node.reload] does.
func (h *hearing) subscribe(f *feed, uris map[string]position) {
	h.feeds.expect(f, uris)
	f.subscribe(uris)
	h.feeds.add(f)
}

func wanted(uris ...string) map[string]position {
	return Filter{URIs: uris}.uris()
}

func wantItems(t *testing.T, items []item, want ...*change) {
	t.Helper()
	if !slices.EqualFunc(items, want, func(i item, c *change) bool { return i.change == c }) {
		t.Errorf("%d items, want %d: %v", len(items), len(want), items)
	}
}

func take(t *testing.T, f *feed) []item {
	t.Helper()
	items, lost := f.take()
	if lost {
		t.Error("the feed has lost something")
	}
	return items
}

// A feed may be looked at when a change is marked and not yet in the tail.
func TestAMarkOutlivesALookBeforeItsChangeIsThere(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 1, 3} { // looks before
		h := newHearing()
		f := h.open("a:b")
		for range before {
			take(t, f)
		}
		h.update("c:d")
		c := newUpdate(h.at(), "a:b")
		f.mark(c.at)
		wantItems(t, take(t, f))
		h.tail.add(c)
		wantItems(t, take(t, f), c)
		wantItems(t, take(t, f))
	}
}

// A feed may be looked at when it has been told of a loss and the tail not yet,
// and the other way round it must not be possible.
func TestALossIsNotOverlookedBeforeTheTailShowsIt(t *testing.T) {
	t.Parallel()
	h := newHearing()
	f := h.open("a:b")
	take(t, f)
	f.lose()
	if items, lost := f.take(); !lost || len(items) != 1 {
		t.Errorf("%d items, lost %v", len(items), lost)
	}
	h.tail.reset(h.at())
	wantItems(t, take(t, f)) // it has been told of everything
	wantItems(t, take(t, f))
	c := h.update("a:b")
	wantItems(t, take(t, f), c)
}

func TestEveryFeedLearnsOfALoss(t *testing.T) {
	t.Parallel()
	h := newHearing()
	idle, behind, other := h.open("a:b"), h.open("a:b"), h.open("c:d", "e:f")
	other.lists["tools"] = true
	nothing := h.open()
	take(t, idle)
	h.update("a:b")
	take(t, idle)
	h.feeds.lose(&h.tail, h.at())
	for f, want := range map[*feed]int{idle: 1, behind: 1, other: 3, nothing: 0} {
		items, lost := f.take()
		if !lost || len(items) != want {
			t.Errorf("%d items, lost %v, want %d", len(items), lost, want)
		}
		for i, item := range items {
			if up := item.at == h.tail.position(); up != (i == len(items)-1) {
				t.Errorf("up to date with item %d: %v", i, up)
			}
		}
		wantItems(t, take(t, f))
	}
}

// On a busy bus a feed that wants little of it is not behind.
func TestWhatIsNotWantedDoesNotMakeAFeedFallBehind(t *testing.T) {
	t.Parallel()
	h := newHearing()
	f := h.open("a:b")
	take(t, f)
	for range 5 * maxBus {
		h.update("c:d")
	}
	c := h.update("a:b")
	wantItems(t, take(t, f), c)
}

func TestAFeedThatIsTooFarBehindIsToldOfEverything(t *testing.T) {
	t.Parallel()
	h := newHearing()
	f := h.open("a:b", "c:d")
	take(t, f)
	for range 2*maxBus + 1 {
		h.update("a:b")
	}
	if items, lost := f.take(); !lost || len(items) != 2 {
		t.Errorf("%d items, lost %v", len(items), lost)
	}
	wantItems(t, take(t, f))
}

func TestAFeedIsTakenInParts(t *testing.T) {
	t.Parallel()
	h := newHearing()
	f := h.open("a:b")
	const count = 3*maxTaken + 7
	for range count {
		h.update("a:b")
		h.update("c:d")
	}
	var got []*change
	for {
		items := take(t, f)
		if len(items) > maxTaken {
			t.Fatalf("%d items at once", len(items))
		}
		if len(items) == 0 {
			break
		}
		for _, i := range items {
			got = append(got, i.change)
		}
		if at, known := f.position(); !known || at.before(items[len(items)-1].at) {
			t.Fatalf("the feed is at %v, %v", at, known)
		}
		if at, _ := f.position(); len(items) == maxTaken && at != items[maxTaken-1].at {
			t.Fatalf("the feed is at %v, what was taken reaches to %v", at, items[maxTaken-1].at)
		}
	}
	if len(got) != count {
		t.Errorf("%d changes were taken, want %d", len(got), count)
	}
}

func TestANewSubscriptionCountsFromItsPosition(t *testing.T) {
	t.Parallel()
	type step func(h *hearing, f *feed)
	look := func(_ *hearing, f *feed) { f.take() }
	for _, test := range []struct {
		name  string
		steps []step // between the position and the subscription
		want  int
	}{
		{"nothing has happened", []step{look}, 0},
		{"the feed has passed an update", []step{func(h *hearing, _ *feed) { h.update("new") }, look}, 1},
		{"the feed has passed three", []step{func(h *hearing, _ *feed) { h.update("new"); h.update("new"); h.update("new") }, look}, 1},
		{"the feed has not passed it", []step{look, func(h *hearing, _ *feed) { h.update("new") }}, 1},
		{"it has passed one and not the other", []step{func(h *hearing, _ *feed) { h.update("new") }, look, func(h *hearing, _ *feed) { h.update("new") }}, 2},
		{"something else has happened", []step{func(h *hearing, _ *feed) { h.update("old"); h.list("tools") }, look}, 0},
		{"all that is forgotten", []step{func(h *hearing, f *feed) {
			for range 2*maxBus + 1 {
				h.update("other")
			}
		}, look}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHearing()
			f := h.open("old")
			h.update("new") // before the position
			from := h.tail.position()
			for _, s := range test.steps {
				s(h, f)
			}
			at, _ := f.position()
			h.subscribe(f, map[string]position{"old": {}, "new": from})
			var got int
			items := take(t, f)
			for _, i := range items {
				if i.change.uri == "new" {
					got++
				}
			}
			if got != test.want {
				t.Errorf("%d updates, want %d", got, test.want)
			}
			if len(items) > 0 && items[len(items)-1].at.before(at) {
				t.Errorf("with the last the client is at %v, the feed was at %v", items[len(items)-1].at, at)
			}
			wantItems(t, take(t, f))
			c := h.update("new")
			wantItems(t, take(t, f), c)
		})
	}
}

func TestAnEndedSubscriptionIsNotHeardOf(t *testing.T) {
	t.Parallel()
	h := newHearing()
	f := h.open("a:b", "c:d")
	h.update("a:b")
	h.subscribe(f, wanted("c:d"))
	h.update("a:b")
	c := h.update("c:d")
	wantItems(t, take(t, f), c)
}

func TestAnAnnouncedListCountsFromItsPosition(t *testing.T) {
	t.Parallel()
	h := newHearing()
	f := h.open()
	h.list("tools") // before the position
	from := h.tail.position()
	h.list("tools")
	take(t, f)
	h.feeds.expect(f, nil)
	f.announce(map[string]bool{"tools": true, "prompts": true}, from)
	h.feeds.add(f)
	if items := take(t, f); len(items) != 1 || items[0].change.list != "tools" {
		t.Errorf("%d items", len(items))
	}
	c := h.list("prompts")
	h.list("resources")
	wantItems(t, take(t, f), c)
}

// What a feed that was removed wanted is forgotten, whatever it wanted before.
func TestTheFeedsOfAnInstanceKeepNothingOfThoseThatLeft(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHearing()
		all := make([]*feed, 4)
		uris := func() []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID).Draw(rt, "uris")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"open": func(rt *rapid.T) {
				i := rapid.IntRange(0, len(all)-1).Draw(rt, "i")
				if all[i] == nil {
					all[i] = h.open(uris()...)
				}
			},
			"subscribe": func(rt *rapid.T) {
				if f := rapid.SampledFrom(all).Draw(rt, "f"); f != nil {
					h.subscribe(f, wanted(uris()...))
				}
			},
			"announce": func(rt *rapid.T) {
				if f := rapid.SampledFrom(all).Draw(rt, "f"); f != nil {
					h.feeds.expect(f, nil)
					f.announce(map[string]bool{"tools": true}, position{})
					h.feeds.add(f)
				}
			},
			"remove": func(rt *rapid.T) {
				i := rapid.IntRange(0, len(all)-1).Draw(rt, "i")
				if all[i] != nil {
					h.feeds.remove(all[i])
					all[i] = nil
				}
			},
			"": func(rt *rapid.T) {
				byURI, byList := map[string]int{}, map[string]int{}
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
				if len(h.feeds.wanted) != count || len(h.feeds.byURI) != len(byURI) {
					rt.Fatalf("%d feeds under %d URIs, want %d under %d", len(h.feeds.wanted), len(h.feeds.byURI), count, len(byURI))
				}
				for uri, n := range byURI {
					if len(h.feeds.byURI[uri]) != n {
						rt.Fatalf("%d feeds under %s, want %d", len(h.feeds.byURI[uri]), uri, n)
					}
				}
				for _, list := range lists {
					if len(h.feeds.byList[list]) != byList[list] {
						rt.Fatalf("%d feeds under %s, want %d", len(h.feeds.byList[list]), list, byList[list])
					}
				}
			},
		})
	})
}

func inOrder(a, b *change) int { return a.at.compare(b.at) }

// A feedModel says what a feed owes its client.
type feedModel struct {
	*feed
	owed    []*change       // to be taken, in order
	instead map[string]bool // of these at least one message is owed, whatever their changes were
	lost    bool
}

// TestAFeedGivesWhatIsWantedOnceInOrder compares a feed with a model in random
// programs. After each step a second feed, which begins where the first is, has
// to give exactly the rest: that is what a client gets that comes back.
func TestAFeedGivesWhatIsWantedOnceInOrder(t *testing.T) {
	t.Parallel()
	uris := []string{"a", "b", "c"}
	rapid.Check(t, func(rt *rapid.T) {
		h := newHearing()
		m := &feedModel{feed: h.open("a"), instead: map[string]bool{}}
		begin := h.tail.position()
		drawURI := rapid.SampledFrom(uris)
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				c := h.update(drawURI.Draw(rt, "uri"))
				if _, ok := m.uris[c.uri]; ok {
					m.owed = append(m.owed, c)
				}
			},
			"list": func(rt *rapid.T) {
				c := h.list("tools")
				if m.lists["tools"] {
					m.owed = append(m.owed, c)
				}
			},
			"pass": func(*rapid.T) { h.tail.pass(h.at()) },
			"announce": func(*rapid.T) {
				at, _ := m.position()
				for _, c := range h.heard {
					if c.list != "" && !m.lists[c.list] && at.before(c.at) {
						m.owed = append(m.owed, c)
					}
				}
				slices.SortFunc(m.owed, inOrder)
				h.feeds.expect(m.feed, nil)
				m.announce(map[string]bool{"tools": true}, h.tail.position())
				h.feeds.add(m.feed)
			},
			"subscribe": func(rt *rapid.T) {
				next := map[string]position{}
				for _, uri := range rapid.SliceOfDistinct(drawURI, rapid.ID).Draw(rt, "uris") {
					from, had := m.uris[uri]
					if !had {
						from = begin
						if len(h.heard) > 0 {
							from = rapid.SampledFrom(h.heard).Draw(rt, "from").at
						}
						at, _ := m.position()
						var after []*change
						for _, c := range h.heard {
							if c.uri == uri && from.before(c.at) && at.before(c.at) {
								after = append(after, c)
							} else if c.uri == uri && from.before(c.at) {
								m.instead[uri] = true
							}
						}
						m.owed = append(m.owed, after...)
						slices.SortFunc(m.owed, inOrder)
						if _, _, ok := h.tail.since(from); !ok && from.before(at) {
							m.instead[uri] = true
						}
					}
					next[uri] = from
				}
				m.owed = slices.DeleteFunc(m.owed, func(c *change) bool { _, ok := next[c.uri]; return c.list == "" && !ok })
				h.subscribe(m.feed, next)
			},
			"lose": func(*rapid.T) {
				h.feeds.lose(&h.tail, h.at())
				m.lost = true
			},
			"take": func(rt *rapid.T) { m.check(rt) },
			"look twice": func(rt *rapid.T) {
				m.check(rt)
				m.check(rt)
			},
			"come back": func(rt *rapid.T) {
				m.check(rt)
				at, known := m.position()
				again := &feed{tail: &h.tail, wake: func() {}}
				again.open(at, known, maps.Clone(m.uris), m.lists)
				h.feeds.remove(m.feed)
				h.feeds.add(again)
				m.feed = again
			},
		})
		m.check(rt)
	})
}

// check takes everything and compares it with what is owed.
func (m *feedModel) check(rt *rapid.T) {
	items, lost := m.take()
	if lost != m.lost {
		rt.Fatalf("lost: %v, want %v", lost, m.lost)
	}
	defer func() { m.owed, m.instead, m.lost = nil, map[string]bool{}, false }()
	got := map[string]bool{}
	if lost {
		for _, i := range items {
			got[i.change.uri+i.change.list] = true
		}
		for uri := range m.uris {
			if !got[uri] {
				rt.Fatalf("after a loss %s is not told of", uri)
			}
		}
		if m.lists["tools"] && !got["tools"] {
			rt.Fatalf("after a loss tools is not told of")
		}
		return
	}
	for len(items) > 0 && (len(m.owed) == 0 || items[0].change != m.owed[0]) {
		got[items[0].change.uri] = true
		items = items[1:]
	}
	for uri := range m.instead {
		if _, ok := m.uris[uri]; ok && !got[uri] {
			rt.Fatalf("an update of %s was passed over", uri)
		}
	}
	for uri := range got {
		if !m.instead[uri] {
			rt.Fatalf("an update of %s came that is not owed", uri)
		}
	}
	if len(items) != len(m.owed) {
		rt.Fatalf("%d changes, want %d", len(items), len(m.owed))
	}
	for i, c := range m.owed {
		if items[i].change != c || items[i].at != c.at {
			rt.Fatalf("change %d is another", i)
		}
	}
}

// Goroutines hear, take and subscribe at the same time.
func TestFeedsMissNothingWhileTheBusGoesOn(t *testing.T) {
	t.Parallel()
	const changes, takers, uris = 5_000, 8, 5
	h := newHearing()
	over := make(chan struct{})
	var wg sync.WaitGroup
	for n := range takers {
		wake := make(chan struct{}, 1)
		f := &feed{tail: &h.tail}
		f.wake = func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
		own := fmt.Sprint(n % uris) // wanted from the beginning
		f.open(position{}, true, wanted(own), map[string]bool{})
		h.feeds.add(f)
		since := map[string]position{own: {}}
		var mu sync.Mutex
		wg.Go(func() { // as the client subscribes and unsubscribes
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			for {
				select {
				case <-over:
					return
				default:
				}
				next := map[string]position{own: {}}
				mu.Lock()
				for uri := range uris {
					uri := fmt.Sprint(uri)
					if from, had := since[uri]; had && rng.IntN(3) > 0 {
						next[uri] = from
					} else if !had && rng.IntN(2) > 0 {
						next[uri] = h.tail.position()
					}
				}
				since = next
				mu.Unlock()
				h.subscribe(f, maps.Clone(next))
				runtime.Gosched()
			}
		})
		wg.Go(func() {
			var got []*change
			look := func() {
				for {
					items, lost := f.take()
					if lost {
						t.Error("something was lost")
						return
					}
					for _, i := range items {
						if i.change.uri == own {
							got = append(got, i.change)
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
			want := slices.DeleteFunc(slices.Clone(h.heard), func(c *change) bool { return c.uri != own })
			if !slices.Equal(got, want) {
				t.Errorf("taker %d: %d changes, want %d", n, len(got), len(want))
			}
		})
	}
	for i := range changes {
		h.update(fmt.Sprint(i % uris))
		if i%7 == 0 {
			runtime.Gosched()
		}
	}
	close(over)
	wg.Wait()
}

// A subscription that is made while the bus goes on hears everything from its
// position on, at least once.
func TestASubscriptionOnABusyBusMissesNothing(t *testing.T) {
	t.Parallel()
	for range 300 {
		h := newHearing()
		f := h.open()
		var wg sync.WaitGroup
		begun, done := make(chan position, 1), make(chan struct{})
		var from position
		wg.Go(func() {
			for i := range 60 {
				if i == 20 {
					from = h.tail.position()
					begun <- from
				}
				h.update("a:b")
				h.update("c:d")
			}
			close(done)
		})
		wg.Go(func() { h.subscribe(f, map[string]position{"a:b": <-begun}) })
		var items []item
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
			t.Fatal("nothing was heard")
		}
		// One for all that the feed had passed, and each one after it.
		if first := items[0]; !slices.Contains(h.heard, first.change) {
			from, items = first.change.at, items[1:]
		}
		wantItems(t, items, slices.DeleteFunc(h.heard, func(c *change) bool { return c.uri != "a:b" || !from.before(c.at) })...)
	}
}
