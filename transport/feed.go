package transport

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

	mu     sync.Mutex
	uris   map[string]position // resources wanted, from a position on
	lists  map[string]bool     // lists wanted
	at     position            // what is wanted up to here has been taken
	known  bool                // at is a position; if not, anything may have been missed
	behind bool                // there may be something after at
	extra  []item              // to be taken first
}

// An item is one message of a feed, and where on the bus its client is when it
// has the message.
type item struct {
	change *change
	at     position
}

// mark notes that there is something to take.
func (f *feed) mark() {
	f.mu.Lock()
	f.behind = true
	f.mu.Unlock()
}

// take returns what there is to take, in order, and where the feed is then. If
// lost is set changes may have been missed: then it is everything the feed
// wants, because anything may have changed.
func (f *feed) take() (items []item, lost bool) {
	// Read before behind is looked at: a change that is in the tail by now has
	// been marked.
	heard := f.tail.position()
	f.mu.Lock()
	defer f.mu.Unlock()
	items, f.extra = f.extra, nil
	if !f.behind {
		if f.known && f.at.before(heard) {
			f.at = heard
		}
		return items, false
	}
	f.behind = false
	changes, last, ok := f.tail.since(f.at)
	if !ok || !f.known {
		items, f.at, f.known = f.everything(f.at, last), last, true
		return items, true
	}
	for _, c := range changes {
		if f.wants(c) {
			items = append(items, item{c, c.at})
		}
	}
	f.at = last
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
		if _, had := f.uris[uri]; !had && f.known && from.before(f.at) && f.happened(wanted, from) {
			f.extra = append(f.extra, item{newUpdate(f.at, uri), f.at})
		}
	}
	f.uris = subs
	f.behind = true // what follows where the feed is was not wanted until now
}

// announce makes the lists wanted those of wanted. What happened to a new one
// between a position and where the feed is will be taken next.
func (f *feed) announce(wanted map[string]bool, from position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for list := range wanted {
		is := func(c *change) bool { return c.list == list }
		if !f.lists[list] && f.known && from.before(f.at) && f.happened(is, from) {
			f.extra = append(f.extra, item{newListChange(f.at, list), f.at})
		}
	}
	f.lists = wanted
	f.behind = true // as in subscribe
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
	return f.at, f.known
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
		f.mark()
		woken = append(woken, f)
	}
	t.add(c)
	fs.mu.Unlock()
	for _, f := range woken {
		f.wake()
	}
}

// lose wakes every feed after the tail was reset.
func (fs *feeds) lose() {
	fs.mu.Lock()
	woken := make([]*feed, 0, len(fs.wanted))
	for f := range fs.wanted {
		f.mark()
		woken = append(woken, f)
	}
	fs.mu.Unlock()
	for _, f := range woken {
		f.wake()
	}
}
