package mcp

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// refusalOf returns an error in the form that the client gets, and logs what an
// operator should know.
func (h *Handler) refusalOf(ctx context.Context, err error) *httperror.Error {
	refused, note := httperror.Of(err)
	if note != "" {
		h.logger.ErrorContext(ctx, note, "error", err)
	}
	return refused
}

// fail responds to a request, whose id is nil if it is not a call, with an error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, id json.RawMessage, err error) {
	refused := h.refusalOf(r.Context(), err)
	h.timed(w)
	bodylimit.Unread(w, r, h.opts.WriteTimeout/2) // net/http reads the rest of it before it writes
	refused.Write(w, id)
}

// failMessage is fail for a POST whose message, if it was one, is m.
func (h *Handler) failMessage(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message, err error) {
	if m == nil {
		m = &jsonrpcmsg.Message{}
	}
	h.fail(w, r, m.ID, err)
}
