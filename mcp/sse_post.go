package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Messages returns the POST handler for the sessions of [Handler.SSE]. It
// accepts one message, on any instance, and responds 202; the response to a call
// is sent on the session's stream.
func (h *Handler) Messages() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !h.guard(w, r):
		case r.Method != http.MethodPost:
			h.notAllowed(w, r, "POST")
		default:
			untimed(w)
			h.serveMessage(w, choosing(r))
		}
	})
}

func (h *Handler) serveMessage(w http.ResponseWriter, r *http.Request) {
	m, body, err := h.readSSEMessage(w, r)
	defer body.release()
	if err != nil {
		h.refuse(w, r, m, body, err)
		return
	}
	if err := h.take(r, m); err != nil {
		h.failMessage(w, r, m, err)
		return
	}
	h.accepted(w, r, nil)
}

// readSSEMessage reads the message of a POST. There are no batches here: the
// protocol that has them has another transport.
func (h *Handler) readSSEMessage(w http.ResponseWriter, r *http.Request) (*jsonrpcmsg.Message, *postBody, error) {
	if err := checkContentType(r); err != nil {
		return nil, nil, err
	}
	if r.URL.Query().Get("sessionId") == "" {
		return nil, nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "sessionId is required")
	}
	if err := checkVersion(r); err != nil {
		return nil, nil, err
	}
	body, err := h.readBody(w, r, func(r *http.Request) (sessionstore.Record, error) {
		rec, _, err := h.sseSession(r)
		return rec, err
	})
	if err != nil {
		return nil, body, err
	}
	m, err := jsonrpcmsg.Decode(body.data)
	return m, body, err
}

// take acts on a message of a client.
func (h *Handler) take(r *http.Request, m *jsonrpcmsg.Message) error {
	rec, streamOwner, err := h.sseSession(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	switch {
	case m.IsCall():
		return h.relay(r, rec, streamOwner, m)
	case !m.IsNotification():
		return h.node.ForwardResponse(ctx, rec.ID, m)
	case rec.ProtocolVersion == "":
		return nil // there is nothing yet to notify
	}
	err = h.runner.Notification(ctx, h.incoming(r, rec, m))
	if err == nil && m.Method == "notifications/initialized" {
		h.node.TellInitialized(ctx, streamOwner)
	}
	return err
}

// relay runs a call whose response is relayed to the session's stream. An error
// that concerns the call alone is sent there, too: clients take an error status
// for the failure of the whole connection.
func (h *Handler) relay(r *http.Request, rec sessionstore.Record, streamOwner node.StreamOwner, m *jsonrpcmsg.Message) error {
	if h.draining.Load() {
		return node.ErrClosed
	}
	ctx := r.Context()
	initializes := m.Method == "initialize"
	switch {
	case isStateless(r, m): // its client has to begin with initialize
		return h.refuseOnStream(ctx, rec, m, runner.Unsupported(m.MetaVersion(), runner.SessionVersions()))
	case initializes && rec.ProtocolVersion != "":
		return h.refuseOnStream(ctx, rec, m, sessionstore.ErrNegotiated)
	}
	// Prepare first: nothing would tell the stream's owner that a call which no server
	// takes has ended. Before initialize, the SDK refuses everything but ping.
	e, err := h.runner.Prepare(h.incoming(r, rec, m))
	if err != nil {
		return err
	}
	if initializes {
		position := h.node.Position()
		e.Request.OnResult = func(ctx context.Context, result json.RawMessage) error {
			return h.negotiate(ctx, rec, streamOwner, m.Params, result, position)
		}
	}
	if err := h.node.Relay(ctx, streamOwner, &e.Request); err != nil {
		if errors.Is(err, sessionstore.ErrNotFound) {
			h.node.EndSSESession(ctx, rec.ID)
		}
		return err
	}
	_, err = h.runner.Serve(ctx, e)
	return err
}

// negotiate stores what the initialize of a session agreed on.
func (h *Handler) negotiate(ctx context.Context, rec sessionstore.Record, streamOwner node.StreamOwner, params, result json.RawMessage, position string) error {
	agreed, err := runner.Agreement(params, result)
	if err == nil {
		agreed.Position = position
		err = h.node.Negotiate(ctx, streamOwner, rec.ID, agreed)
	}
	if err != nil {
		return &h.refusalOf(ctx, err).Wire
	}
	h.logger.InfoContext(ctx, "session negotiated", "session", sessionstore.ShortID(rec.ID), "protocol", agreed.ProtocolVersion)
	return nil
}

func (h *Handler) refuseOnStream(ctx context.Context, rec sessionstore.Record, m *jsonrpcmsg.Message, err error) error {
	return h.node.Standalone(ctx, rec.ID, jsonrpcmsg.EncodeError(m.ID, &h.refusalOf(ctx, err).Wire))
}
