package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/transport"
)

// Watch announces to the whole fleet when tools, prompts or resources are added
// to a server, or removed from it, while it runs: the SDK by itself tells only
// those it is connected to at the moment. It does not change the servers of
// other instances, which must be changed as well.
//
// Watch returns at once and watches until [Handler.Shutdown], after which it
// fails. Watching a server costs two goroutines, so it is not for a server made
// for a single request; a server watched on several instances, or twice, has its
// changes announced as often.
func (h *Handler) Watch(server *mcp.Server) error {
	w := &watcher{handler: h, incoming: make(chan jsonrpc.Message, 1), done: make(chan struct{})}
	// To the server it is one more session, of an era in which list changes are
	// sent to every session without being asked for.
	state := &mcp.ServerSessionState{
		InitializeParams: &mcp.InitializeParams{
			ProtocolVersion: versionPriming,
			Capabilities:    &mcp.ClientCapabilities{},
			ClientInfo:      &mcp.Implementation{Name: "mcpfleet watcher"},
		},
		InitializedParams:         &mcp.InitializedParams{},
		NegotiatedProtocolVersion: versionPriming,
	}
	ss, err := server.Connect(context.Background(), w, &mcp.ServerSessionOptions{State: state}) // Shutdown ends it
	if err != nil {
		return fmt.Errorf("fleet: watch server: %w", err)
	}
	if !h.watchers.add(ss) {
		_ = ss.Close() // our own connection's Close does not fail
		return fmt.Errorf("fleet: watch server: %w", transport.ErrClosed)
	}
	return nil
}

// watchers are the sessions of watched servers.
type watchers struct {
	mu       sync.Mutex
	ended    bool
	sessions []*mcp.ServerSession
}

// add reports whether the session may watch.
func (ws *watchers) add(ss *mcp.ServerSession) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !ws.ended {
		ws.sessions = append(ws.sessions, ss)
	}
	return !ws.ended
}

func (ws *watchers) end() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.ended = true
	for _, ss := range ws.sessions {
		_ = ss.Close() // as above
	}
	ws.sessions = nil
}

// A watcher is the connection of a session that only hears of list changes.
type watcher struct {
	handler  *Handler
	incoming chan jsonrpc.Message
	done     chan struct{}
	close    sync.Once
}

func (w *watcher) Connect(context.Context) (mcp.Connection, error) { return w, nil }
func (w *watcher) SessionID() string                               { return "" }

func (w *watcher) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case m := <-w.incoming:
		return m, nil
	case <-w.done:
		return nil, errWatchEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errWatchEnded = fmt.Errorf("the server is no longer watched")

func (w *watcher) Close() error {
	w.close.Do(func() { close(w.done) })
	return nil
}

func (w *watcher) Write(ctx context.Context, msg jsonrpc.Message) error {
	m, ok := msg.(*jsonrpc.Request)
	if !ok {
		return nil
	}
	if m.IsCall() { // a ping of ServerOptions.KeepAlive
		select {
		case w.incoming <- &jsonrpc.Response{ID: m.ID, Result: json.RawMessage("{}")}:
		case <-w.done:
		}
		return nil
	}
	var err error
	switch m.Method {
	case "notifications/tools/list_changed":
		err = w.handler.ToolsChanged(ctx)
	case "notifications/prompts/list_changed":
		err = w.handler.PromptsChanged(ctx)
	case "notifications/resources/list_changed":
		err = w.handler.ResourcesChanged(ctx)
	}
	if err != nil {
		w.handler.logger.WarnContext(ctx, "list change not announced", "error", err)
	}
	return nil
}
