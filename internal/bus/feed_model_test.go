package bus

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func inOrder(a, b *Change) int { return a.at.compare(b.at) }

// A feedModel says what a feed owes its client.
type feedModel struct {
	*Feed
	owed    []*Change       // to be taken, in order
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
		b := newTestBus()
		m := &feedModel{Feed: b.openFeed("a"), instead: map[string]bool{}}
		begin := b.tail.position()
		drawURI := rapid.SampledFrom(uris)
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				c := b.update(drawURI.Draw(rt, "uri"))
				if _, ok := m.uris[c.URI]; ok {
					m.owed = append(m.owed, c)
				}
			},
			"list": func(rt *rapid.T) {
				c := b.list("tools")
				if m.lists["tools"] {
					m.owed = append(m.owed, c)
				}
			},
			"pass": func(*rapid.T) { b.tail.advance(b.at()) },
			"announce": func(*rapid.T) {
				at, _ := m.Position()
				for _, c := range b.applied {
					if c.List != "" && !m.lists[c.List] && at.Before(c.at) {
						m.owed = append(m.owed, c)
					}
				}
				slices.SortFunc(m.owed, inOrder)
				m.Announce(map[List]bool{"tools": true}, b.tail.position())
			},
			"subscribe": func(rt *rapid.T) {
				next := map[string]Position{}
				for _, uri := range rapid.SliceOfDistinct(drawURI, rapid.ID).Draw(rt, "uris") {
					from, had := m.uris[uri]
					if !had {
						from = begin
						if len(b.applied) > 0 {
							from = rapid.SampledFrom(b.applied).Draw(rt, "from").at
						}
						at, _ := m.Position()
						var after []*Change
						for _, c := range b.applied {
							if c.URI == uri && from.Before(c.at) && at.Before(c.at) {
								after = append(after, c)
							} else if c.URI == uri && from.Before(c.at) {
								m.instead[uri] = true
							}
						}
						m.owed = append(m.owed, after...)
						slices.SortFunc(m.owed, inOrder)
						if _, _, ok := b.tail.since(from); !ok && from.Before(at) {
							m.instead[uri] = true
						}
					}
					next[uri] = from
				}
				m.owed = slices.DeleteFunc(m.owed, func(c *Change) bool { _, ok := next[c.URI]; return c.List == "" && !ok })
				m.Subscribe(next)
			},
			"lose": func(*rapid.T) {
				b.feeds.reset(b.at())
				m.lost = true
			},
			"take": func(rt *rapid.T) { m.check(rt) },
			"look twice": func(rt *rapid.T) {
				m.check(rt)
				m.check(rt)
			},
			"come back": func(rt *rapid.T) {
				m.check(rt)
				at, known := m.Position()
				m.Close()
				again := b.newFeed()
				again.Open(at, known, maps.Clone(m.uris), m.lists)
				m.Feed = again
			},
		})
		m.check(rt)
	})
}

// check takes everything and compares it with what is owed.
func (m *feedModel) check(rt *rapid.T) {
	items, lost := m.Take()
	if lost != m.lost {
		rt.Fatalf("lost: %v, want %v", lost, m.lost)
	}
	defer func() { m.owed, m.instead, m.lost = nil, map[string]bool{}, false }()
	got := map[string]bool{}
	if lost {
		for _, i := range items {
			got[i.Change.URI+string(i.Change.List)] = true
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
	for len(items) > 0 && (len(m.owed) == 0 || items[0].Change != m.owed[0]) {
		got[items[0].Change.URI] = true
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
		if items[i].Change != c || items[i].At != c.at {
			rt.Fatalf("change %d is another", i)
		}
	}
}
