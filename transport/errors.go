package transport

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
)

// Errors of a [Node], besides those of package session. Compare with errors.Is.
var (
	// ErrClosed says that the node is shutting down and takes no more calls.
	ErrClosed = node.ErrClosed
	// ErrDuplicateID says that a call with the same id in the same session is
	// running on this instance.
	ErrDuplicateID = node.ErrDuplicateID
	// ErrTooManyCalls says that a session has as many calls, or notifications,
	// running on this instance as [Options.MaxCalls] allows.
	ErrTooManyCalls = node.ErrTooManyCalls
)

// A failure is an error in place of a response.
type failure struct {
	error
	id json.RawMessage // of the call; nil if it is none, or not known
}

func (f *failure) Unwrap() error { return f.error }

// refusal returns what a client gets of an error.
func refusal(err error) (refused *httperror.Error, id json.RawMessage) {
	refused, _ = httperror.Of(err)
	if f := new(failure); errors.As(err, &f) {
		id = f.id
	}
	return refused, id
}

// WriteError writes the response to an HTTP request for an error of [Node.Serve],
// [Node.Resume] or [Node.Delete]: a status and a JSON-RPC error that tell the
// client nothing of Redis or of other users' sessions.
func WriteError(w http.ResponseWriter, err error) {
	refused, id := refusal(err)
	refused.Write(w, id)
}

// EncodeError returns the JSON-RPC error response for an error of [Node.Serve],
// [Node.Resume], [Node.Delete] or [Response.Send], for clients that are not on
// HTTP.
func EncodeError(err error) []byte {
	refused, id := refusal(err)
	return jsonrpcmsg.EncodeError(id, &refused.Wire)
}
