package mcp

import (
	"net/http"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// serveDelete ends a session.
func (h *Handler) serveDelete(w http.ResponseWriter, r *http.Request) {
	rec, err := h.ownFresh(r)
	if err == nil {
		err = h.runner.End(r.Context(), rec.ID)
	}
	if err != nil {
		h.fail(w, r, nil, err)
		return
	}
	// A courtesy: by now the other instances know it too, most likely.
	select {
	case <-time.After(50 * time.Millisecond):
	case <-r.Context().Done():
	}
	h.timed(w)
	w.WriteHeader(http.StatusNoContent)
}

// ownFresh returns the user's session past the cache: a second DELETE must not
// succeed because of an old copy.
func (h *Handler) ownFresh(r *http.Request) (sessionstore.Record, error) {
	rec, err := h.session(r)
	if err != nil {
		return rec, err
	}
	return h.store.LoadFresh(r.Context(), rec.ID)
}
