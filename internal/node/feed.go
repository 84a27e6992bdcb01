package node

import (
	"sync"
)

// A feed is what one open stream gets of the bus. The bus does not push: it
// marks the feeds that want a change, and each takes what it wants from the
// tail at the speed of its client. So a feed has no queue that could overflow,
// and the loop that hears the bus never waits for a client.
type feed struct {
	tail *tail
	wake func()

	mu    sync.Mutex
	uris  map[string]position // resources wanted, from a position on
	lists map[string]bool     // lists wanted
	at    position            // what is wanted up to here has been taken
	until position            // the last change that was marked
	scan  bool                // there may be something after at that was not marked
	lost  bool                // anything may have been missed
	extra []item              // to be taken first
}

// maxTaken bounds what is taken at once, and so the memory of a slow client.
const maxTaken = 256

// An item is one message of a feed, and where on the bus its client is when it
// has the message.
type item struct {
	change *change
	at     position
}

// open has the feed begin behind a position, or with everything if that is not
// known.
func (f *feed) open(at position, known bool, uris map[string]position, lists map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.lost = at, !known
	f.uris, f.lists = uris, lists
	f.scan = true // what is heard before the feed is listed is not marked
}

// mark notes that something wanted is about to be added to the tail.
func (f *feed) mark(at position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idle() {
		// Nothing that was heard is wanted. It must not count: a feed that wants
		// little of a busy bus would seem to be far behind. Further than that it
		// must not go: behind the tail's end it would seem to be from before a
		// failover.
		f.at = f.tail.position()
	}
	f.until = at
}

// lose notes that changes may have been missed.
func (f *feed) lose() {
	f.mu.Lock()
	f.lost = true
	f.mu.Unlock()
}

// idle reports whether all that was wanted so far has been taken. f.mu must be
// held.
func (f *feed) idle() bool { return !f.lost && !f.scan && !f.at.before(f.until) }

// take returns what there is to take, in order; if there is much, the first of
// it. If lost is set changes may have been missed: then it is everything the
// feed wants, because anything may have changed.
func (f *feed) take() (items []item, lost bool) {
	// Read before the marks are looked at: a wanted change that is in the tail by
	// now has been marked.
	heard := f.tail.position()
	f.mu.Lock()
	defer f.mu.Unlock()
	items, f.extra = f.extra, nil
	if len(items) > 0 {
		items[len(items)-1].at = f.at // with the last of them the client is up to date
	}
	if f.idle() {
		if f.at.before(heard) {
			f.at = heard
		}
		return items, false
	}
	changes, last, ok := f.tail.since(f.at)
	if f.lost || !ok {
		items = f.everything(f.at, last)
		f.at, f.scan, f.lost = last, false, false
		return items, true
	}
	for _, c := range changes {
		if !f.wants(c) {
			continue
		}
		if len(items) >= maxTaken {
			f.at = items[len(items)-1].at
			return items, false
		}
		items = append(items, item{c, c.at})
	}
	// What is marked and not in the tail yet keeps the feed from being idle.
	f.at, f.scan = last, false
	return items, false
}

func (f *feed) wants(c *change) bool {
	if c.list != "" {
		return f.lists[c.list]
	}
	from, ok := f.uris[c.uri]
	return ok && from.before(c.at)
}

// everything returns a message for all that the feed wants. Only with the last
// of them is the client up to date.
func (f *feed) everything(from, to position) []item {
	var items []item
	for uri := range f.uris {
		items = append(items, item{newUpdate(to, uri), from})
	}
	for _, list := range lists {
		if f.lists[list] {
			items = append(items, item{newListChange(to, list), from})
		}
	}
	if len(items) > 0 {
		items[len(items)-1].at = to
	}
	return items
}

// subscribe makes the resources wanted those of subs. What happened to a new
// one between its position and where the feed is will be taken next.
func (f *feed) subscribe(subs map[string]position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for uri, from := range subs {
		wanted := func(c *change) bool { return c.uri == uri }
		if _, had := f.uris[uri]; !had && from.before(f.at) && f.happened(wanted, from) {
			f.extra = append(f.extra, item{newUpdate(f.at, uri), from})
		}
	}
	f.uris = subs
	f.scan = true // what follows where the feed is was not wanted until now
}

