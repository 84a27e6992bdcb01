package sdkcompat

import "github.com/modelcontextprotocol/go-sdk/jsonrpc"

// The SDK takes a connection whose Write returns an error for broken: it cancels
// the running handlers and writes nothing more, not even their responses. Only an
// error with a code that it does not export says that one message cannot be sent.
//
// Seen in: v1.8.0.
// Here: errors of our connections have that code.
// Test: TestAWriteErrorBreaksTheConnection.

// codeRejected is the code of the SDK's internal ErrRejected.
const codeRejected = -32005

// Rejected returns err as the error for a message that cannot be sent, on a
// connection that goes on.
func Rejected(err error) error {
	return &jsonrpc.Error{Code: codeRejected, Message: err.Error()}
}
