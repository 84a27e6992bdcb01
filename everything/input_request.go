package everything

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// responseTimeout bounds the wait for a client's response: people fill in forms.
const responseTimeout = 10 * time.Minute

// firstInputRequestVersion is the first revision in which a server sends no
// requests, but returns input requests as the result of a call.
const firstInputRequestVersion = "2026-07-28"

var errNoResponse = fmt.Errorf("the client did not answer within %v", responseTimeout)

// requestInput sends a request to the client that called a tool. It returns the
// client's response or, as pending, a result with which the tool must return.
//
// Before 2026-07-28 it calls send, which sends the request, and waits for the
// response for at most [responseTimeout]. From then on the tool returns the
// request as an input request with the given id; the client calls the tool again
// with the response, so nothing waits here and another instance may finish the
// call.
//
// For older clients the SDK would turn input requests into requests by itself. We
// do not use that: a client that refuses, fails or does not respond would then
// fail the whole call, while here its error becomes the text of the tool's result.
func requestInput[R mcp.InputResponse](
	ctx context.Context,
	req *mcp.CallToolRequest,
	id string,
	input mcp.InputRequest,
	send func(context.Context) (R, error),
) (response R, pending *mcp.CallToolResult, err error) {
	if !usesInputRequests(req.Session) {
		response, err = sendBounded(ctx, send)
		return response, nil, err
	}
	given, ok := req.Params.InputResponses[id]
	if !ok {
		return response, &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{id: input}}, nil
	}
	response, ok = given.(R)
	if !ok {
		return response, nil, invalidParams("inputResponses[%q] is a %T, want a %T", id, given, response)
	}
	return response, nil, nil
}

func sendBounded[R any](ctx context.Context, send func(context.Context) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, responseTimeout, errNoResponse)
	defer cancel()
	response, err := send(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errNoResponse) {
		return response, errNoResponse
	}
	return response, err
}

// usesInputRequests reports whether the session's client gets input requests
// instead of requests. It is the SDK's own rule, so that the two cannot disagree: the
// session may be of an older version than the request, and then requests may be sent.
func usesInputRequests(ss *mcp.ServerSession) bool {
	init := ss.InitializeParams()
	return init == nil || init.ProtocolVersion >= firstInputRequestVersion
}
