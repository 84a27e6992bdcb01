package mcp

import (
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	maxWatched = 64 // servers that are watched although nobody has asked for it
	// maxReturned is how many servers are remembered that getServer has returned once,
	// those of the latest requests.
	maxReturned = 64
)

// watchers knows which servers are watched. It does not keep them from being
// collected: there may be one for each request.
type watchers struct {
	announcer *announcer
	full      atomic.Bool // a server is not watched because there are too many

	mu      sync.RWMutex // guards all fields below
	ended   bool
	watched map[weak.Pointer[mcp.Server]]struct{}
	once    [maxReturned]weak.Pointer[mcp.Server] // in turn
	next    int                                   // the place in once that is taken next
}

// add reports whether a server is watched for the first time, and whether any is
// still watched.
func (ws *watchers) add(server *mcp.Server) (first, open bool) {
	key := weak.Make(server)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.ended {
		return false, false
	}
	if _, watched := ws.watched[key]; watched {
		return false, true
	}
	if ws.watched == nil {
		ws.watched = map[weak.Pointer[mcp.Server]]struct{}{}
		ws.announcer.start()
	}
	ws.watched[key] = struct{}{}
	runtime.AddCleanup(server, ws.remove, key)
	return true, true
}

func (ws *watchers) remove(server weak.Pointer[mcp.Server]) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.watched, server)
}

// returned reports whether a server that is not watched was returned before, and
// whether there is room to watch it.
func (ws *watchers) returned(server *mcp.Server) (again, room bool) {
	key := weak.Make(server)
	ws.mu.RLock()
	_, watched := ws.watched[key]
	ended := ws.ended
	ws.mu.RUnlock()
	if watched || ended {
		return false, false
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, before := range ws.once {
		if before == key {
			return true, len(ws.watched) < maxWatched
		}
	}
	ws.once[ws.next] = key
	ws.next = (ws.next + 1) % maxReturned
	return false, false
}

// end ends the watching, and returns when what is due has been announced, or cannot be.
func (ws *watchers) end() {
	ws.mu.Lock()
	started := ws.watched != nil
	ws.ended = true
	ws.mu.Unlock()
	if started {
		ws.announcer.stop()
	}
}
