// Package httperror is where errors become HTTP and JSON-RPC. Clients get what
// is chosen here: nothing of Redis or of our own insides.
package httperror

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// JSON-RPC codes of errors that belong to HTTP rather than to a method: the
// range that JSON-RPC leaves to servers, with -32001 for an unknown session as
// the TypeScript SDK has it.
const (
	codeRefused   = -32000
	codeNoSession = -32001
)

// An Error is an error as a client gets it.
type Error struct {
	Status     int
	Wire       jsonrpc.Error
	RetryAfter time.Duration // not said if zero
}

func (e *Error) Error() string { return e.Wire.Message }

// New returns an error with the given HTTP status and JSON-RPC code.
func New(status int, code int64, format string, args ...any) *Error {
	return &Error{Status: status, Wire: jsonrpc.Error{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// Refuse is [New] for what belongs to HTTP rather than to a method.
func Refuse(status int, format string, args ...any) *Error {
	return New(status, codeRefused, format, args...)
}

// later is [Refuse] for a request that the client may send again in a second.
func later(status int, message string) *Error {
	return &Error{status, jsonrpc.Error{Code: codeRefused, Message: message}, time.Second}
}

// ErrGivenUp is the response to a request whose context has ended before its
// response has begun. Most often its client has gone and gets nothing. But
// middleware may have ended the context, say because a token was revoked, while
// the client still waits.
var ErrGivenUp = Refuse(http.StatusServiceUnavailable, "the request was ended; its outcome is unknown")

// ErrBusy is the response to a request whose body is one too many.
var ErrBusy = later(http.StatusServiceUnavailable, "too many request bodies are under way")

// ErrLost is the response to a call whose stream can no longer be resumed.
var ErrLost = &jsonrpc.Error{
	Code:    jsonrpc.CodeInternalError,
	Message: "the rest of this stream is no longer available; the request's outcome is unknown",
}

// Of returns err as a client gets it. If an operator should know of err, note
// says what has happened.
func Of(err error) (e *Error, note string) {
	var (
		chosen *Error
		wire   *jsonrpc.Error
		large  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &chosen):
		return chosen, ""
	case errors.Is(err, sessionstore.ErrNotFound):
		return New(http.StatusNotFound, codeNoSession, "session not found"), ""
	case errors.Is(err, node.ErrClosed):
		return later(http.StatusServiceUnavailable, "the instance is shutting down"), ""
	case errors.Is(err, sessionstore.ErrUnavailable):
		return later(http.StatusServiceUnavailable, "the session store is unavailable"), "redis is unavailable"
	case errors.Is(err, sse.ErrNoFlush):
		return New(http.StatusInternalServerError, jsonrpc.CodeInternalError, "%v", err), "nothing can be served"
	case errors.Is(err, node.ErrTooManyCalls), errors.Is(err, sessionstore.ErrTooMany):
		return later(http.StatusTooManyRequests, err.Error()), ""
	case errors.Is(err, node.ErrDuplicateID):
		return New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "%v", err), ""
	case errors.Is(err, jsonrpcmsg.ErrLongBatch):
		return New(http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidRequest, "%v", err), ""
	case errors.Is(err, sessionstore.ErrNegotiated):
		return New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "the session has been initialized"), ""
	case errors.Is(err, jsonrpcmsg.ErrBatch):
		return New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "%v", err), ""
	case errors.Is(err, sessionstore.ErrTooLarge):
		return New(http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidParams, "the parameters of initialize are too large"), ""
	case errors.As(err, &large):
		return New(http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidRequest, "request body exceeds %d bytes", large.Limit), ""
	case errors.As(err, &wire):
		return &Error{Status: http.StatusBadRequest, Wire: *wire}, ""
	default:
		return New(http.StatusInternalServerError, jsonrpc.CodeInternalError, "internal error"), "request failed"
	}
}

// Write responds to a request with the error. The id is that of the request if the
// error is about this request alone. An error about the session or the whole
// exchange has none: the go-sdk client takes an error with an id for the failure
// of one call and would not notice that its session is gone.
func (e *Error) Write(w http.ResponseWriter, id json.RawMessage) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
	}
	if e.Status == http.StatusNotFound {
		id = nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(jsonrpcmsg.EncodeError(id, &e.Wire)) // a client that has gone needs no error
}
