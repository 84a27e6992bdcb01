package mcp

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// conforming adds to the SDK's handler for stateless requests what that leaves
// out: names that are encoded in their header, results that are not for every
// user's cache, and handlers' faults that concern their request alone.
func (h *Handler) conforming(sdk http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sdkcompat.DecodeName(r)
		server, err := h.server(r)
		if err != nil {
			h.fail(w, r, w.(statelessResponse).requestID(), err)
			return
		}
		ctx := r.Context()
		if server != nil {
			ctx = h.runner.Faults().StatelessRequest(w.(statelessResponse).requestID()).Catch(ctx, server)
		}
		// Only a call has a result that could be kept, and not one to listen.
		if call, ok := w.(*statelessCall); ok && isCacheable(r.Header.Get(methodHeader)) && auth.TokenInfoFromContext(r.Context()) != nil {
			if server != nil && !sdkcompat.DecidesCaching(server) {
				w = privateCall{call}
			}
		}
		sdk.ServeHTTP(w, r.WithContext(ctx))
	})
}

// A statelessResponse knows which request it is the response to.
type statelessResponse interface {
	requestID() json.RawMessage // nil if it is to a notification
}

func (c *statelessCall) requestID() json.RawMessage { return c.id }
func (v *verdict) requestID() json.RawMessage       { return v.id }

const methodHeader = "Mcp-Method"

// isCacheable reports whether results of a method say who may keep them
// (specification 2026-07-28, "Caching").
func isCacheable(method string) bool {
	switch method {
	case "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read":
		return true
	default:
		return false
	}
}

// A privateCall is a call of a user whose result is for that user alone: the SDK
// says "public" for a server that says nothing, and then a cache that users
// share may give one of them what is another's.
type privateCall struct{ *statelessCall }

// Write implements [http.ResponseWriter].
func (c privateCall) Write(p []byte) (int, error) {
	if _, err := c.statelessCall.Write(private(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// private returns an event of the SDK with the scope of the result in it, if it
// has one, set to private.
func private(event []byte) []byte {
	message := eventData(event)
	m, err := jsonrpcmsg.Decode(message)
	if err != nil || m.Result == nil {
		return event
	}
	value := scopeIn(m.Result)
	if value == nil {
		return event
	}
	result := bytes.Join([][]byte{m.Result[:value.start], m.Result[value.end:]}, []byte(`"private"`))
	return sse.Append(nil, sse.Event{Name: "message", Data: jsonrpcmsg.EncodeResult(m.ID, result)})
}

type span struct{ start, end int64 }

// scopeIn returns where in a result the value of its cacheScope is.
func scopeIn(result json.RawMessage) *span {
	d := json.NewDecoder(bytes.NewReader(result))
	if _, err := d.Token(); err != nil {
		return nil
	}
	for d.More() {
		field, err := d.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil
		}
		if end := d.InputOffset(); field == "cacheScope" {
			return &span{end - int64(len(value)), end}
		}
	}
	return nil
}
