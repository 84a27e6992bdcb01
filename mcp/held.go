package mcp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

const (
	maxHeld  = 256              // GET requests that wait for Redis to come back
	holdTime = 30 * time.Second // how long each waits
)

// sendAway asks a client to come back in a moment, when the balancer has
// noticed that this instance has left. A 503 would end its whole session.
func (h *Handler) sendAway(w http.ResponseWriter, r *http.Request, after *eventlog.ID) {
	if events, err := h.startStream(w, r.Header.Get(versionHeader), after); err == nil {
		_ = events.Write(sse.Event{Retry: time.Second}) // a client that has gone comes back anyway
	}
}

// hold keeps a GET request open while Redis is away: clients take an error here
// for the end of their session. It gives up after holdTime, and at once if too many
// requests wait.
func (h *Handler) hold(w http.ResponseWriter, r *http.Request, after *eventlog.ID, cause error) {
	select {
	case h.held <- struct{}{}:
	default:
		h.fail(w, r, nil, cause)
		return
	}
	version := r.Header.Get(versionHeader)
	events, err := h.startStream(w, version, after)
	var reader *node.Reader
	if err == nil {
		reader = h.await(r, events, after)
	}
	<-h.held
	if reader != nil {
		_ = h.serveReader(r, events, reader, version) // the log has what was not sent
	}
}

// await returns the stream that a held request is for, or nil if the response
// is to end: the client comes back and learns why, with a status.
func (h *Handler) await(r *http.Request, events *sse.Writer, after *eventlog.ID) *node.Reader {
	ctx, cancel := untilExpiry(r.Context())
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, holdTime)
	defer cancel()
	for ctx.Err() == nil {
		if events.Comment("waiting for the session store") != nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-h.closed:
			return nil
		case <-time.After(time.Second):
		}
		_, stream, err := h.resume(r, after)
		if err == nil {
			return stream.Reader
		}
		if !errors.Is(err, sessionstore.ErrUnavailable) {
			return nil
		}
	}
	_ = events.Write(sse.Event{Retry: time.Second}) // the response ends either way
	return nil
}
