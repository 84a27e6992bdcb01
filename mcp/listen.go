package mcp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/transport"
)

// maxListened bounds the resources of one listener, as the subscriptions of a
// session are bounded.
const maxListened = 1000

// serveListen serves subscriptions/listen (specification 2026-07-28,
// "Subscriptions"). The SDK judges the request: headers, middleware, and which
// of it the server supports. What it acknowledges we serve, from the bus.
func (h *Handler) serveListen(w http.ResponseWriter, r *http.Request, m *transport.Message) {
	listener, err := h.newListener(m)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	defer listener.Close()
	verdict := h.judge(r)
	accepted, ack, ok := verdict.acknowledged()
	if !ok {
		verdict.copyTo(w)
		return
	}
	listener.Restrict(accepted)
	if err := h.serveListener(w, r, listener, ack); err != nil && r.Context().Err() == nil {
		h.logger.WarnContext(r.Context(), "listener cut off", "error", err)
	}
}

// newListener opens the listener before the request is acknowledged, so that
// nothing is missed in between. A request without a filter that could be read
// listens to nothing until the SDK has refused it.
func (h *Handler) newListener(m *transport.Message) (*transport.Listener, error) {
	var params struct {
		Filter transport.Filter `json:"notifications"`
	}
	if json.Unmarshal(m.Params, &params) != nil {
		params.Filter = transport.Filter{}
	}
	if len(params.Filter.URIs) > maxListened {
		return nil, refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidParams, "more than %d resource subscriptions", maxListened)
	}
	return h.node.Listen(m.ID, params.Filter)
}

func (h *Handler) serveListener(w http.ResponseWriter, r *http.Request, listener *transport.Listener, ack []byte) error {
	ctx, cancel := untilExpiry(r.Context())
	defer cancel()
	sse := transport.NewSSEWriter(w, h.opts.WriteTimeout)
	if err := sse.Start(); err != nil {
		return err
	}
	if err := sse.Write(transport.SSE{Data: ack}); err != nil {
		return err
	}
	defer h.whileOpen(ctx, &Stream{listener: listener})()
	return listener.Serve(ctx, sse, h.opts.KeepAlive)
}

// judge has the SDK handle a listen request until it has answered it one way or
// the other.
func (h *Handler) judge(r *http.Request) *verdict {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	v := &verdict{header: http.Header{}, status: http.StatusOK, done: cancel}
	h.modern.ServeHTTP(v, r.WithContext(ctx))
	return v
}

// A verdict is the SDK's response to a listen request, up to its first event.
type verdict struct {
	header http.Header
	status int
	body   bytes.Buffer
	done   func() // ends the SDK's part, which would go on listening
}

func (v *verdict) Header() http.Header { return v.header }
func (v *verdict) WriteHeader(s int)   { v.status = s }
func (v *verdict) Flush()              {}

func (v *verdict) Write(p []byte) (int, error) {
	v.body.Write(p)
	if v.isStream() && bytes.Contains(v.body.Bytes(), []byte("\n\n")) {
		v.done()
	}
	return len(p), nil
}

func (v *verdict) isStream() bool { return v.header.Get("Content-Type") == "text/event-stream" }

// acknowledged returns what the SDK acknowledged, and its message.
func (v *verdict) acknowledged() (accepted transport.Filter, ack []byte, ok bool) {
	if !v.isStream() {
		return transport.Filter{}, nil, false
	}
	event, err := transport.ReadSSE(bufio.NewReader(bytes.NewReader(v.body.Bytes())))
	if err != nil {
		return transport.Filter{}, nil, false
	}
	var message struct {
		Method string `json:"method"`
		Params struct {
			Filter transport.Filter `json:"notifications"`
		} `json:"params"`
	}
	err = json.Unmarshal(event.Data, &message)
	if err != nil || message.Method != "notifications/subscriptions/acknowledged" {
		return transport.Filter{}, nil, false
	}
	return message.Params.Filter, event.Data, true
}

func (v *verdict) copyTo(w http.ResponseWriter) {
	for name, values := range v.header {
		w.Header()[name] = values
	}
	w.WriteHeader(v.status)
	_, _ = w.Write(v.body.Bytes()) // a client that has gone needs no refusal
}
