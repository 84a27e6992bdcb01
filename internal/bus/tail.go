package bus

import (
	"slices"
	"sync"
)

// maxTailBytes bounds the memory of a tail.
const maxTailBytes = 64 << 20

// A tail is the end of the bus as this instance has read it. A stream that was
// away, or is slow, finds there what it has missed, unless that is too long ago.
type tail struct {
	mu      sync.RWMutex // guards all fields below
	changes []*Change
	bytes   int
	floor   Position      // every change after it is here
	last    Position      // of all entries read, changes or not
	moved   chan struct{} // closed when last changes; nil if nobody waits for it
}

// add appends a change.
func (t *tail) add(c *Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes = append(t.changes, c)
	t.bytes += c.size()
	t.moveTo(c.at)
	for len(t.changes) >= 2*maxEntries || t.bytes > maxTailBytes {
		t.drop((len(t.changes) + 1) / 2)
	}
}

// drop drops the oldest changes. t.mu must be held.
func (t *tail) drop(count int) {
	for _, c := range t.changes[:count] {
		t.bytes -= c.size()
	}
	t.floor = t.changes[count-1].at
	t.changes = slices.Clone(t.changes[count:])
}

// advance notes an entry that is no change.
func (t *tail) advance(at Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moveTo(at)
}

// reset drops everything: entries up to at may have been missed.
func (t *tail) reset(at Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes, t.bytes, t.floor = nil, 0, at
	t.moveTo(at)
}

// moveTo sets where the tail ends. t.mu must be held.
func (t *tail) moveTo(at Position) {
	t.last = at
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// position returns up to where the bus has been read.
func (t *tail) position() Position {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last
}

// behind returns nil if the bus has been read up to at, and otherwise a channel
// that is closed when it has been read further than now.
func (t *tail) behind(at Position) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.Before(at) {
		return nil
	}
	if t.moved == nil {
		t.moved = make(chan struct{})
	}
	return t.moved
}

// since returns the changes after a position and the position after them. It
// reports false if there may have been others: the position is too old, or from
// before a failover in which the bus lost its end.
func (t *tail) since(p Position) (changes []*Change, last Position, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if p.Before(t.floor) || t.last.Before(p) {
		return nil, t.last, false
	}
	i, found := slices.BinarySearchFunc(t.changes, p, func(c *Change, p Position) int { return c.at.compare(p) })
	if found {
		i++
	}
	return t.changes[i:len(t.changes):len(t.changes)], t.last, true
}
