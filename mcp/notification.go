package mcp

import (
	"context"
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
		ours, err := h.node.Progress(ctx, rec.ID, m.Params)
		if err != nil || ours {
			return err
		}
	}
	e, err := h.prepare(r, rec, m)
	if err != nil {
		return err
	}
	// The response does not wait for the handler, which may send the client a
	// request on the stream that clients open after this response.
	_, err = h.serve(r, e)
	return err
}

// initialized records that a session's client is ready. The server handles the
// first such notification of a session, and no other.
func (h *Handler) initialized(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) error {
	e, err := h.prepare(r, rec, m)
	if err != nil {
		return err
	}
	e.state.InitializedParams = nil // the SDK calls its handler when it sets this
	// Claim the flag only after the handler can run: the first claim suppresses
	// every other.
	e.claim = func(ctx context.Context) (first bool, err error) { return h.store.SetInitialized(ctx, rec.ID) }
	_, err = h.serve(r, e)
	return err
}

// cancelled cancels a request of the client, on whichever instance it runs.
func (h *Handler) cancelled(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) error {
	var p struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if err := json.Unmarshal(m.Params, &p); err != nil || p.RequestID == nil {
		return nil // nothing is cancelled by it (specification, "Cancellation": invalid ones are ignored)
	}
	return h.node.Cancel(r.Context(), rec.ID, p.RequestID)
}
