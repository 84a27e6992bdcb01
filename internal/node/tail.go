package node

import (
	"encoding/json"
	"slices"
	"sync"
)

// A change is one entry of the bus that clients hear of, encoded once for all
// of them.
type change struct {
	at   position
	uri  string // of the resource that was updated
	list string // or the list that changed: tools, prompts or resources

	// message is the notification for sessions; with a subscription's id
	// between head and rest it is the one for a listener.
	message, head, rest []byte
}

// lists are the lists whose changes can be announced.
var lists = []string{"tools", "prompts", "resources"}

func newUpdate(at position, uri string) *change {
	quoted, err := json.Marshal(uri)
	if err != nil {
		quoted = []byte(`""`) // a string is always JSON
	}
	return newChange(at, "notifications/resources/updated", `,"uri":`+string(quoted)+`}}`, &change{uri: uri})
}

func newListChange(at position, list string) *change {
	return newChange(at, "notifications/"+list+"/list_changed", `}}`, &change{list: list})
}

// newChange completes c; rest is what follows _meta in the params.
func newChange(at position, method, rest string, c *change) *change {
	start := `{"jsonrpc":"2.0","method":"` + method + `","params":{`
	c.at = at
	c.head = []byte(start + `"_meta":{"io.modelcontextprotocol/subscriptionId":`)
	c.rest = []byte(`}` + rest)
	if rest[0] == ',' {
		rest = rest[1:]
	}
	c.message = []byte(start + rest)
	return c
}

// forListener returns the notification with the raw id of a subscription.
func (c *change) forListener(id json.RawMessage) []byte {
	return slices.Concat(c.head, id, c.rest)
}

// size is about how much memory c takes.
func (c *change) size() int { return len(c.uri) + len(c.message) + len(c.head) + len(c.rest) }

// maxTailBytes bounds the memory of a tail.
const maxTailBytes = 64 << 20

// A tail is the end of the bus as this instance has heard it. A stream that was
// away, or is slow, finds there what it has missed, unless that is too long ago.
type tail struct {
	mu      sync.RWMutex
	changes []*change
	bytes   int
	floor   position // every change after it is here
	last    position // of all entries heard, changes or not
}

// add appends a change.
func (t *tail) add(c *change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes = append(t.changes, c)
	t.bytes += c.size()
	t.last = c.at
	for len(t.changes) >= 2*maxBus || t.bytes > maxTailBytes {
		t.forget((len(t.changes) + 1) / 2)
	}
}

// forget drops the oldest changes. t.mu must be held.
func (t *tail) forget(count int) {
	for _, c := range t.changes[:count] {
		t.bytes -= c.size()
	}
	t.floor = t.changes[count-1].at
	t.changes = slices.Clone(t.changes[count:])
}

// pass notes an entry that is no change.
func (t *tail) pass(at position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = at
}

// reset forgets everything: entries up to at may have been missed.
func (t *tail) reset(at position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes, t.bytes, t.floor, t.last = nil, 0, at, at
}

// position returns where the bus was heard last.
func (t *tail) position() position {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last
}

// since returns the changes after a position and the position after them. It
// reports false if there may have been others: the position is too old, or from
// before a failover in which the bus lost its end.
func (t *tail) since(p position) (changes []*change, last position, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if p.before(t.floor) || t.last.before(p) {
		return nil, t.last, false
	}
	i, found := slices.BinarySearchFunc(t.changes, p, func(c *change, p position) int { return c.at.compare(p) })
	if found {
		i++
	}
	return t.changes[i:len(t.changes):len(t.changes)], t.last, true
}
