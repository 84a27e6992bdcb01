package sdkcompat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// EncodeResponse returns the wire form of a response of the SDK under the
// id that the client gave the request.
func EncodeResponse(id json.RawMessage, resp *jsonrpc.Response) []byte {
	if resp.Error == nil {
		return jsonrpcmsg.EncodeResult(id, resp.Result)
	}
	if undecodable := Undecodable(resp.Error.Error()); undecodable != nil {
		return jsonrpcmsg.EncodeError(id, undecodable)
	}
	if as := new(jsonrpc.Error); errors.As(resp.Error, &as) && as.Code == 0 {
		// A handler's plain error: the SDK sends code 0, which means nothing.
		return jsonrpcmsg.EncodeError(id, errors.New(resp.Error.Error()))
	}
	return jsonrpcmsg.EncodeError(id, resp.Error)
}

// Undecodable returns the error for params that the SDK could not decode, nil if
// text is not what it says of such. It names its Go types, and quotes all of the
// params, in up to five times their length.
func Undecodable(text string) *jsonrpc.Error {
	where, reason, ok := strings.Cut(text, `: unmarshaling "`)
	if !ok || !strings.Contains(reason, `" into a *mcp.`) {
		return nil
	}
	e := &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: strings.TrimSuffix(where, ": invalid params") + ": invalid params"}
	// "... into Go struct field mcp.CallToolParamsRaw.name of type string"
	if i := strings.LastIndex(reason, "Go struct field mcp."); i >= 0 {
		field, _, _ := strings.Cut(reason[i:], " of type ")
		_, field, _ = strings.Cut(field, "mcp.")
		_, field, _ = strings.Cut(field, ".")
		e.Message += fmt.Sprintf(": %q has another type than it should", field)
	}
	return e
}
