package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A Request is one message of a client.
type Request struct {
	// Session is the id of the client's session: over HTTP, its Mcp-Session-Id
	// header. It is empty for initialize, and required for anything else.
	Session string
	// Owner is the authenticated user that sent the message. A session belongs to
	// the owner who began it; for any other it does not exist. Without
	// authentication it is empty, and whoever knows the id of such a session can
	// use it.
	Owner string
	// Message is one JSON-RPC message.
	Message json.RawMessage
	// Extra is what handlers see of the request that brought the message, such as
	// its header and token. It may be nil. The node sets its CloseSSEStream.
	Extra *mcp.RequestExtra
}

// Serve acts on a message of a client. A call, and a notification that concerns
// the server, is handled by server, on a connection that lasts for this message;
// handlers have the values of ctx. The end of ctx does not cancel a call: the
// client cancels it with notifications/cancelled, on any instance.
//
// Serve returns as soon as the message has been accepted; the caller must then
// give the client the [Response]. If Serve fails, the caller gives the client the
// error, with [WriteError] or [EncodeError]. It fails with
//
//   - session.ErrNotFound if there is no such session, or it is another owner's, or
//     of a server with another Implementation.Name;
//   - [ErrDuplicateID], [ErrTooManyCalls] or [ErrClosed];
//   - session.ErrUnavailable if Redis is unavailable. What a notification or
//     response asks for may nevertheless happen;
//   - another error if Message is not a JSON-RPC message that can be served.
func (n *Node) Serve(ctx context.Context, server *mcp.Server, req Request) (*Response, error) {
	m, err := jsonrpcmsg.Decode(bytes.TrimPrefix(req.Message, []byte(jsonrpcmsg.BOM)))
	if err != nil {
		return nil, n.refused(ctx, req, err)
	}
	resp, err := n.serve(ctx, server, req, m)
	if err != nil && !m.IsCall() {
		return nil, n.failed(ctx, nil, err)
	}
	if err != nil {
		return nil, n.failed(ctx, m.ID, err)
	}
	return resp, nil
}

func (n *Node) serve(ctx context.Context, server *mcp.Server, req Request, m *jsonrpcmsg.Message) (*Response, error) {
	if v := m.MetaVersion(); v >= runner.VersionStateless {
		return nil, runner.Unsupported(v, runner.SessionVersions())
	}
	if m.IsCall() && n.draining.Load() {
		return nil, ErrClosed
	}
	in := runner.Incoming{Message: m, Extra: req.Extra, Server: func() (*mcp.Server, error) { return server, nil }}
	if m.Method == "initialize" {
		return n.initialize(ctx, req, in)
	}
	if req.Session == "" {
		return nil, invalid("a session is required, except to initialize")
	}
	load := n.store.LoadOwned
	var initialized *runner.Initialized
	if m.Method == "notifications/initialized" && m.IsNotification() {
		initialized = n.runner.Initialized()
		load = initialized.Load
	}
	var err error
	if in.Record, err = n.sessionBy(ctx, load, req.Session, req.Owner, sdkcompat.ServerName(server)); err != nil {
		return nil, err
	}
	switch {
	case initialized != nil:
		err = initialized.Notify(ctx, in)
	case m.IsCall():
		return n.call(ctx, in)
	case m.IsNotification():
		err = n.runner.Notification(ctx, in)
	default:
		err = n.node.ForwardResponse(ctx, in.Record.ID, m)
	}
	return &Response{node: n, content: nothing(http.StatusAccepted)}, err
}

// refused returns the error for what is no message. If it was to be the response to a
// request of the server, that request fails.
func (n *Node) refused(ctx context.Context, req Request, reason error) error {
	if rec, err := n.session(ctx, req.Session, req.Owner, ""); err == nil {
		for _, m := range jsonrpcmsg.RefusedResponses(req.Message, nil, reason) {
			if err := n.node.ForwardResponse(ctx, rec.ID, m); err != nil {
				return n.failed(ctx, nil, err)
			}
		}
	}
	return n.failed(ctx, nil, reason)
}

func invalid(format string, args ...any) error {
	return httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, format, args...)
}

func (n *Node) initialize(ctx context.Context, req Request, in runner.Incoming) (*Response, error) {
	if req.Session != "" {
		rec, err := n.session(ctx, req.Session, req.Owner, "")
		if err == nil {
			_, err = n.store.LoadFresh(ctx, rec.ID) // the session may have ended since
		}
		if err != nil {
			return nil, err
		}
		return nil, sessionstore.ErrNegotiated
	}
	if !in.Message.IsCall() {
		return nil, invalid("initialize needs an id")
	}
	in.Record = n.runner.NewRecord(req.Owner, in.Message.Params)
	conn, began, err := n.runner.Initialize(ctx, in)
	if err != nil {
		return nil, err
	}
	session := func() string {
		if !began() {
			return ""
		}
		return in.Record.ID
	}
	return &Response{node: n, id: in.Message.ID, session: session, content: call{conn, ""}}, nil
}

func (n *Node) call(ctx context.Context, in runner.Incoming) (*Response, error) {
	conn, err := n.runner.Call(ctx, in)
	if err != nil {
		return nil, err
	}
	return &Response{node: n, id: in.Message.ID, content: call{conn, in.Record.ProtocolVersion}}, nil
}

// session returns a session of an owner, and keeps it alive. Sessions of the
// HTTP+SSE transport are not served here, nor are those of another server if a
// server is named.
func (n *Node) session(ctx context.Context, id, owner, server string) (sessionstore.Record, error) {
	return n.sessionBy(ctx, n.store.LoadOwned, id, owner, server)
}

func (n *Node) sessionBy(ctx context.Context, load runner.LoadOwned, id, owner, server string) (sessionstore.Record, error) {
	rec, err := load(ctx, id, owner, server)
	if err != nil {
		n.runner.LoadFailed(ctx, rec, server, err)
	}
	if err == nil && rec.HTTPSSE {
		err = sessionstore.ErrNotFound
	}
	if err == nil {
		n.node.UseRecord(rec)
	}
	return rec, err
}

// Delete ends an owner's session, wherever something of it runs. When it returns
// nil, nothing can bring the session back. It fails with session.ErrNotFound if
// there is no such session, or it is another owner's, and with
// session.ErrUnavailable if Redis is unavailable.
func (n *Node) Delete(ctx context.Context, session, owner string) error {
	rec, err := n.session(ctx, session, owner, "")
	if err == nil {
		// A second Delete must not succeed because of a stale record.
		rec, err = n.store.LoadFresh(ctx, rec.ID)
	}
	if err == nil {
		err = n.runner.End(ctx, rec.ID)
	}
	if err != nil {
		return n.failed(ctx, nil, err)
	}
	return nil
}
