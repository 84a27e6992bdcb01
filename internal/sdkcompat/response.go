package sdkcompat

import (
	"encoding/json"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// The SDK sends a handler's plain error with code 0, which no specification gives
// a meaning.
//
// Seen in: v1.8.0.
// Here: it is an internal error (-32603) with the same text.
// Test: TestPlainErrorsHaveCodeZero.

// EncodeResponse returns the wire form of a response of the SDK under the id that
// the client gave the request.
func EncodeResponse(id json.RawMessage, resp *jsonrpc.Response) []byte {
	if resp.Error == nil {
		return jsonrpcmsg.EncodeResult(id, resp.Result)
	}
	if e := undecodable(resp.Error.Error()); e != nil {
		return jsonrpcmsg.EncodeError(id, e)
	}
	return jsonrpcmsg.EncodeError(id, wireError(resp.Error))
}

// ErrorCode returns the code of the error in a response as [EncodeResponse] encodes
// it, zero if it is no error.
func ErrorCode(resp *jsonrpc.Response) int64 {
	switch {
	case resp.Error == nil:
		return 0
	case undecodable(resp.Error.Error()) != nil:
		return jsonrpc.CodeInvalidParams
	default:
		return wireError(resp.Error).Code
	}
}

// wireError returns a handler's error as the client gets it, in every protocol.
func wireError(err error) *jsonrpc.Error {
	wire := &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: err.Error()}
	if as := new(jsonrpc.Error); errors.As(err, &as) {
		if as.Code != 0 && as.Code != codeRejected { // which is between us and the SDK
			wire.Code = as.Code
		}
		if json.Valid(as.Data) {
			wire.Data = as.Data
		}
	}
	return wire
}
