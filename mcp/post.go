package mcp

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// servePost serves a message of a client, or a batch of them.
func (h *Handler) servePost(w http.ResponseWriter, r *http.Request) {
	m, body, err := h.readMessage(w, r)
	defer body.release()
	switch {
	case errors.Is(err, jsonrpcmsg.ErrBatch):
		h.serveBatch(w, r, body)
		return
	case err != nil:
		h.refuse(w, r, m, body, err)
		return
	}
	if err := h.checkNamed(r, m); err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	if isStateless(r, m) {
		h.serveStateless(w, r, m)
		return
	}
	h.serveInSession(w, r, m)
}

// serveInSession serves a message of a protocol with sessions. It is apart from
// servePost so that what waits there, with an open stream, does not keep its large
// frame: the stacks of idle streams shrink to half of what they had.
func (h *Handler) serveInSession(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message) {
	if m.IsCall() && !sse.CanFlush(w) {
		h.fail(w, r, m.ID, sse.ErrNoFlush)
		return
	}
	switch {
	case m.Method == "initialize":
		h.initialize(w, r, m)
		return
	case m.Method == "notifications/initialized" && m.IsNotification():
		h.accepted(w, r, h.initialized(r, m))
		return
	}
	rec, err := h.session(r)
	if err != nil {
		id := m.ID
		if m.IsResponse() {
			id = nil // it is the id of the server's request, not of one of the client's
		}
		h.fail(w, r, id, err)
		return
	}
	in := h.incoming(r, rec, m)
	switch {
	case m.IsNotification():
		h.node.UseRecord(rec)
		h.accepted(w, r, h.runner.Notification(r.Context(), in))
	case m.IsResponse():
		h.node.UseRecord(rec)
		h.accepted(w, r, h.node.ForwardResponse(r.Context(), rec.ID, m))
	case h.draining.Load():
		h.fail(w, r, m.ID, node.ErrClosed)
	default:
		conn, err := h.runner.Call(r.Context(), in)
		h.node.UseRecord(rec)
		if err != nil {
			h.fail(w, r, m.ID, err)
			return
		}
		h.respond(w, r, conn, m.ID, rec.ProtocolVersion)
	}
}

// readMessage reads the one message of a POST, and returns its body as well, nil if
// it has not been read.
func (h *Handler) readMessage(w http.ResponseWriter, r *http.Request) (*jsonrpcmsg.Message, *postBody, error) {
	if err := checkContentType(r); err != nil {
		return nil, nil, err
	}
	if !accepts(r, "application/json") || !accepts(r, "text/event-stream") {
		return nil, nil, httperror.Refuse(http.StatusNotAcceptable, "Accept must contain application/json and text/event-stream")
	}
	body, err := h.readBody(w, r, h.session)
	if err != nil {
		return nil, body, err
	}
	m, err := jsonrpcmsg.Decode(body.data)
	return m, body, err
}

func checkContentType(r *http.Request) error {
	value := r.Header.Get("Content-Type")
	if value == "application/json" {
		return nil
	}
	if media, _, err := mime.ParseMediaType(value); err != nil || media != "application/json" {
		return httperror.Refuse(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	return nil
}

// readBody reads a body of a request of a session, without the byte order mark that
// some clients begin it with (RFC 8259, section 8.1).
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, session findSession) (*postBody, error) {
	if bodylimit.IsEncoded(w, r) {
		return nil, httperror.Refuse(http.StatusUnsupportedMediaType, "Content-Encoding must be identity")
	}
	arrived := &lastByte{ReadCloser: bodylimit.Body(w, r, bodylimit.MessageTime)}
	limited := http.MaxBytesReader(w, arrived, h.opts.MaxBody)
	data, done, err := h.bodies.read(limited, min(r.ContentLength, h.opts.MaxBody), h.opts.StreamAfter)
	body := &postBody{data: bytes.TrimPrefix(data, []byte(jsonrpcmsg.BOM)), session: session, done: done}
	switch large := new(http.MaxBytesError); {
	case errors.As(err, &large):
		body.arrived = arrived
		return body, err
	case errors.Is(err, httperror.ErrBusy):
		return nil, err
	case err != nil:
		return nil, httperror.Refuse(http.StatusBadRequest, "request body could not be read")
	}
	return body, nil
}

// accepts reports whether the client takes a media type.
func accepts(r *http.Request, media string) bool {
	major, _, _ := strings.Cut(media, "/")
	for _, value := range r.Header.Values("Accept") {
		for item := range strings.SplitSeq(value, ",") {
			item, _, _ = strings.Cut(item, ";")
			switch strings.ToLower(strings.TrimSpace(item)) {
			case media, major + "/*", "*/*":
				return true
			}
		}
	}
	return false
}
