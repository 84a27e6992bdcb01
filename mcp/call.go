package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// call runs a request and sends its response.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) {
	if h.draining.Load() {
		h.fail(w, r, m.ID, node.ErrClosed)
		return
	}
	e, err := h.prepare(r, rec, m)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	conn, err := h.serve(r, e)
	h.node.Use(rec.ID)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	h.respond(w, r, conn, m.ID, rec.ProtocolVersion)
}

// An execution is a message of a client with all that it takes to have a server
// handle it.
type execution struct {
	request node.Request
	server  *mcp.Server
	state   *mcp.ServerSessionState // nil until initialize has a response

	// claim, if not nil, reports whether the server shall handle the message.
	// It is called when the message has been accepted on this instance.
	claim func(context.Context) (bool, error)
}

// prepare returns what it takes to run a message of a session. Nothing runs yet;
// the caller may change the execution before it calls [Handler.serve].
func (h *Handler) prepare(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) (execution, error) {
	sdkcompat.WithoutNullArguments(m)
	e := execution{request: node.Request{
		Session:    rec.ID,
		Message:    sdkcompat.WithoutListen(m),
		Extra:      &mcp.RequestExtra{TokenInfo: auth.TokenInfoFromContext(r.Context()), Header: r.Header},
		Resumable:  rec.ProtocolVersion >= versionPriming && !rec.Legacy,
		AnswerOnly: rec.ProtocolVersion == "",
	}}
	if rec.ProtocolVersion != "" {
		client, err := h.clients.decode(rec.InitializeParams)
		if err != nil {
			return e, fmt.Errorf("session %s: %w", short(rec.ID), err)
		}
		e.request.Client = client.Capabilities
		e.state = sdkcompat.SessionState(client, rec.ProtocolVersion)
		if m.IsCall() {
			e.request.OnResult = h.onResult(rec, m)
		}
	}
	if e.server = h.getServer(r); e.server == nil {
		return e, refuse(http.StatusBadRequest, "no server available")
	}
	return e, nil
}

// onResult returns what has to be done about a call of a session when the
// server has handled it: the SDK's own session, which lasts for one request,
// forgets the log level and the subscriptions.
func (h *Handler) onResult(rec sessionstore.Record, m *jsonrpcmsg.Message) func(context.Context, json.RawMessage) error {
	switch m.Method {
	case "logging/setLevel":
		return func(ctx context.Context, _ json.RawMessage) error { return h.storeLevel(ctx, rec.ID, m.Params) }
	case "resources/subscribe":
		// Updates made from now on are the subscription's, although it is not
		// confirmed yet.
		position := h.node.Position()
		return func(ctx context.Context, _ json.RawMessage) error {
			return h.subscribe(ctx, rec.ID, m.Params, position)
		}
	case "resources/unsubscribe":
		return func(ctx context.Context, _ json.RawMessage) error { return h.unsubscribe(ctx, rec.ID, m.Params) }
	default:
		return nil
	}
}

// serve has the server handle the message, on a connection of its own. It
// returns nil if the message is not to be handled.
func (h *Handler) serve(r *http.Request, e execution) (*node.Conn, error) {
	conn, err := h.node.Accept(e.request)
	if err != nil {
		return nil, err
	}
	if e.claim != nil {
		if claimed, err := e.claim(r.Context()); err != nil || !claimed {
			_ = conn.Close() // our own connection's Close does not fail
			return nil, err
		}
	}
	ss, err := e.server.Connect(conn.Context(r.Context()), conn, &mcp.ServerSessionOptions{State: e.state})
	if err != nil {
		_ = conn.Close() // our own connection's Close does not fail
		return nil, err
	}
	sdkcompat.StopKeepAlive(e.server, ss, conn.Done())
	return conn, nil
}

// A clientCache keeps decoded initialize parameters: there are many sessions
// but few clients, and decoding costs as much as the rest of a small call.
type clientCache struct {
	mu      sync.RWMutex // guards decoded
	decoded map[string]*mcp.InitializeParams
}

// maxClients bounds the cache; with MaxInitialize, so its memory.
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
