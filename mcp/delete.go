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
		err = h.store.Delete(r.Context(), rec.ID)
	}
	if err != nil {
		h.fail(w, r, nil, err)
		return
	}
	if err := h.node.End(r.Context(), rec.ID); err != nil {
		// The session is gone. Instances that do not know yet go on for
		// CacheTTL at the most, streams until their next touch.
		h.logger.WarnContext(r.Context(), "the fleet was not told of a session's end", "session", short(rec.ID), "error", err)
	}
	h.logger.InfoContext(r.Context(), "session ended", "session", short(rec.ID))
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
