package bus

import (
	"maps"
	"slices"
	"sync"
)

// A Feed is what one open stream gets of the bus. The bus does not push: it
// marks the feeds that want a change, and each takes what it wants from the
// tail at the speed of its client. So a feed has no queue that could overflow,
// and the loop that reads the bus never waits for a client. It is safe for
// concurrent use.
type Feed struct {
	feeds *feeds
	wake  func()

	mu    sync.Mutex          // guards all fields below; may be locked while feeds.mu is held
	uris  map[string]Position // resources wanted, from a position on
	lists map[List]bool       // lists wanted
	at    Position            // what is wanted up to here has been taken
	until Position            // the last change that was marked
	scan  bool                // there may be something after at that was not marked
	lost  bool                // anything may have been missed
	slow  bool                // when something was lost last, its client had been too slow
	extra []Item              // to be taken first
}

// maxTaken bounds what is taken at once, and so the memory of a slow client.
const maxTaken = 256

// An Item is one message of a feed, and where on the bus its client is when it
// has the message.
type Item struct {
	Change *Change
	At     Position
}

// Open has the feed begin behind a position, or with everything if that is not
// known. From then on it is woken when there may be something to take, until
// [Feed.Close].
func (f *Feed) Open(at Position, known bool, uris map[string]Position, lists map[List]bool) {
	f.mu.Lock()
	f.at, f.lost = at, !known
	f.uris, f.lists = uris, lists
	f.scan = true // what is read before the feed is listed is not marked
	f.mu.Unlock()
	f.feeds.add(f)
}

// Close ends what [Feed.Open] began; a wake that is under way may still come. It may
// be called more than once.
func (f *Feed) Close() { f.feeds.remove(f) }

// Subscribe replaces the resources wanted with uris, which it keeps. Updates of a
// new one between its position and where the feed is will be taken next.
func (f *Feed) Subscribe(uris map[string]Position) {
	// What is read of them from here on is marked; what was read before is searched
	// for in the tail.
	f.feeds.expect(f, uris)
	f.subscribe(uris)
	f.feeds.relist(f)
}

func (f *Feed) subscribe(uris map[string]Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for uri, from := range uris {
		wanted := func(c *Change) bool { return c.URI == uri }
		if _, had := f.uris[uri]; !had && from.Before(f.at) && f.happened(wanted, from) {
			f.extra = append(f.extra, Item{newUpdate(f.at, uri), from})
		}
	}
	f.uris = uris
	f.scan = true // what follows where the feed is was not wanted until now
}

// Announce replaces the lists wanted with lists, which it keeps. Changes of a new
// one between a position and where the feed is will be taken next.
func (f *Feed) Announce(lists map[List]bool, from Position) {
	f.feeds.expect(f, nil)
	f.announce(lists, from)
	f.feeds.relist(f)
}

func (f *Feed) announce(lists map[List]bool, from Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for list := range lists {
		wanted := func(c *Change) bool { return c.List == list }
		if !f.lists[list] && from.Before(f.at) && f.happened(wanted, from) {
			f.extra = append(f.extra, Item{newListChange(f.at, list), from})
		}
	}
	f.lists = lists
	f.scan = true // what follows where the feed is was not wanted until now
}

// Restrict narrows what is wanted to uris and lists.
func (f *Feed) Restrict(uris map[string]Position, lists map[List]bool) {
	f.mu.Lock()
	f.uris, f.lists = uris, lists
	f.mu.Unlock()
	f.feeds.relist(f)
}

// wanted returns what the feed wants.
func (f *Feed) wanted() (uris []string, lists map[List]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.uris)), f.lists
}

// URIs returns the resources wanted, sorted.
func (f *Feed) URIs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.uris))
}

