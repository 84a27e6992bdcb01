package node

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/signal"
)

// A registry knows what runs on an instance, and what is open there.
type registry struct {
	// ended is sent when something that ran or was open here no longer is.
	ended signal.Broadcast

	mu        sync.Mutex // guards all fields below; nothing else is locked while it is held
	closed    bool       // nothing is added any more
	conns     map[string]*Conn
	readers   map[string]*Reader
	listeners map[*Listener]struct{}
	sessions  map[string]*presence
	parked    int // calls that have been parked, and run still
}

// presence is what runs of one session on this instance. It exists only while
// something does: most often one call, for which maps would cost more than they save.
type presence struct {
	conns   []*Conn
	readers map[*Reader]struct{} // nil until there is one
}

// call returns the call that has the id; nil if there is none.
func (p *presence) call(id json.RawMessage) *Conn {
	key := jsonrpcmsg.IDKey(id)
	for _, c := range p.conns {
		if c.idKey == key && key != "" {
			return c
		}
	}
	return nil
}

func newRegistry() registry {
	return registry{
		conns:     map[string]*Conn{},
		readers:   map[string]*Reader{},
		listeners: map[*Listener]struct{}{},
		sessions:  map[string]*presence{},
	}
}

// close has the registry take nothing more. It reports false if it was closed.
func (g *registry) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed = true
	return true
}

// unlessClosed calls f, which must not block, unless the registry is closed. It
// cannot be closed while f runs.
func (g *registry) unlessClosed(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		f()
	}
}

// Calls returns how many requests run on this instance, without those that are parked.
func (g *registry) Calls() (count int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		if !c.parked.Load() {
			count++
		}
	}
	return count
}

// mayPark reports whether a call may be parked, and counts it from then on: perUser
// bounds those of a user, perInstance all.
func (g *registry) mayPark(c *Conn, perUser, perInstance int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.wasParked.Load() {
		return true
	}
	ofUser := 0
	if p := g.sessions[c.session]; p != nil {
		for _, other := range p.conns {
			if other.wasParked.Load() {
				ofUser++
			}
		}
	}
	if ofUser >= perUser || g.parked >= perInstance {
		return false
	}
	g.parked++
	c.wasParked.Store(true)
	return true
}

// unpark takes back that a call counts as parked: it was not.
func (g *registry) unpark(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.wasParked.Swap(false) && g.conns[c.id] == c {
		g.parked--
	}
}

// Streams returns how many streams are open on this instance.
func (g *registry) Streams() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.readers) + len(g.listeners)
}

func (g *registry) allConns() []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.conns))
}

func (g *registry) allReaders() []*Reader {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.readers))
}

func (g *registry) allListeners() []*Listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.listeners))
}

// present returns the sessions that Redis knows and of which something runs here:
// none that an initialize is about to begin, and nothing of protocols without
// sessions.
func (g *registry) present() (ids []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, p := range g.sessions {
		if p.stored() {
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *presence) stored() bool {
	for _, c := range p.conns {
		if !c.req.ResponseOnly && !c.req.Stateless {
			return true
		}
	}
	return len(p.readers) > 0
}

// ofSession returns what runs of a session here.
func (g *registry) ofSession(id string) ([]*Conn, []*Reader) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.sessions[id]
	if p == nil {
		return nil, nil
	}
	return slices.Clone(p.conns), slices.Collect(maps.Keys(p.readers))
}

func (g *registry) conn(id string) *Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conns[id]
}

func (g *registry) reader(id string) *Reader {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.readers[id]
}

// call returns the call with the given id that runs here, or nil.
func (g *registry) call(session string, id json.RawMessage) *Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.sessions[session]; p != nil {
		return p.call(id)
	}
	return nil
}

// writes reports whether a call that runs here writes the stream.
func (g *registry) writes(stream eventlog.StreamID) bool {
	conns, _ := g.ofSession(stream.Session)
	return slices.ContainsFunc(conns, func(c *Conn) bool { return c.streamID() == stream })
}

func (g *registry) removeConn(c *Conn) {
	defer g.ended.Send()
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.sessions[c.session]; p != nil {
		if i := slices.Index(p.conns, c); i >= 0 {
			p.conns = slices.Delete(p.conns, i, i+1)
		}
	}
	delete(g.conns, c.id)
	if c.wasParked.Load() {
		g.parked--
	}
	g.release(c.session)
}

// freeRequestID lets the client use the request's id again, as it may from the
// moment it has the response.
func (g *registry) freeRequestID(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.idKey = ""
}

func (g *registry) addReader(r *Reader) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.readers[r.id] = r
	p := g.presence(r.stream.Session)
	if p.readers == nil {
		p.readers = map[*Reader]struct{}{}
	}
	p.readers[r] = struct{}{}
	return nil
}

func (g *registry) removeReader(r *Reader) {
	defer g.ended.Send()
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.sessions[r.stream.Session]; p != nil {
		delete(p.readers, r)
	}
	delete(g.readers, r.id)
	g.release(r.stream.Session)
}

func (g *registry) addListener(l *Listener) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.listeners[l] = struct{}{}
	return nil
}

func (g *registry) removeListener(l *Listener) {
	defer g.ended.Send()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.listeners, l)
}

// presence returns what runs of a session here, which it makes if nothing did.
// g.mu must be held.
func (g *registry) presence(session string) *presence {
	p := g.sessions[session]
	if p == nil {
		p = &presence{}
		g.sessions[session] = p
	}
	return p
}

// release drops a session of which nothing runs. g.mu must be held.
func (g *registry) release(session string) {
	if p := g.sessions[session]; p != nil && len(p.conns) == 0 && len(p.readers) == 0 {
		delete(g.sessions, session)
	}
}
