package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Messages returns the POST handler for the sessions of [Handler.SSE]. It
// accepts one message, on any instance, and answers 202; the response to a call
// is sent on the session's stream.
func (h *Handler) Messages() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !h.guard(w, r):
		case r.Method != http.MethodPost:
			notAllowed(w, r, "POST")
		default:
			untimed(w)
			h.serveMessage(w, r)
		}
	})
}

func (h *Handler) serveMessage(w http.ResponseWriter, r *http.Request) {
	m, err := h.readLegacy(w, r)
	if err == nil {
		err = h.take(r, m)
	}
	if err != nil {
		h.failMessage(w, r, m, err)
		return
	}
	h.timed(w)
	w.WriteHeader(http.StatusAccepted)
}

// readLegacy reads the message of a POST. There are no batches here: the
// protocol that has them has another transport.
func (h *Handler) readLegacy(w http.ResponseWriter, r *http.Request) (*jsonrpcmsg.Message, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	if r.URL.Query().Get("sessionId") == "" {
		return nil, refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "sessionId is required")
	}
	if err := checkVersion(r); err != nil {
		return nil, err
	}
	body, err := h.readBody(w, r)
	if err != nil {
		return nil, err
	}
	return jsonrpcmsg.Decode(body)
}

// take acts on a message of a client.
func (h *Handler) take(r *http.Request, m *jsonrpcmsg.Message) error {
	rec, holder, err := h.legacySession(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	switch {
	case m.IsCall():
		return h.carry(r, rec, holder, m)
	case !m.IsNotification():
		return h.node.ForwardResponse(ctx, rec.ID, m)
	case rec.ProtocolVersion == "":
		return nil // there is nothing yet to notify
	}
	err = h.notification(r, rec, m)
	if err == nil && m.Method == "notifications/initialized" {
		h.node.TellInitialized(ctx, holder)
	}
	return err
}

// carry runs a call whose response goes to the session's stream. What is wrong
// with the call alone is said there, too: clients take an error here for the
// failure of the whole connection.
func (h *Handler) carry(r *http.Request, rec sessionstore.Record, holder node.StreamOwner, m *jsonrpcmsg.Message) error {
	if h.draining.Load() {
		return node.ErrClosed
	}
	ctx := r.Context()
	req := h.request(r, rec, m)
	var state *mcp.ServerSessionState
	var err error
	switch initializes := m.Method == "initialize"; {
	case isModern(r, m): // its client has to begin with initialize
		return h.refuseOnStream(ctx, rec, m, unsupported(metaVersionOf(m), sessionVersions()))
	case initializes && rec.ProtocolVersion != "":
		return h.refuseOnStream(ctx, rec, m, sessionstore.ErrNegotiated)
	case initializes:
		position := h.node.Position()
		req.ResponseOnly = true
		req.OnResult = func(ctx context.Context, result json.RawMessage) error {
			return h.negotiate(ctx, rec, holder, m.Params, result, position)
		}
	case rec.ProtocolVersion == "":
		req.ResponseOnly = true // the SDK refuses everything but ping
	default:
		req.OnResult = h.onResult(rec, m)
		if state, err = h.state(rec); err != nil {
			return err
		}
	}
	// First: nothing would tell the holder that a call which no server takes has ended.
	server, err := h.server(r)
	if err != nil {
		return err
	}
	if err := h.node.Relay(ctx, holder, &req); err != nil {
		if errors.Is(err, sessionstore.ErrNotFound) {
			h.node.EndSSESession(ctx, rec.ID)
		}
		return err
	}
	_, err = h.runOn(server, r, req, state)
	return err
}

// negotiate stores what the initialize of a session agreed on.
func (h *Handler) negotiate(ctx context.Context, rec sessionstore.Record, holder node.StreamOwner, params, result json.RawMessage, position string) error {
	agreed, err := agreement(params, result)
	if err == nil {
		agreed.Position = position
		err = h.node.Negotiate(ctx, holder, rec.ID, agreed)
	}
	if err != nil {
		return &h.refusalOf(ctx, err).wire
	}
	h.logger.InfoContext(ctx, "session negotiated", "session", short(rec.ID), "protocol", agreed.ProtocolVersion)
	return nil
}

func (h *Handler) refuseOnStream(ctx context.Context, rec sessionstore.Record, m *jsonrpcmsg.Message, err error) error {
	return h.node.Standalone(ctx, rec.ID, jsonrpcmsg.EncodeError(m.ID, &h.refusalOf(ctx, err).wire))
}
