package mcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// SSE returns the GET handler of the HTTP+SSE transport of protocol 2024-11-05,
// to be served beside h for clients that know no other. Each GET creates a
// session; the first event of its stream tells the client where to POST its
// messages, which is where you mount [Handler.Messages]:
//
//	mux.Handle("/mcp", h)
//	mux.Handle("/sse", h.SSE("/message"))
//	mux.Handle("/message", h.Messages())
//
// messages is the URL of that endpoint as the client sees it. A relative URL is
// resolved against the URL of the GET request as it was received, so that it
// also works where a mux strips a prefix; behind a proxy that rewrites paths it
// must be the public path. If it is empty, clients POST to the URL they sent
// the GET to. SSE panics if messages is malformed, as http.ServeMux.Handle does
// if the pattern beside it is: both are part of the program.
//
// All that the server sends arrives on this one stream, whichever instance runs
// a call. The transport has no way to resume it: when its connection breaks,
// its token expires or its instance ends, the session ends. If another instance
// dies that runs a call of the session, the session ends as well, so that the
// client does not wait for ever.
func (h *Handler) SSE(messages string) http.Handler {
	ref, err := url.Parse(messages)
	if err != nil {
		panic(fmt.Errorf("fleet: the argument of Handler.SSE: %w", err))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !h.guard(w, r):
		case r.Method != http.MethodGet:
			h.notAllowed(w, r, "GET")
		default:
			untimed(w)
			h.serveSSE(w, choosing(r), ref)
		}
	})
}

func (h *Handler) serveSSE(w http.ResponseWriter, r *http.Request, messages *url.URL) {
	rec, reader, err := h.openSSESession(w, r)
	if err != nil {
		h.fail(w, r, nil, err)
		return
	}
	ctx := r.Context()
	defer reader.Release(ctx)
	defer h.node.EndSSESession(ctx, rec.ID)
	err = h.serveSSEStream(w, r, reader, messageEndpoint(r, messages, rec.ID))
	h.logger.InfoContext(ctx, "session ends with its stream", "session", sessionstore.ShortID(rec.ID), "reason", err)
}

// openSSESession creates a session whose initialize is yet to come, and opens its
// stream.
func (h *Handler) openSSESession(w http.ResponseWriter, r *http.Request) (sessionstore.Record, *node.Reader, error) {
	switch {
	case !sse.CanFlush(w):
		return sessionstore.Record{}, nil, sse.ErrNoFlush
	case h.draining.Load():
		return sessionstore.Record{}, nil, node.ErrClosed
	}
	owner, err := userOf(r)
	if err != nil {
		return sessionstore.Record{}, nil, err
	}
	server, err := h.server(r)
	if err != nil {
		return sessionstore.Record{}, nil, err
	}
	rec, err := h.store.Create(r.Context(), sessionstore.Record{
		Owner: owner, HTTPSSE: true, ServerName: sdkcompat.ServerName(server), Position: h.node.Position(),
	})
	if err != nil {
		return rec, nil, err
	}
	stream, err := h.node.Resume(r.Context(), rec, nil)
	if err != nil {
		h.node.EndSSESession(r.Context(), rec.ID)
		return rec, nil, err
	}
	h.logger.InfoContext(r.Context(), "session began", "session", sessionstore.ShortID(rec.ID), "transport", "sse")
	return rec, stream.Reader, nil
}

// serveSSEStream sends the stream of a session until it ends, and returns why it
// did.
func (h *Handler) serveSSEStream(w http.ResponseWriter, r *http.Request, reader *node.Reader, endpoint string) error {
	events := sse.NewWriter(w, h.opts.pace())
	if err := events.Start(); err != nil {
		return err
	}
	if err := events.Write(sse.Event{Name: "endpoint", Data: []byte(endpoint)}); err != nil {
		return err
	}
	ctx, cancel := untilExpiry(r.Context())
	defer cancel()
	defer h.whileInitialized(ctx, reader)()
	return reader.Serve(ctx, events, node.ServeOptions{Named: true, KeepAlive: h.opts.KeepAlive})
}

// whileInitialized runs OnStream once the session has been initialized: before that
// its client expects nothing. It returns what ends OnStream's context and waits.
func (h *Handler) whileInitialized(ctx context.Context, reader *node.Reader) (leave func()) {
	if h.opts.OnStream == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	open.Go(func() {
		select {
		case <-reader.Initialized():
			defer h.whileOpen(ctx, &Stream{session: reader.Session()})()
			<-ctx.Done()
		case <-ctx.Done():
		}
	})
	return func() {
		cancel()
		open.Wait()
	}
}

// messageEndpoint returns where the client of a session is to POST its messages.
func messageEndpoint(r *http.Request, messages *url.URL, id string) string {
	// As the client sent it: a mux may have stripped a prefix from r.URL.
	base, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		base = r.URL
	}
	endpoint := base.ResolveReference(messages)
	query := endpoint.Query()
	query.Set("sessionId", id)
	endpoint.RawQuery, endpoint.Fragment = query.Encode(), ""
	if messages.Host != "" {
		return endpoint.String()
	}
	// A path that begins with two slashes would name another host.
	return "/" + strings.TrimLeft(endpoint.EscapedPath(), "/") + "?" + endpoint.RawQuery
}

// sseSession returns the session that a POST names and the owner of its stream: the
// instance that serves it. A session without one is over, and is ended.
func (h *Handler) sseSession(r *http.Request) (sessionstore.Record, node.StreamOwner, error) {
	rec, err := h.owned(r, r.URL.Query().Get("sessionId"), h.store.LoadOwned)
	if err == nil && !rec.HTTPSSE {
		err = sessionstore.ErrNotFound
	}
	if err == nil && rec.ProtocolVersion == "" {
		rec, err = h.store.LoadFresh(r.Context(), rec.ID) // the cache may be older than initialize
	}
	if err != nil {
		return rec, node.StreamOwner{}, err
	}
	h.node.UseRecord(rec)
	streamOwner, err := h.node.StreamOwner(r.Context(), rec.ID)
	if errors.Is(err, sessionstore.ErrNotFound) {
		h.node.EndSSESession(r.Context(), rec.ID)
	}
	return rec, streamOwner, err
}
