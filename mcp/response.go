package mcp

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/node"
)

// respond sends the response to a call: as one JSON body if the handler sends
// nothing else, or on a stream.
func (h *Handler) respond(w http.ResponseWriter, r *http.Request, conn *node.Conn, id json.RawMessage, version string) {
	ctx := r.Context()
	patience := time.NewTimer(h.opts.StreamAfter)
	defer patience.Stop()
	for {
		select {
		case a := <-conn.Answer():
			h.writeResponse(w, r, id, a)
			return
		case reader := <-conn.Stream():
			if h.serveStream(w, r, reader, version, false) != nil {
				conn.Leave(ctx)
			}
			return
		case <-patience.C:
			if err := conn.OpenStream(ctx); err != nil {
				h.logger.WarnContext(ctx, "stream not opened", "error", err)
			}
			patience.Reset(h.opts.StreamAfter)
		case <-ctx.Done():
			conn.Leave(ctx)
			h.fail(w, r, id, errGivenUp)
			return
		}
	}
}

func (h *Handler) writeResponse(w http.ResponseWriter, r *http.Request, id json.RawMessage, a node.Answer) {
	if a.Err != nil {
		h.fail(w, r, id, a.Err)
		return
	}
	h.timed(w)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.Body) // a client that has gone has lost its response: it had no event id
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
