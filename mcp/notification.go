package mcp

import (
	"encoding/json"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// notification acts on a client's notification. What can fail for want of Redis
// has happened when it returns; the server's own handlers run on.
func (h *Handler) notification(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) error {
	ctx := r.Context()
	switch m.Method {
	case "notifications/initialized":
		return h.initialized(r, rec, m)
	case "notifications/cancelled":
		return h.cancelled(r, rec, m)
	case "notifications/progress":
		ours, err := h.node.ForwardProgress(ctx, rec.ID, m.Params)
		if err != nil || ours {
			return err
		}
	}
	state, err := h.state(rec)
	if err != nil {
		return err
	}
	// The reply does not wait: the handler may ask the client something, on the
	// stream that clients open after this reply.
	_, err = h.run(r, h.request(r, rec, m), state)
	return err
}

// initialized notes that a session's client is ready, and has the server handle
// that if it is the first to say so.
func (h *Handler) initialized(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) error {
	state, err := h.state(rec)
	if err != nil {
		return err
	}
	state.InitializedParams = nil // the SDK calls its handler when it sets this
	server, err := h.server(r)
	if err != nil {
		return err
	}
	// Only who can call the handler may be the first: nobody else would call it.
	conn, err := h.accept(h.request(r, rec, m), state)
	if err != nil {
		return err
	}
	first, err := h.store.SetInitialized(r.Context(), rec.ID)
	if err != nil || !first {
		_ = conn.Close() // our own connection's Close does not fail
		return err
	}
	return h.connect(server, r, conn, state)
}

// cancelled spreads a client's wish to cancel a request to wherever it runs.
func (h *Handler) cancelled(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) error {
	var p struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if err := json.Unmarshal(m.Params, &p); err != nil || p.RequestID == nil {
		return nil // nothing is cancelled by it (specification, "Cancellation": invalid ones are ignored)
	}
	return h.node.Cancel(r.Context(), rec.ID, p.RequestID)
}
