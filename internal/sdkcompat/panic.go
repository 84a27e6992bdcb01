package sdkcompat

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK runs handlers on goroutines of its own, where nothing recovers: a panic
// in one of them ends the process, and with it the requests of everybody else
// (go-sdk#958).
//
// Seen in: v1.8.0.
// Here: a receiving middleware recovers, and such a request gets an error.
// Test: TestAPanicEndsTheProcess.

// Faults keeps the faults of handlers to the requests in which they happen. It is
// safe for concurrent use.
type Faults struct {
	logger *slog.Logger
	crash  bool // let panics end the process
}

// NewFaults returns a Faults that logs each fault. With crash, a panic ends the
// process nevertheless.
func NewFaults(logger *slog.Logger, crash bool) *Faults {
	return &Faults{logger: logger, crash: crash}
}

// A Request is one request of a client whose faults are caught. Its result is what
// the handler returned, encoded.
type Request struct {
	faults    *Faults
	id        json.RawMessage // nil for a notification
	stateless bool
	server    *mcp.Server     // of a stateless request that the SDK does not read
	result    json.RawMessage // set before the SDK has the result
	handled   atomic.Bool     // a catcher has it
}

// Request returns a request with an id, nil for a notification, of a protocol with
// sessions.
func (f *Faults) Request(id json.RawMessage) *Request { return &Request{faults: f, id: id} }

// StatelessRequest is [Faults.Request] for a request of a protocol without sessions.
func (f *Faults) StatelessRequest(id json.RawMessage, server *mcp.Server) *Request {
	return &Request{faults: f, id: id, stateless: true, server: server}
}

type requestKey struct{}

// Catch returns the context with which to connect a server for the request, whose
// handlers' faults then concern that request alone.
//
// The server gets a receiving middleware, unless it is the outermost already. It does
// nothing for requests that others serve on the same server.
func (r *Request) Catch(ctx context.Context, server *mcp.Server) context.Context {
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		if reflect.ValueOf(next).Pointer() == catcherCode {
			return next
		}
		return catcher{next}.handle
	})
	return context.WithValue(ctx, requestKey{}, r)
}

// A catcher is the middleware of [Request.Catch]. It is once more in a server to
// which others have been added since; then the outermost catches.
type catcher struct{ next mcp.MethodHandler }

// catcherCode is the code of each catcher's handle, by which it is known.
var catcherCode = reflect.ValueOf(catcher{}.handle).Pointer()

func (c catcher) handle(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
	request, ok := ctx.Value(requestKey{}).(*Request)
	if !ok || request.handled.Swap(true) {
		return c.next(ctx, method, req)
	}
	return request.faults.handle(ctx, request, method, func() (mcp.Result, error) { return c.next(ctx, method, req) })
}

// handle runs a request's handler, and returns what the SDK can send without
// calling code of the handler any more.
func (f *Faults) handle(ctx context.Context, request *Request, method string, run func() (mcp.Result, error)) (mcp.Result, error) {
	if request.id == nil {
		return f.run(ctx, request, method, run) // nobody gets a result
	}
	return encodeOf(ctx, f, request, method, run, request.encode)
}

// Run is for a handler that is called without the SDK: it returns the result as it
// is sent, of a stateless request with what the SDK would have added.
func (r *Request) Run(ctx context.Context, method string, run func() (mcp.Result, error)) (json.RawMessage, error) {
	return encodeOf(ctx, r.faults, r, method, run, r.encodeAll)
}

// run runs a request's handler.
func (f *Faults) run(ctx context.Context, request *Request, method string, run func() (mcp.Result, error)) (res mcp.Result, err error) {
	defer f.Recover(ctx, "a handler panicked", func() {
		res, err = nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "internal error"}
	}, "method", method, "request", request)
	return run()
}

// encodeOf runs a request's handler and encodes its result.
func encodeOf[T any](ctx context.Context, f *Faults, request *Request, method string, run func() (mcp.Result, error), encode func(mcp.Result) (T, error)) (encoded T, err error) {
	defer f.Recover(ctx, "a result panicked", func() {
		err = &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "internal error"}
	}, "method", method, "request", request)
	res, err := f.run(ctx, request, method, run)
	if err != nil {
		return encoded, wireError(err)
	}
	if encoded, err = encode(res); err != nil {
		f.logger.ErrorContext(ctx, "a handler's result cannot be sent", "error", err, "method", method, "request", request)
		return encoded, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "internal error: the result cannot be sent"}
	}
	return encoded, nil
}

// LogValue implements [slog.LogValuer]. Nothing is logged of what a client sent but
// its request's id.
func (r *Request) LogValue() slog.Value {
	const longest = 100
	return slog.StringValue(string(r.id[:min(len(r.id), longest)]))
}

// Recover is to be deferred where code of the application is called. It logs a
// panic, with its stack, and then calls then; with [NewFaults]'s crash it does
// nothing.
func (f *Faults) Recover(ctx context.Context, what string, then func(), more ...any) {
	if f.crash {
		return
	}
	if v := recover(); v != nil {
		f.logger.ErrorContext(ctx, what, append(more, "panic", panicText(v), "stack", string(debug.Stack()))...)
		then()
	}
}

// panicText returns what a handler has panicked with, as far as that is a text. What
// else it is may be anything that the handler had at hand.
func panicText(v any) string {
	const longest = 1000
	switch v.(type) {
	case error, string, fmt.Stringer:
		text := fmt.Sprint(v) // it recovers, should Error or String panic
		return text[:min(len(text), longest)]
	default:
		return fmt.Sprintf("%T", v)
	}
}