// announce makes the lists wanted those of wanted. What happened to a new one
// between a position and where the feed is will be taken next.
func (f *feed) announce(wanted map[string]bool, from position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for list := range wanted {
		is := func(c *change) bool { return c.list == list }
		if !f.lists[list] && from.before(f.at) && f.happened(is, from) {
			f.extra = append(f.extra, item{newListChange(f.at, list), from})
		}
	}
	f.lists = wanted
	f.scan = true // as in subscribe
}

// happened reports whether there may have been such a change between a position
// and where the feed is. f.mu must be held.
func (f *feed) happened(such func(*change) bool, from position) bool {
	changes, _, ok := f.tail.since(from)
	if !ok {
		return true
	}
	for _, c := range changes {
		if such(c) && !f.at.before(c.at) {
			return true
		}
	}
	return false
}

// position returns where the feed's client is when it has all that was taken.
func (f *feed) position() (at position, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, !f.lost
}

// feeds are the feeds of an instance, by what they want.
type feeds struct {
	mu     sync.Mutex
	byURI  map[string]map[*feed]struct{}
	byList map[string]map[*feed]struct{}
	wanted map[*feed][]string // the URIs each is listed under
}

func newFeeds() *feeds {
	return &feeds{byURI: map[string]map[*feed]struct{}{}, byList: map[string]map[*feed]struct{}{}, wanted: map[*feed][]string{}}
}

// add lists a feed under what it wants, in place of what it wanted before.
func (fs *feeds) add(f *feed) {
	f.mu.Lock()
	uris := make([]string, 0, len(f.uris))
	for uri := range f.uris {
		uris = append(uris, uri)
	}
	wanted := f.lists
	f.mu.Unlock()

	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.drop(f)
	for _, uri := range uris {
		enlist(fs.byURI, uri, f)
	}
	for list := range wanted {
		enlist(fs.byList, list, f)
	}
	fs.wanted[f] = uris
}

// expect lists a feed under what it is about to want, besides what it wants.
func (fs *feeds) expect(f *feed, uris map[string]position) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for uri := range uris {
		enlist(fs.byURI, uri, f)
		fs.wanted[f] = append(fs.wanted[f], uri)
	}
	for _, list := range lists {
		enlist(fs.byList, list, f)
	}
}

func enlist(m map[string]map[*feed]struct{}, key string, f *feed) {
	if m[key] == nil {
		m[key] = map[*feed]struct{}{}
	}
	m[key][f] = struct{}{}
}

// remove forgets a feed.
func (fs *feeds) remove(f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.drop(f)
}

func (fs *feeds) drop(f *feed) {
	for _, uri := range fs.wanted[f] {
		delete(fs.byURI[uri], f)
		if len(fs.byURI[uri]) == 0 {
			delete(fs.byURI, uri)
		}
	}
	for _, list := range lists {
		delete(fs.byList[list], f)
	}
	delete(fs.wanted, f)
}

// hear adds a change to the tail and wakes the feeds that want it. They are
// marked before the change can be seen: see [feed.take].
func (fs *feeds) hear(t *tail, c *change) {
	fs.mu.Lock()
	wanting := fs.byURI[c.uri]
	if c.list != "" {
		wanting = fs.byList[c.list]
	}
	woken := make([]*feed, 0, len(wanting))
	for f := range wanting {
		f.mark(c.at)
		woken = append(woken, f)
	}
	t.add(c)
	fs.mu.Unlock()
	for _, f := range woken {
		f.wake()
	}
}

// lose empties the tail, because changes up to at may have been missed, and
// wakes every feed. As in hear they know before the tail shows it.
func (fs *feeds) lose(t *tail, at position) {
	fs.mu.Lock()
	woken := make([]*feed, 0, len(fs.wanted))
	for f := range fs.wanted {
		f.lose()
		woken = append(woken, f)
	}
	t.reset(at)
	fs.mu.Unlock()
	for _, f := range woken {
		f.wake()
	}
}
