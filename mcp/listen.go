package mcp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

const methodListen = "subscriptions/listen"

// maxListened bounds the resources of one listener, as the subscriptions of a
// session are bounded.
const maxListened = 1000

// serveListen serves subscriptions/listen (specification 2026-07-28,
// "Subscriptions"). The SDK judges the request: headers, middleware, and which
// of it the server supports. What it acknowledges we serve, from the bus.
func (h *Handler) serveListen(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message) {
	listener, err := h.newListener(m)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	defer listener.Close()
	verdict := h.judge(r, m)
	switch {
	case verdict.accepted != nil:
	case r.Context().Err() != nil:
		// What the SDK responds when it is ended in this way varies.
		h.fail(w, r, m.ID, httperror.ErrGivenUp)
		return
	default:
		h.timed(w)
		verdict.copyTo(w, m.ID)
		return
	}
	if err := h.serveListener(w, r, listener, verdict.accepted); err != nil && r.Context().Err() == nil {
		h.logger.WarnContext(r.Context(), "listener cut off", "error", err)
	}
}

// newListener opens the listener before the request is acknowledged, so that
// nothing is missed in between. A request without a filter that could be read
// listens to nothing until the SDK has refused it.
func (h *Handler) newListener(m *jsonrpcmsg.Message) (*node.Listener, error) {
	var params struct {
		Filter node.Filter `json:"notifications"`
	}
	if json.Unmarshal(m.Params, &params) != nil {
		params.Filter = node.Filter{}
	}
	if len(params.Filter.URIs) > maxListened {
		return nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidParams, "more than %d resource subscriptions", maxListened)
	}
	if slices.Contains(params.Filter.URIs, "") {
		return nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidParams, "a resource subscription without a URI")
	}
	return h.node.Listen(m.ID, params.Filter)
}

func (h *Handler) serveListener(w http.ResponseWriter, r *http.Request, listener *node.Listener, accepted json.RawMessage) error {
	var filter node.Filter
	if err := json.Unmarshal(accepted, &filter); err != nil {
		return err
	}
	listener.Restrict(filter)
	ctx, cancel := untilExpiry(r.Context())
	defer cancel()
	events := sse.NewWriter(w, h.opts.pace())
	if err := events.Start(); err != nil {
		return err
	}
	if err := listener.Acknowledge(events, accepted); err != nil {
		return err
	}
	if filter.Empty() {
		return listener.Complete(events)
	}
	defer h.whileOpen(ctx, &Stream{listener: listener})()
	return listener.Serve(ctx, events, h.opts.KeepAlive)
}

// judge has the SDK handle a listen request until it has acknowledged or refused
// it. The SDK knows the request by another id.
func (h *Handler) judge(r *http.Request, m *jsonrpcmsg.Message) *verdict {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	v := &verdict{id: m.ID, header: http.Header{}, status: http.StatusOK, done: cancel}
	h.stateless.ServeHTTP(v, again(ctx, r, aliased(m)))
	return v
}

// A verdict is what the SDK says to a listen request.
type verdict struct {
	id       json.RawMessage // of the request
	header   http.Header
	status   int
	body     bytes.Buffer    // a refusal, or of a stream what is not a whole event yet
	accepted json.RawMessage // the filter that was acknowledged; nil if it was not
	done     func()          // ends the SDK's part, which would go on listening
}

func (v *verdict) Header() http.Header { return v.header }
func (v *verdict) WriteHeader(s int)   { v.status = s }
func (v *verdict) Flush()              {}

func (v *verdict) Write(p []byte) (int, error) {
	v.body.Write(p)
	for v.header.Get("Content-Type") == eventStream && v.accepted == nil {
		end := bytes.Index(v.body.Bytes(), []byte("\n\n"))
		if end < 0 {
			break
		}
		v.read(v.body.Next(end + 2))
	}
	return len(p), nil
}

// read reads one event. What a SubscribeHandler sends before the acknowledgement
// cannot be sent: that has to be the first message.
func (v *verdict) read(event []byte) {
	e, err := sse.Read(bufio.NewReader(bytes.NewReader(event)))
	if err != nil {
		return
	}
	var message struct {
		Method string `json:"method"`
		Params struct {
			Filter json.RawMessage `json:"notifications"`
		} `json:"params"`
	}
	switch err := json.Unmarshal(e.Data, &message); {
	case err != nil:
	case message.Method == "notifications/subscriptions/acknowledged":
		v.accepted = message.Params.Filter
		v.done()
	case message.Method == "":
		// An error that has no HTTP status of its own.
		v.header.Set("Content-Type", "application/json")
		v.body.Reset()
		v.body.Write(e.Data)
	}
}

func (v *verdict) copyTo(w http.ResponseWriter, id json.RawMessage) {
	maps.Copy(w.Header(), v.header)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // the SDK may have begun a stream
	w.WriteHeader(v.status)
	_, _ = w.Write(unaliased(asMessage(v.body.Bytes(), id), id)) // a client that has gone needs no refusal
}
