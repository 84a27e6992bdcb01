package sdkcompat

import (
	"encoding/json"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	segmentio "github.com/segmentio/encoding/json"
)

// The SDK decodes params through a buffer of 32 KiB that it makes anew each time, and
// decodes those of a request more than once.
//
// Seen in: v1.8.0.
// Here: params of the most frequent requests are decoded by us, once, with the same
// library.
// Test: TestDecodingTakesABufferEachTime.

// A Decoded request has yet to be given the session that its handler sees.
type Decoded struct {
	// Name is that of the tool or prompt, or the URI of the resource.
	Name string
	// For returns the request in a session.
	For func(*mcp.ServerSession) mcp.Request
}

// Decodes reports whether [Decode] decodes the params of a method: of those that a
// client calls most, and whose handlers may ask the client.
func Decodes(method string) bool {
	return method == "tools/call" || method == "prompts/get" || method == "resources/read"
}

// Decode decodes the params of a request as the SDK does: with the same library, and
// so that the names of fields are matched exactly.
func Decode(method string, params json.RawMessage, extra *mcp.RequestExtra) (Decoded, error) {
	switch method {
	case "tools/call":
		return decode(method, params, extra, func(p *mcp.CallToolParamsRaw) string { return p.Name })
	case "prompts/get":
		return decode(method, params, extra, func(p *mcp.GetPromptParams) string { return p.Name })
	case "resources/read":
		return decode(method, params, extra, func(p *mcp.ReadResourceParams) string { return p.URI })
	default:
		return Decoded{}, fmt.Errorf("params of %s are decoded by the SDK", method)
	}
}

func decode[T any, P interface {
	*T
	mcp.Params
}](method string, params json.RawMessage, extra *mcp.RequestExtra, name func(P) string) (Decoded, error) {
	var p P
	if len(params) > 0 {
		if _, err := segmentio.Parse(params, &p, segmentio.DontMatchCaseInsensitiveStructFields); err != nil {
			return Decoded{}, invalidParams("handling '"+method+"'", err.Error())
		}
	}
	if p == nil {
		return Decoded{}, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: `invalid request: missing required "params"`}
	}
	return Decoded{name(p), func(session *mcp.ServerSession) mcp.Request {
		return &mcp.ServerRequest[P]{Session: session, Params: p, Extra: extra}
	}}, nil
}
