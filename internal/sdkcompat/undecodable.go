package sdkcompat

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// The SDK's error for params that it cannot decode names its Go types, and quotes
// all of the params, in up to five times their length.
//
// Seen in: v1.8.0.
// Here: such an error is recognized by its text and said in other words.
// Test: TestUndecodableParamsNameGoTypes.

// undecodable returns the error for params that the SDK could not decode, nil if
// text is not what the SDK says of such params.
func undecodable(text string) *jsonrpc.Error {
	where, reason, ok := strings.Cut(text, `: unmarshaling "`)
	if !ok || !strings.Contains(reason, `" into a *mcp.`) {
		return nil
	}
	return invalidParams(strings.TrimSuffix(where, ": invalid params"), reason)
}

// invalidParams returns the error for params that cannot be decoded; where says what
// was being done, and reason what the decoder says.
func invalidParams(where, reason string) *jsonrpc.Error {
	e := &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: where + ": invalid params"}
	// "... into Go struct field mcp.CallToolParamsRaw.name of type string"
	if i := strings.LastIndex(reason, "Go struct field mcp."); i >= 0 {
		field, _, _ := strings.Cut(reason[i:], " of type ")
		_, field, _ = strings.Cut(field, "mcp.")
		_, field, _ = strings.Cut(field, ".")
		e.Message += fmt.Sprintf(": %q has another type than it should", field)
	}
	return e
}

// WithoutGoTypes returns a message of the SDK as it is, unless it is the error
// for params that could not be decoded: then it says so without Go types.
func WithoutGoTypes(message []byte) []byte {
	m, err := jsonrpcmsg.Decode(message)
	if err != nil || m.Error == nil {
		return message
	}
	var wire jsonrpc.Error
	if json.Unmarshal(m.Error, &wire) != nil {
		return message
	}
	if e := undecodable(wire.Message); e != nil {
		return jsonrpcmsg.EncodeError(m.ID, e)
	}
	return message
}
