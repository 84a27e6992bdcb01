// Package runner has SDK servers handle the messages of clients. Each message gets a
// connection of its own, on whichever instance it arrived: the SDK's session lasts for
// that one message. What it would remember is restored from the session's record
// before, and stored in Redis after; or the message says it itself, from 2026-07-28 on.
package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A Runner runs the messages that arrive at one instance. It is safe for
// concurrent use.
type Runner struct {
	node    *node.Node
	store   *sessionstore.Store
	logger  *slog.Logger
	faults  *sdkcompat.Faults
	rounds  *sdkcompat.Rounds
	clients clientCache
	foreign firsts[foreignPair]
	silent  firsts[silence]
	watched watchedServers
}

// New returns a runner for the sessions of a store. With crash, a handler's panic
// ends the process.
func New(n *node.Node, store *sessionstore.Store, logger *slog.Logger, crash bool) *Runner {
	err := sdkcompat.CheckRounds()
	if err != nil {
		logger.Warn("this version of the SDK is not one that mcpfleet knows: input requests that handlers return are asked one time only, and wait on their instance", "error", err)
	}
	r := &Runner{node: n, store: store, logger: logger, faults: sdkcompat.NewFaults(logger, crash)}
	r.UseStandIns(err == nil)
	return r
}

// UseStandIns decides whether input requests that handlers return are left to clients
// without a session. It is for tests; it must be called before the runner is used.
func (r *Runner) UseStandIns(use bool) { r.rounds = sdkcompat.NewRounds(use) }

// Faults returns what keeps the faults of handlers to their requests.
func (r *Runner) Faults() *sdkcompat.Faults { return r.faults }

// Chosen returns the [Incoming.Server] of a message whose server is known.
func Chosen(server *mcp.Server, err error) func() (*mcp.Server, error) {
	return func() (*mcp.Server, error) { return server, err }
}

// An Incoming is a message as it arrived.
type Incoming struct {
	// Record is that of the message's session. For initialize it is not stored
	// yet.
	Record  sessionstore.Record
	Message *jsonrpcmsg.Message
	// Extra is what handlers see of the request that brought the message.
	Extra *mcp.RequestExtra
	// Server returns the server that is to handle the message, or nil if there is
	// none. It is called if the message is one for a server.
	Server func() (*mcp.Server, error)
}

// An Execution is a message of a client with all that it takes to have a server
// handle it.
type Execution struct {
	Request node.Request
	Server  *mcp.Server

	state *mcp.ServerSessionState // nil until initialize has a response
}

// Call prepares and serves a call of a session.
func (r *Runner) Call(ctx context.Context, in Incoming) (*node.Conn, error) {
	e, err := r.Prepare(in)
	if err != nil {
		return nil, err
	}
	return r.Serve(ctx, e)
}

// Prepare returns what it takes to run a message. Nothing runs yet; the caller
// may change the execution before it calls [Runner.Serve].
func (r *Runner) Prepare(in Incoming) (Execution, error) {
	rec, m := in.Record, in.Message
	sdkcompat.WithoutNullArguments(m)
	e := Execution{Request: node.Request{
		Session:      rec.ID,
		Message:      sdkcompat.WithoutListen(m),
		Extra:        in.Extra,
		Resumable:    rec.ProtocolVersion >= VersionPriming && !rec.HTTPSSE,
		ResponseOnly: rec.ProtocolVersion == "",
	}}
	if rec.ProtocolVersion != "" {
		client, err := r.clients.decode(rec.InitializeParams)
		if err != nil {
			return e, fmt.Errorf("session %s: %w", sessionstore.ShortID(rec.ID), err)
		}
		e.Request.Client = client.Capabilities
		e.state = sdkcompat.SessionState(client, rec.ProtocolVersion)
		if m.IsCall() {
			e.Request.OnResult = r.onResult(rec.ID, m)
		}
	}
	var err error
	if e.Server, err = in.Server(); err == nil && e.Server == nil {
		err = httperror.Refuse(http.StatusBadRequest, "no server available")
	}
	if err == nil {
		err = in.checkVersion(e.Server)
	}
	return e, err
}

