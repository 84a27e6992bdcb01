package runner

import (
	"runtime"
	"sync"
	"weak"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// watchedServers are the servers whose list changes somebody announces. They do not
// keep a server alive.
type watchedServers struct {
	mu sync.RWMutex // guards of
	of map[weak.Pointer[mcp.Server]]*watchedServer
}

// A watchedServer is what is known of a server as long as it is watched.
type watchedServer struct {
	toolsTold bool // the SDK tells changes of its tools
	params    paramView
	lingers   lingers
}

// Watched says that changes of the server's lists are announced, and that those of its
// tools will be told by calls of toolsChanged. That does not block, nor does it keep
// the server alive.
func (r *Runner) Watched(server *mcp.Server) (toolsChanged func()) {
	watched := &watchedServer{toolsTold: sdkcompat.TellsToolChanges(server)}
	key, w := weak.Make(server), &r.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[weak.Pointer[mcp.Server]]*watchedServer{}
	}
	w.of[key] = watched
	runtime.AddCleanup(server, w.remove, key)
	return watched.params.changed
}

func (w *watchedServers) remove(server weak.Pointer[mcp.Server]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, server)
}

// find returns what is known of a server, nil if it is not watched.
func (w *watchedServers) find(server *mcp.Server) *watchedServer {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.of[weak.Make(server)]
}
