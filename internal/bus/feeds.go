package bus

import "sync"

// feeds are the feeds of an instance, by what they want, and the tail that they
// take it from.
type feeds struct {
	tail tail

	mu     sync.Mutex // guards all fields below; feeds' and the tail's mutexes may be locked while it is held
	byURI  map[string]map[*Feed]struct{}
	byList map[List]map[*Feed]struct{}
	open   map[*Feed][]string // the open feeds, with the URIs that each is listed under
}

func newFeeds() *feeds {
	return &feeds{byURI: map[string]map[*Feed]struct{}{}, byList: map[List]map[*Feed]struct{}{}, open: map[*Feed][]string{}}
}

// add lists a feed that opens under what it wants.
func (fs *feeds) add(f *Feed) {
	uris, lists := f.wanted()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list(f, uris, lists)
}

// relist lists a feed, if it is open, under what it wants in place of what it
// wanted before.
func (fs *feeds) relist(f *Feed) {
	uris, lists := f.wanted()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if _, open := fs.open[f]; open {
		fs.list(f, uris, lists)
	}
}

// list lists a feed. fs.mu must be held.
func (fs *feeds) list(f *Feed, uris []string, lists map[List]bool) {
	fs.unlist(f)
	for _, uri := range uris {
		enlist(fs.byURI, uri, f)
	}
	for list := range lists {
		enlist(fs.byList, list, f)
	}
	fs.open[f] = uris
}

// expect lists a feed, if it is open, under what it is about to want, besides
// what it wants.
func (fs *feeds) expect(f *Feed, uris map[string]Position) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if _, open := fs.open[f]; !open {
		return
	}
	for uri := range uris {
		enlist(fs.byURI, uri, f)
		fs.open[f] = append(fs.open[f], uri)
	}
	for _, list := range Lists {
		enlist(fs.byList, list, f)
	}
}

func enlist[K comparable](m map[K]map[*Feed]struct{}, key K, f *Feed) {
	if m[key] == nil {
		m[key] = map[*Feed]struct{}{}
	}
	m[key][f] = struct{}{}
}

// remove unlists a feed that closes.
func (fs *feeds) remove(f *Feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.unlist(f)
}

// unlist is remove with fs.mu held.
func (fs *feeds) unlist(f *Feed) {
	for _, uri := range fs.open[f] {
		delete(fs.byURI[uri], f)
		if len(fs.byURI[uri]) == 0 {
			delete(fs.byURI, uri)
		}
	}
	for _, list := range Lists {
		delete(fs.byList[list], f)
	}
	delete(fs.open, f)
}

// apply adds a change to the tail and wakes the feeds that want it. They are
// marked before the change can be seen: see [Feed.Take].
func (fs *feeds) apply(c *Change) {
	fs.mu.Lock()
	wanting := fs.byURI[c.URI]
	if c.List != "" {
		wanting = fs.byList[c.List]
	}
	woken := make([]*Feed, 0, len(wanting))
	for f := range wanting {
		f.mark(c.at)
		woken = append(woken, f)
	}
	fs.tail.add(c)
	fs.mu.Unlock()
	for _, f := range woken {
		f.wake()
	}
}

// reset empties the tail, because changes up to at may have been missed, and
// wakes every feed. The feeds know of it before the tail shows it.
func (fs *feeds) reset(at Position) {
	fs.mu.Lock()
	woken := make([]*Feed, 0, len(fs.open))
	for f := range fs.open {
		f.reset()
		woken = append(woken, f)
	}
	fs.tail.reset(at)
	fs.mu.Unlock()
	for _, f := range woken {
		f.wake()
	}
}