// Offer gives an update of a resource to this feed alone, if it wants it. Several
// that wait to be taken are one.
func (f *Feed) Offer(uri string) {
	f.mu.Lock()
	waits := slices.ContainsFunc(f.extra, func(i Item) bool { return i.Change.URI == uri })
	if _, wanted := f.uris[uri]; wanted && !waits {
		f.extra = append(f.extra, Item{newUpdate(f.at, uri), f.at})
	}
	f.mu.Unlock()
	f.wake()
}

// Position returns where the feed's client is when it has all that was taken,
// if that is known.
func (f *Feed) Position() (at Position, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, !f.lost
}

// Take returns what there is to take, in order; if there is much, the first of
// it. If lost is set changes may have been missed: then it is everything the
// feed wants, because anything may have changed.
func (f *Feed) Take() (items []Item, lost bool) {
	// Read before the marks are looked at: a wanted change that is in the tail by
	// now has been marked.
	read := f.feeds.tail.position()
	f.mu.Lock()
	defer f.mu.Unlock()
	items, f.extra = f.extra, nil
	if len(items) > 0 {
		items[len(items)-1].At = f.at // with the last of them the client is up to date
	}
	if f.idle() {
		if f.at.Before(read) {
			f.at = read
		}
		return items, false
	}
	changes, last, ok := f.feeds.tail.since(f.at)
	if f.lost || !ok {
		// What precedes the tail has been dropped since the client got there; what is
		// behind its end is from before a failover.
		f.slow = !f.lost && !last.Before(f.at)
		items = f.everything(f.at, last)
		f.at, f.scan, f.lost = last, false, false
		return items, true
	}
	for _, c := range changes {
		if !f.wants(c) {
			continue
		}
		if len(items) >= maxTaken {
			f.at = items[len(items)-1].At
			return items, false
		}
		items = append(items, Item{c, c.at})
	}
	// What is marked and not in the tail yet keeps the feed from being idle.
	f.at, f.scan = last, false
	return items, false
}

// Slow reports whether [Feed.Take] last reported a loss because the feed's client
// takes too slowly, and not because the bus has lost something.
func (f *Feed) Slow() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slow
}

// mark notes that something wanted is about to be added to the tail.
func (f *Feed) mark(at Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idle() {
		// Nothing that was read is wanted, so the feed goes on to the tail's end: a
		// feed that wants little of a busy bus would otherwise seem to be far
		// behind. It goes no further: behind the tail's end it would seem to be from
		// before a failover.
		f.at = f.feeds.tail.position()
	}
	f.until = at
}

// reset notes that changes may have been missed.
func (f *Feed) reset() {
	f.mu.Lock()
	f.lost = true
	f.mu.Unlock()
}

// idle reports whether all that was wanted so far has been taken. f.mu must be
// held.
func (f *Feed) idle() bool { return !f.lost && !f.scan && !f.at.Before(f.until) }

// wants reports whether a change is wanted. f.mu must be held.
func (f *Feed) wants(c *Change) bool {
	if c.List != "" {
		return f.lists[c.List]
	}
	from, ok := f.uris[c.URI]
	return ok && from.Before(c.at)
}

// everything returns a message for all that the feed wants. Only with the last
// of them is the client up to date. f.mu must be held.
func (f *Feed) everything(from, to Position) []Item {
	var items []Item
	for uri := range f.uris {
		items = append(items, Item{newUpdate(to, uri), from})
	}
	for _, list := range Lists {
		if f.lists[list] {
			items = append(items, Item{newListChange(to, list), from})
		}
	}
	if len(items) > 0 {
		items[len(items)-1].At = to
	}
	return items
}

// happened reports whether there may have been such a change between a position
// and where the feed is: if the tail no longer knows, there may. f.mu must be held.
func (f *Feed) happened(such func(*Change) bool, from Position) bool {
	changes, _, ok := f.feeds.tail.since(from)
	if !ok {
		return true
	}
	for _, c := range changes {
		if such(c) && !f.at.Before(c.at) {
			return true
		}
	}
	return false
}
