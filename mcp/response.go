package mcp

import (
	"encoding/json"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/node"
)

// respond sends the response to a call: as one JSON body if the handler sends
// nothing else, or on a stream.
func (h *Handler) respond(w http.ResponseWriter, r *http.Request, conn *node.Conn, id json.RawMessage, version string) {
	res, stream, err := conn.Wait(r.Context(), h.opts.StreamAfter)
	switch {
	case err != nil:
		h.fail(w, r, id, httperror.ErrGivenUp)
	case stream == nil:
		h.writeResponse(w, r, id, res)
	default:
		if h.serveStream(w, r, stream.(*node.Reader), version, false) != nil {
			conn.Leave(r.Context())
		}
	}
}

func (h *Handler) writeResponse(w http.ResponseWriter, r *http.Request, id json.RawMessage, res node.Response) {
	if res.Err != nil {
		h.fail(w, r, id, res.Err)
		return
	}
	h.writeJSON(w, res.Body)
}

// accepted responds to a notification or a response of the client.
func (h *Handler) accepted(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		h.fail(w, r, nil, err)
		return
	}
	h.timed(w)
	w.WriteHeader(http.StatusAccepted)
}
