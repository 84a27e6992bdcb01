package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
)

// Watch notifies the clients of the whole fleet when tools, prompts or
// resources are added to a server, or removed from it, while it runs; the SDK
// by itself notifies only those that are connected to it at that moment. Watch
// does not change the servers of other instances, which must be changed as
// well. The first tool, prompt or resource of a server is announced too, as by
// the SDK's handler, although the server did not declare that it has any when the
// clients' sessions began.
//
// Watch returns at once and watches until [Handler.Shutdown]; called after
// that, it fails. While Redis is unavailable, announcements wait. Each watched
// server costs three goroutines, so do not watch servers that are made for a
// single request. A server that is watched on several instances, or twice, has
// its changes announced as many times.
func (h *Handler) Watch(server *mcp.Server) error {
	w := newWatcher(h)
	// To the server it is one more session, of a protocol in which list changes are
	// sent to every session without being asked for.
	state := &mcp.ServerSessionState{
		InitializeParams: &mcp.InitializeParams{
			ProtocolVersion: runner.VersionPriming,
			Capabilities:    &mcp.ClientCapabilities{},
			ClientInfo:      &mcp.Implementation{Name: "mcpfleet watcher"},
		},
		InitializedParams:         &mcp.InitializedParams{},
		NegotiatedProtocolVersion: runner.VersionPriming,
	}
	ss, err := server.Connect(context.Background(), w, &mcp.ServerSessionOptions{State: state}) // Shutdown ends it
	if err != nil {
		return fmt.Errorf("fleet: watch server: %w", err)
	}
	if !h.watchers.add(w, ss) {
		_ = ss.Close() // our own connection's Close does not fail
		return fmt.Errorf("fleet: watch server: %w", node.ErrClosed)
	}
	return nil
}

// watchers are the sessions of watched servers.
type watchers struct {
	mu       sync.Mutex // guards ended and sessions
	ended    bool
	sessions []*mcp.ServerSession
	wg       sync.WaitGroup
}

// add reports whether the session may watch.
func (ws *watchers) add(w *watcher, ss *mcp.ServerSession) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !ws.ended {
		ws.sessions = append(ws.sessions, ss)
		ws.wg.Go(w.announce)
	}
	return !ws.ended
}

// end ends the watching, and waits until nothing of it is left.
func (ws *watchers) end() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.ended = true
	for _, ss := range ws.sessions {
		_ = ss.Close() // our own connection's Close does not fail
	}
	ws.sessions = nil
	ws.wg.Wait()
}

// A watcher is the connection of a session that only gets list changes.
type watcher struct {
	handler  *Handler
	incoming chan jsonrpc.Message
	wake     chan struct{} // has room for one: something is due
	done     chan struct{}
	close    sync.Once

	mu  sync.Mutex        // guards due
	due map[bus.List]bool // the lists whose change is to be announced
}

func newWatcher(h *Handler) *watcher {
	return &watcher{
		handler: h, incoming: make(chan jsonrpc.Message, 1), wake: make(chan struct{}, 1), done: make(chan struct{}),
		due: map[bus.List]bool{},
	}
}

// announce makes the announcements that are due, again and again while they
// fail, until the watching ends.
func (w *watcher) announce() {
	ctx := context.Background() // each call to Redis is bounded
	var again <-chan time.Time
	for {
		select {
		case <-w.wake:
		case <-again:
		case <-w.done:
			w.announceDue(ctx)
			return
		}
		again = nil
		if !w.announceDue(ctx) {
			again = time.After(time.Second)
		}
	}
}

// announceDue reports whether nothing is due any more.
func (w *watcher) announceDue(ctx context.Context) bool {
	w.mu.Lock()
	due := w.due
	w.due = map[bus.List]bool{}
	w.mu.Unlock()
	for list := range due {
		if err := w.handler.publisher.ListChanged(ctx, list); err != nil {
			w.handler.logger.WarnContext(ctx, "list change not announced", "error", err)
			w.put(list)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.due) == 0
}

func (w *watcher) put(list bus.List) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due[list] = true
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

var errWatchEnded = errors.New("the server is no longer watched")

func (w *watcher) Close() error {
	w.close.Do(func() { close(w.done) })
	return nil
}

func (w *watcher) Write(_ context.Context, msg jsonrpc.Message) error {
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
	changed := slices.IndexFunc(bus.Lists, func(l bus.List) bool { return l.Method() == m.Method })
	if changed < 0 {
		return nil
	}
	w.put(bus.Lists[changed])
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}
