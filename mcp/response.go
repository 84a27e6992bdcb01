package mcp

import (
	"encoding/json"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/node"
)

// reply answers a call: with one JSON body if the handler has nothing else to
// say, or with a stream.
func (h *Handler) reply(w http.ResponseWriter, r *http.Request, conn *node.Conn, id json.RawMessage, version string) {
	a, reader, err := conn.Wait(r.Context(), h.opts.StreamAfter)
	switch {
	case err != nil:
		h.fail(w, r, id, httperror.ErrGivenUp)
	case reader == nil:
		h.answer(w, r, id, a)
	default:
		if h.serveStream(w, r, reader, version, false) != nil {
			conn.Leave(r.Context())
		}
	}
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, id json.RawMessage, a node.Response) {
	if a.Err != nil {
		h.fail(w, r, id, a.Err)
		return
	}
	h.timed(w)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.Body) // a client that has gone has lost its answer: it had no event id
}

// accepted answers a notification or a response.
func (h *Handler) accepted(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		h.fail(w, r, nil, err)
		return
	}
	h.timed(w)
	w.WriteHeader(http.StatusAccepted)
}
