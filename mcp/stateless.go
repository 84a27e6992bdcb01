package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// newStatelessHandler returns the SDK's handler for stateless requests. It knows
// nothing of other instances and need not: one POST is one exchange. A client
// cancels by closing the response.
func newStatelessHandler(h *Handler) http.Handler {
	chosenServer := func(r *http.Request) *mcp.Server {
		server, _ := h.server(r) // conforming has looked at the error
		return server
	}
	return mcp.NewStreamableHTTPHandler(chosenServer, &mcp.StreamableHTTPOptions{
		Stateless:                    true,
		PropagateRequestCancellation: true,
		MaxRequestBodyBytes:          h.opts.MaxBody,
		DisableLocalhostProtection:   true, // guard has checked the host
	})
}

// serveStateless serves a message of a protocol without sessions.
func (h *Handler) serveStateless(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message, body []byte) {
	if err := h.checkStateless(w, r, m); err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	if m.Method == methodListen && m.IsCall() {
		h.serveListen(w, r, m)
		return
	}
	// The handler's context must outlive r's: on cancellation, cut sends the client
	// an error first, then cancels. Canceled with r's, the SDK would end the response
	// without an error.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	call := newStatelessCall(h, w, m, cancel)
	if !h.calls.add(call) {
		h.fail(w, r, m.ID, node.ErrClosed)
		return
	}
	defer h.calls.remove(call)
	defer call.stop()
	switch changed := sdkcompat.WithoutNullArguments(m); {
	case call.alias:
		body = aliased(m)
	case changed:
		body = encoded(m, m.ID)
	}
	// The SDK waits for a handler that ignores its context; the client does not.
	defer context.AfterFunc(r.Context(), func() { call.cut(httperror.ErrGivenUp) })()
	h.stateless.ServeHTTP(call, again(ctx, r, body))
}

// checkStateless checks what the SDK does not.
func (h *Handler) checkStateless(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message) error {
	if h.draining.Load() {
		return node.ErrClosed
	}
	if m.IsCall() && !sse.CanFlush(w) {
		return sse.ErrNoFlush
	}
	_, err := userOf(r)
	return err
}

// again returns the request with its body to be read again.
func again(ctx context.Context, r *http.Request, body []byte) *http.Request {
	r = r.WithContext(ctx) // a copy: net/http still needs the request as it was
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

// needsAlias reports whether the SDK would change an id: it reads numbers as
// floats.
func needsAlias(id json.RawMessage) bool {
	if len(id) == 0 || id[0] == '"' {
		return false
	}
	n, err := strconv.ParseInt(string(id), 10, 64)
	return err != nil || n > 1<<53 || n < -1<<53
}

// aliased returns a request with another id, which the SDK can handle.
func aliased(m *jsonrpcmsg.Message) []byte { return encoded(m, json.RawMessage("1")) }

func encoded(m *jsonrpcmsg.Message, id json.RawMessage) []byte {
	fields := map[string]json.RawMessage{
		"jsonrpc": json.RawMessage(`"2.0"`), "method": mustMarshal(m.Method), "params": m.Params,
	}
	if m.Params == nil {
		fields["params"] = json.RawMessage("null")
	}
	if id != nil {
		fields["id"] = id
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return nil // what was decoded can be encoded
	}
	return body
}

func mustMarshal(s string) json.RawMessage {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return data
}

// unaliased returns a response, which may not be one, under the request's own id.
func unaliased(response []byte, id json.RawMessage) []byte {
	m, err := jsonrpcmsg.Decode(response)
	switch {
	case err != nil || !m.IsResponse():
		return response
	case m.Error != nil:
		return jsonrpcmsg.EncodeRawError(id, m.Error)
	default:
		return jsonrpcmsg.EncodeResult(id, m.Result)
	}
}
