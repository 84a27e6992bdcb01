package runner

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// Calls of the SDK that reach nobody in a fleet return no error, or one that nobody
// looks at. As far as we can notice them, the operator is told once for each server.

// A silence is such a call of the code around a server.
type silence struct{ server, call string }

const (
	callUpdated = "Server.ResourceUpdated"
	callLists   = "AddTool, AddPrompt, AddResource or their opposites"
	callKept    = "a *ServerSession after its request"
)

// instead says what to call in the place of each.
var instead = map[string]string{
	callUpdated: "ResourceUpdated of fleet.Handler, fleet.Notifier or transport.Node",
	callLists:   "Handler.Watch, or ToolsChanged and the like of fleet.Handler, fleet.Notifier or transport.Node",
	callKept:    "keep its ID, and use Notify of fleet.Handler, fleet.Notifier or transport.Node",
}

// reachesNobody warns of a call.
func (r *Runner) reachesNobody(server, call string) {
	if r.silent.first(silence{server, call}) {
		r.logger.Warn("a call of the SDK reaches nobody", "server", server, "call", call, "instead", instead[call])
	}
}

// notice has the execution's connection tell of calls that reach nobody.
func (r *Runner) notice(e *Execution) { e.Request.Unheard = &unheard{r, e.Server} }

// unheard is [node.Unheard] for the requests of a server.
type unheard struct {
	runner *Runner
	server *mcp.Server
}

// Broadcast implements [node.Unheard].
func (u *unheard) Broadcast(method string) {
	switch {
	case method == "notifications/resources/updated":
		u.runner.reachesNobody(sdkcompat.ServerName(u.server), callUpdated)
	case u.runner.watched.find(u.server) == nil:
		u.runner.reachesNobody(sdkcompat.ServerName(u.server), callLists)
	}
}

// AfterEnd implements [node.Unheard].
func (u *unheard) AfterEnd() { u.runner.reachesNobody(sdkcompat.ServerName(u.server), callKept) }

var _ node.Unheard = (*unheard)(nil)

// lingers are the resources for which a session of a server stays, though its request
// has ended, so as to notice [mcp.Server.ResourceUpdated].
type lingers struct {
	mu   sync.Mutex // guards uris
	uris map[string]bool
}

// maxLingers bounds them: each costs a session of the SDK as long as its server exists.
const maxLingers = 8

// claim reports whether a session is to stay for a resource. If it does not stay after
// all, release must be called.
func (l *lingers) claim(uri string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uris[uri] || len(l.uris) >= maxLingers {
		return false
	}
	if l.uris == nil {
		l.uris = map[string]bool{}
	}
	l.uris[uri] = true
	return true
}

func (l *lingers) release(uri string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.uris, uri)
}

// A linger is a session that may stay.
type linger struct {
	session sdkcompat.Lingering
}

// linger returns what has the session of an execution stay, nil if it need not.
func (r *Runner) linger(e *Execution) *linger {
	if e.Request.Message.Method != "resources/subscribe" || e.Request.Stateless || e.Request.OnResult == nil {
		return nil
	}
	name := sdkcompat.ServerName(e.Server)
	watched := r.watched.find(e.Server)
	var p resourceParams
	if watched == nil || r.silent.has(silence{name, callUpdated}) || json.Unmarshal(e.Request.Message.Params, &p) != nil || !watched.lingers.claim(p.URI) {
		return nil
	}
	l := &linger{}
	l.session.Heard = func(method string) {
		if method == "notifications/resources/updated" {
			r.reachesNobody(name, callUpdated)
		}
	}
	l.session.Left = func() { watched.lingers.release(p.URI) }
	store := e.Request.OnResult
	e.Request.OnResult = func(ctx context.Context, result json.RawMessage) error {
		err := store(ctx, result)
		if err == nil {
			l.session.Stay()
		}
		return err
	}
	return l
}

// drop gives up a session that is not connected.
func (l *linger) drop() {
	if l != nil {
		l.session.Left()
	}
}

// transport returns what to connect the server to.
func (l *linger) transport(conn *node.Conn) mcp.Transport {
	if l == nil {
		return conn
	}
	return l.session.Of(conn)
}
