package mcp

import (
	"context"
	"errors"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/tokenlife"
)

// serveGet opens a session's standalone stream, or resumes any of its streams.
func (h *Handler) serveGet(w http.ResponseWriter, r *http.Request) {
	after, err := h.checkGet(w, r)
	if err != nil {
		h.fail(w, r, nil, err)
		return
	}
	h.serveAfter(w, r, after)
}

// serveAfter sends what a stream has after an event, or what the client gets in
// its place.
func (h *Handler) serveAfter(w http.ResponseWriter, r *http.Request, after *eventlog.ID) {
	version, stream, err := h.resume(r, after)
	switch {
	case errors.Is(err, sessionstore.ErrUnavailable):
		h.hold(w, r, after, err)
	case errors.Is(err, node.ErrClosed):
		h.sendAway(w, r, after)
	case errors.Is(err, eventlog.ErrLost):
		h.serveLost(w, r, after)
	case err != nil:
		h.fail(w, r, nil, err)
	case stream.Empty:
		// There is nothing left and nothing will come. An empty stream would
		// have clients come back at once, again and again.
		stream.Release(r.Context())
		h.timed(w)
		w.WriteHeader(http.StatusNoContent)
	default:
		_ = h.serveStream(w, r, stream.Reader, version, after != nil) // the log has what was not sent
	}
}

func (h *Handler) checkGet(w http.ResponseWriter, r *http.Request) (after *eventlog.ID, err error) {
	switch {
	case !accepts(r, "text/event-stream"):
		return nil, httperror.Refuse(http.StatusNotAcceptable, "Accept must contain text/event-stream")
	case !sse.CanFlush(w):
		return nil, sse.ErrNoFlush
	}
	last := r.Header.Get(resumeHeader)
	if last == "" {
		return nil, nil
	}
	id, err := eventlog.ParseID(last)
	if err != nil {
		// An id of another server's stream comes with a session that is none here: its
		// client has to learn that.
		if _, err := h.session(r); err != nil {
			return nil, err
		}
		return nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "%s: %v", resumeHeader, err)
	}
	return &id, nil
}

// resume makes the request the reader of the stream it asks for, and returns the
// version of its session.
func (h *Handler) resume(r *http.Request, after *eventlog.ID) (version string, stream *node.Resumption, err error) {
	rec, err := h.session(r)
	if err != nil {
		return "", nil, err
	}
	h.node.UseRecord(rec)
	if after != nil && after.IsEnd() {
		return "", nil, eventlog.ErrLost
	}
	stream, err = h.node.Resume(r.Context(), rec, after)
	if errors.Is(err, sessionstore.ErrNotFound) {
		h.store.Forget(rec.ID) // the cache has a session that has ended
	}
	return rec.ProtocolVersion, stream, err
}

// serveStream sends a stream until it ends, the client goes or its token
// expires, and releases it. It returns nil only if the client has all of it. A
// client that resumes, and one of a standalone stream, first gets the id of where
// it is: if the connection broke before the next event, it would come back
// without an id, or give the call up.
func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request, reader *node.Reader, version string, resumed bool) error {
	var at *eventlog.ID
	if resumed || reader.Standalone() {
		last := reader.Last()
		at = &last
	}
	events, err := h.startStream(w, version, at)
	if err != nil {
		reader.Release(r.Context())
		return err
	}
	return h.serveReader(r, events, reader, version)
}

// startStream starts a stream as the response. If at is not nil, its first event
// is only that id, for clients of a version that has such events.
func (h *Handler) startStream(w http.ResponseWriter, version string, at *eventlog.ID) (*sse.Writer, error) {
	events := sse.NewWriter(w, h.opts.pace())
	err := events.Start()
	if err == nil && at != nil && version >= runner.VersionPriming {
		err = events.Write(sse.Event{ID: at.String()})
	}
	return events, err
}

// serveReader is serveStream for a stream that has been started.
func (h *Handler) serveReader(r *http.Request, events *sse.Writer, reader *node.Reader, version string) error {
	ctx, cancel := untilExpiry(r.Context())
	defer cancel()
	defer reader.Release(r.Context())
	if reader.Standalone() {
		defer h.whileOpen(ctx, &Stream{session: reader.Session()})()
	}
	return reader.Serve(ctx, events, node.ServeOptions{Priming: version >= runner.VersionPriming, KeepAlive: h.opts.KeepAlive})
}

// untilExpiry bounds ctx by the life of the token that the request came with, or of
// what has replaced that.
func untilExpiry(ctx context.Context) (context.Context, context.CancelFunc) {
	if token := auth.TokenInfoFromContext(ctx); token != nil && !token.Expiration.IsZero() {
		return tokenlife.Bound(ctx, token.Expiration)
	}
	return context.WithCancel(ctx)
}

// serveLost responds to a client that wants to resume from an event which is not
// in the log. Any error status would end its whole session, so it is told within
// the stream.
func (h *Handler) serveLost(w http.ResponseWriter, r *http.Request, after *eventlog.ID) {
	if eventlog.IsStandalone(after.Stream) {
		// A new stream in its place. What the client may have missed are changes,
		// so it is told that everything it subscribed to may have changed.
		anew := eventlog.Anew()
		h.serveAfter(w, r, &anew)
		return
	}
	if after.IsEnd() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	events := sse.NewWriter(w, h.opts.pace())
	if events.Start() != nil {
		return
	}
	_ = events.Write(node.LostCall(*after, httperror.ErrLost)) // a client that has gone comes back
}