// checkVersion refuses what names a protocol version that the server does not
// support, in its header or as stateless requests do.
func (in Incoming) checkVersion(server *mcp.Server) error {
	if v := in.Message.MetaVersion(); v != "" && !sdkcompat.SupportsVersion(server, v) {
		return Unsupported(v, sdkcompat.SupportedVersions(server))
	}
	if in.Extra == nil {
		return nil
	}
	return checkHeader(in.Extra.Header, server)
}

// onResult returns what has to be done about a call of a session when the
// server has handled it: the SDK's own session, which lasts for one request,
// forgets the log level and the subscriptions.
func (r *Runner) onResult(session string, m *jsonrpcmsg.Message) func(context.Context, json.RawMessage) error {
	switch m.Method {
	case "logging/setLevel":
		return func(ctx context.Context, _ json.RawMessage) error { return r.storeLevel(ctx, session, m.Params) }
	case "resources/subscribe":
		// Updates made from now on are the subscription's, although it is not
		// confirmed yet.
		position := r.node.Position()
		return func(ctx context.Context, _ json.RawMessage) error {
			return r.subscribe(ctx, session, m.Params, position)
		}
	case "resources/unsubscribe":
		return func(ctx context.Context, _ json.RawMessage) error { return r.unsubscribe(ctx, session, m.Params) }
	default:
		return nil
	}
}

// Serve has the server handle the message, on a connection of its own, and returns
// while the handler runs. It fails as [node.Node.Accept] does.
func (r *Runner) Serve(ctx context.Context, e Execution) (*node.Conn, error) {
	m := e.Request.Message
	var d *direct
	faults := r.faults.Request(m.ID)
	if e.Request.Stateless {
		faults = r.faults.StatelessRequest(m.ID, e.Server)
	}
	if e.state != nil && m.IsCall() && sdkcompat.Decodes(m.Method) { // before initialize, the SDK refuses it
		d = &direct{runner: r, server: e.Server, faults: faults, request: e.Request, version: e.state.NegotiatedProtocolVersion}
		if e.Request.Asking != nil {
			e.Request.Asking.Again = d.mayRunAgain
		}
		e.Request.Handle = d.handle
	} else if !e.Request.Stateless {
		e.Request.Result = faults.Result
	}
	r.notice(&e)
	linger := r.linger(&e)
	conn, err := r.node.Accept(e.Request)
	if err != nil {
		linger.drop()
		return nil, err
	}
	if d == nil {
		ctx = faults.Catch(ctx, e.Server)
	}
	ctx = conn.Context(ctx)
	ss, err := e.Server.Connect(ctx, linger.transport(conn), &mcp.ServerSessionOptions{State: e.state})
	if err != nil {
		linger.drop()
		_ = conn.Close() // our own connection's Close does not fail
		return nil, err
	}
	sdkcompat.StopKeepAlive(e.Server, ss, conn.Done())
	if d != nil {
		d.conn, d.session = conn, ss
		conn.Handle(ctx)
	}
	return conn, nil
}

// A clientCache keeps decoded initialize parameters: there are many sessions
// but few clients, and decoding costs as much as the rest of a small call.
type clientCache struct {
	mu      sync.RWMutex // guards decoded
	decoded map[string]*mcp.InitializeParams
}

// maxClients bounds the cache and, with sessionstore.Options.MaxInitialize, its
// memory.
const maxClients = 256

// decode returns the decoded parameters, which are shared and must not be changed.
func (c *clientCache) decode(raw json.RawMessage) (*mcp.InitializeParams, error) {
	c.mu.RLock()
	p := c.decoded[string(raw)]
	c.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	p, err := sdkcompat.DecodeInitialize(raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decoded == nil || len(c.decoded) >= maxClients {
		c.decoded = map[string]*mcp.InitializeParams{}
	}
	c.decoded[string(raw)] = p
	return p, nil
}
