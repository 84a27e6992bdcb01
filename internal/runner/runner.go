// Package runner has SDK servers handle the messages of sessions. Each message
// gets a connection of its own, on whichever instance it arrived: the SDK's
// session lasts for that one message, so what it would remember is restored from
// the session's record before, and stored in Redis after.
package runner

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

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
	clients clientCache
}

// New returns a runner for the sessions of a store.
func New(n *node.Node, store *sessionstore.Store, logger *slog.Logger) *Runner {
	return &Runner{node: n, store: store, logger: logger}
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
	Server func() *mcp.Server
}

// An Execution is a message of a client with all that it takes to have a server
// handle it.
type Execution struct {
	Request node.Request
	Server  *mcp.Server

	state *mcp.ServerSessionState // nil before initialize has been answered
	// claim, if not nil, reports whether the server shall handle the message.
	// It is called when the message has been accepted on this instance.
	claim func(context.Context) (bool, error)
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
		Resumable:    rec.ProtocolVersion >= VersionPriming && !rec.Legacy,
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
			e.Request.OnResult = r.onResult(rec, m)
		}
	}
	if e.Server = in.Server(); e.Server == nil {
		return e, httperror.Refuse(http.StatusBadRequest, "no server available")
	}
	return e, nil
}

// Serve has the server handle the message, on a connection of its own. It
// returns nil if the message is not to be handled.
func (r *Runner) Serve(ctx context.Context, e Execution) (*node.Conn, error) {
	conn, err := r.node.Accept(e.Request)
	if err != nil {
		return nil, err
	}
	if e.claim != nil {
		if claimed, err := e.claim(ctx); err != nil || !claimed {
			_ = conn.Close() // our own connection's Close does not fail
			return nil, err
		}
	}
	ss, err := e.Server.Connect(conn.Context(ctx), conn, &mcp.ServerSessionOptions{State: e.state})
	if err != nil {
		_ = conn.Close() // our own connection's Close does not fail
		return nil, err
	}
	sdkcompat.StopKeepAlive(e.Server, ss, conn.Done())
	return conn, nil
}
