package mcp

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

const methodListen = "subscriptions/listen"

// maxListened bounds the resources of one listener, as the subscriptions of a
// session are bounded.
const maxListened = 1000

// serveListen serves subscriptions/listen (specification 2026-07-28,
// "Subscriptions"). The SDK judges the request: middleware, and which of it the
// server supports. What it acknowledges we serve, from the bus.
func (h *Handler) serveListen(w http.ResponseWriter, r *http.Request, s *runner.Stateless) {
	listener, err := h.newListener(s.Message)
	if err != nil {
		h.fail(w, r, s.Message.ID, err)
		return
	}
	defer listener.Close()
	accepted, refused, err := h.runner.Listen(r.Context(), s)
	switch {
	case err != nil && r.Context().Err() != nil:
		h.fail(w, r, s.Message.ID, httperror.ErrGivenUp)
	case err != nil:
		h.fail(w, r, s.Message.ID, err)
	case accepted == nil:
		h.writeJSONStatus(w, statusOf(refused.Code), refused.Body)
	default:
		if err := h.serveListener(w, r, listener, accepted); err != nil && r.Context().Err() == nil {
			h.logger.WarnContext(r.Context(), "listener cut off", "error", err)
		}
	}
}

// newListener opens the listener before the request is acknowledged, so that
// nothing is missed in between. A request without a filter that could be read
// listens to nothing until the SDK has refused it.
func (h *Handler) newListener(m *jsonrpcmsg.Message) (*node.Listener, error) {
	var params struct {
		Filter node.Filter `json:"notifications"`
	}
	if json.Unmarshal(m.Params, &params) != nil {
		params.Filter = node.Filter{}
	}
	if len(params.Filter.URIs) > maxListened {
		return nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidParams, "more than %d resource subscriptions", maxListened)
	}
	if slices.Contains(params.Filter.URIs, "") {
		return nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidParams, "a resource subscription without a URI")
	}
	return h.node.Listen(m.ID, params.Filter)
}

func (h *Handler) serveListener(w http.ResponseWriter, r *http.Request, listener *node.Listener, accepted json.RawMessage) error {
	var filter node.Filter
	if err := json.Unmarshal(accepted, &filter); err != nil {
		return err
	}
	listener.Restrict(filter)
	ctx, cancel := untilExpiry(r.Context())
	defer cancel()
	events := sse.NewWriter(w, h.opts.pace())
	if err := events.Start(); err != nil {
		return err
	}
	if err := listener.Acknowledge(events, accepted); err != nil {
		return err
	}
	if filter.Empty() {
		return listener.Complete(events)
	}
	defer h.whileOpen(ctx, &Stream{listener: listener})()
	return listener.Serve(ctx, events, h.opts.KeepAlive)
}
