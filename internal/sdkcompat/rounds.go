package sdkcompat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK decides by the protocol version of a handler's session what the handler
// may do: up to 2025-11-25 it may ask its client and wait for the answer, and input
// requests that it returns are asked in the same way, once; from 2026-07-28 on it may
// only return them. So a handler that waits fails for every client of 2026-07-28.
//
// Seen in: v1.8.0.
// Here: the handler gets a session of 2025-11-25, whose questions reach our
// connection. The middleware around it sees a stand-in: a session of 2026-07-28, so
// that the SDK leaves returned input requests to the client. It is one of a server of
// ours, whose features have the names that are asked for, and hand each request over
// to the handler.
// Test: TestHandlersMayAskOrReturnInputRequests.

// Rounds have handlers serve requests of 2026-07-28, whether they wait for answers of
// their clients or return input requests. They are safe for concurrent use.
type Rounds struct {
	standIns bool
	dispatch mcp.MethodHandler // has the server of a request's session handle it, without middleware
	lent     sync.Map          // of each stand-in that is lent: its *mcp.ServerSession, the *standIn
	current  atomic.Pointer[standInServer]

	mu sync.Mutex // held to replace current
}

// NewRounds returns rounds, whose handlers' middleware sees stand-ins or, if
// [CheckRounds] fails, the handlers' own sessions.
func NewRounds(standIns bool) *Rounds {
	r := &Rounds{standIns: standIns}
	// A client's handler serves the requests of a server's session too.
	mcp.NewClient(standInImplementation, nil).AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		r.dispatch = next
		return next
	})
	return r
}

var standInImplementation = &mcp.Implementation{Name: "mcpfleet", Version: "1"}

// HasStandIns reports whether returned input requests are left to the client.
func (r *Rounds) HasStandIns() bool { return r.standIns }

// maxNames bounds the features of a server of stand-ins, as clients can make up names.
const maxNames = 1000

// A standInServer has the stand-ins' features.
type standInServer struct {
	server *mcp.Server

	mu    sync.RWMutex // guards names
	names map[string]bool
}

// A standIn is a session of 2026-07-28 for one request. It is not used again: middleware
// may keep it, and another request may be another user's.
type standIn struct {
	session    *mcp.ServerSession // what the middleware around the request's handler sees
	connection mcp.Connection     // that of the request
	handler    *mcp.ServerSession // what the handler sees
	done       chan struct{}      // closed when the request has been handled
}

// errNoRequest is the error of a stand-in whose request has been handled.
var errNoRequest = errors.New("the request of this session has ended")

// Lend returns a stand-in for the session of a request that calls the named tool,
// prompt or resource, and what takes it back. The session has a connection of ours;
// what is sent with the stand-in is sent on it. For what cannot have a stand-in, a
// resource whose URI is malformed, the session itself is returned.
func (r *Rounds) Lend(method, name string, session *mcp.ServerSession, connection mcp.Connection) (lent *mcp.ServerSession, free func(), err error) {
	if _, err := url.Parse(name); err != nil && method == "resources/read" || !r.standIns {
		return session, func() {}, nil
	}
	s := &standIn{connection: connection, handler: session, done: make(chan struct{})}
	if err := s.connect(r.serving(method, name).server); err != nil {
		return nil, nil, err
	}
	r.lent.Store(s.session, s)
	return s.session, func() {
		r.lent.Delete(s.session)
		close(s.done)
	}, nil
}

// serving returns a server that has the feature.
func (r *Rounds) serving(method, name string) *standInServer {
	key := method + " " + name
	of := r.current.Load()
	if of != nil && of.has(key) {
		return of
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	of = r.current.Load()
	if of == nil || len(of.names) >= maxNames {
		of = &standInServer{
			server: mcp.NewServer(standInImplementation, &mcp.ServerOptions{Logger: slog.New(slog.DiscardHandler)}),
			names:  map[string]bool{},
		}
		r.current.Store(of)
	}
	if !of.has(key) {
		r.add(of.server, method, name)
		of.mu.Lock()
		of.names[key] = true
		of.mu.Unlock()
	}
	return of
}

func (of *standInServer) has(key string) bool {
	of.mu.RLock()
	defer of.mu.RUnlock()
	return of.names[key]
}

// add gives a server of stand-ins the feature, which hands requests over.
func (r *Rounds) add(server *mcp.Server, method, name string) {
	switch method {
	case "tools/call":
		server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return handOver[*mcp.CallToolResult](ctx, r, method, req, &req.Session)
		})
	case "prompts/get":
		server.AddPrompt(&mcp.Prompt{Name: name}, func(ctx context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return handOver[*mcp.GetPromptResult](ctx, r, method, req, &req.Session)
		})
	case "resources/read":
		server.AddResource(&mcp.Resource{URI: name, Name: name}, func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return handOver[*mcp.ReadResourceResult](ctx, r, method, req, &req.Session)
		})
	}
}

// handOver has the handler's own session and server handle a request of a stand-in.
func handOver[R mcp.Result](ctx context.Context, r *Rounds, method string, req mcp.Request, session **mcp.ServerSession) (result R, err error) {
	lent := *session
	found, ok := r.lent.Load(lent)
	if !ok {
		return result, errNoRequest
	}
	*session = found.(*standIn).handler
	defer func() { *session = lent }()
	res, err := r.dispatch(ctx, method, req)
	if err != nil {
		return result, err
	}
	result, ok = res.(R)
	if !ok {
		return result, fmt.Errorf("a result of %s is a %T", method, res)
	}
	return result, nil
}

// connect connects the stand-in to its server.
func (s *standIn) connect(server *mcp.Server) (err error) {
	const version = "2026-07-28"
	// It ends with its request, not with the context of it.
	s.session, err = server.Connect(context.Background(), s, &mcp.ServerSessionOptions{State: &mcp.ServerSessionState{
		InitializeParams:          &mcp.InitializeParams{ProtocolVersion: version, Capabilities: &mcp.ClientCapabilities{}},
		InitializedParams:         &mcp.InitializedParams{},
		NegotiatedProtocolVersion: version,
		LogLevel:                  "debug", // our connection knows what the client wants
	}})
	return err
}

// Connect implements [mcp.Transport].
func (s *standIn) Connect(context.Context) (mcp.Connection, error) { return s, nil }

// Read implements [mcp.Connection]. There is nothing to read.
func (s *standIn) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case <-s.done:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Write implements [mcp.Connection].
func (s *standIn) Write(ctx context.Context, m jsonrpc.Message) error {
	return s.connection.Write(ctx, m)
}

// Close implements [mcp.Connection].
func (s *standIn) Close() error { return nil }

// SessionID implements [mcp.Connection].
func (s *standIn) SessionID() string { return s.connection.SessionID() }
