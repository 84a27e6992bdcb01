package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
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

// A refusal is an error in the form that the client gets. It says nothing of Redis
// or of our internals.
type refusal struct {
	status int
	wire   jsonrpc.Error
	retry  time.Duration // for Retry-After; not said if zero
}

func (r *refusal) Error() string { return r.wire.Message }

// errGivenUp is the response to a request whose context has ended before its
// response has begun. Most often its client has gone and gets nothing; but
// middleware may have ended it, because a token was revoked, and the client still listens.
var errGivenUp = refuse(http.StatusServiceUnavailable, "the request was ended; its outcome is unknown")

// refuse returns a refusal with the code that fits an HTTP status.
func refuse(status int, format string, args ...any) *refusal {
	return refuseCode(status, codeRefused, format, args...)
}

func refuseCode(status int, code int64, format string, args ...any) *refusal {
	return &refusal{status: status, wire: jsonrpc.Error{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// refusalOf is the one place where errors become HTTP and JSON-RPC.
func (h *Handler) refusalOf(ctx context.Context, err error) *refusal {
	var (
		known *refusal
		wire  *jsonrpc.Error
		large *http.MaxBytesError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, sessionstore.ErrNotFound):
		return refuseCode(http.StatusNotFound, codeNoSession, "session not found")
	case errors.Is(err, node.ErrClosed):
		return &refusal{http.StatusServiceUnavailable, jsonrpc.Error{Code: codeRefused, Message: "the instance is shutting down"}, time.Second}
	case errors.Is(err, sessionstore.ErrUnavailable):
		h.logger.ErrorContext(ctx, "redis is unavailable", "error", err)
		return &refusal{http.StatusServiceUnavailable, jsonrpc.Error{Code: codeRefused, Message: "the session store is unavailable"}, time.Second}
	case errors.Is(err, sse.ErrNoFlush):
		h.logger.ErrorContext(ctx, "nothing can be served", "error", err)
		return refuseCode(http.StatusInternalServerError, jsonrpc.CodeInternalError, "%v", err)
	case errors.Is(err, node.ErrTooManyCalls), errors.Is(err, sessionstore.ErrTooMany):
		return &refusal{http.StatusTooManyRequests, jsonrpc.Error{Code: codeRefused, Message: err.Error()}, time.Second}
	case errors.Is(err, node.ErrDuplicateID):
		return refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "%v", err)
	case errors.Is(err, jsonrpcmsg.ErrLongBatch):
		return refuseCode(http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidRequest, "%v", err)
	case errors.Is(err, sessionstore.ErrNegotiated):
		return refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "the session has been initialized")
	case errors.Is(err, jsonrpcmsg.ErrBatch):
		return refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "%v", err)
	case errors.Is(err, sessionstore.ErrTooLarge):
		return refuseCode(http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidParams, "the parameters of initialize are too large")
	case errors.As(err, &large):
		return refuseCode(http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidRequest, "request body exceeds %d bytes", large.Limit)
	case errors.As(err, &wire):
		return &refusal{status: http.StatusBadRequest, wire: *wire}
	default:
		h.logger.ErrorContext(ctx, "request failed", "error", err)
		return refuseCode(http.StatusInternalServerError, jsonrpc.CodeInternalError, "internal error")
	}
}

// fail responds to a request with an error. The id is that of the request if the
// error is about this request alone. An error about the session or the whole
// exchange has none: the go-sdk client takes an error with an id for the
// failure of one call and would not notice that its session is gone.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, id json.RawMessage, err error) {
	refused := h.refusalOf(r.Context(), err)
	if refused.status == http.StatusNotFound {
		id = nil
	}
	h.timed(w)
	bodylimit.Within(w, r, h.opts.WriteTimeout/2) // net/http reads the rest of it before it writes
	writeError(w, id, refused)
}

// failMessage is fail for a POST whose message, if it was one, is m.
func (h *Handler) failMessage(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message, err error) {
	if m == nil {
		m = &jsonrpcmsg.Message{}
	}
	h.fail(w, r, m.ID, err)
}

func writeError(w http.ResponseWriter, id json.RawMessage, refused *refusal) {
	if refused.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(refused.retry.Seconds())))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(refused.status)
	_, _ = w.Write(jsonrpcmsg.EncodeError(id, &refused.wire)) // a client that has gone needs no error
}
