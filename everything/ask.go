package everything

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// answerTimeout bounds the wait for a client's answer: people fill in forms.
const answerTimeout = 10 * time.Minute

// firstInputRequestVersion is the first revision in which a server does not
// send requests, but returns its questions as the result of a call.
const firstInputRequestVersion = "2026-07-28"

var errNoAnswer = fmt.Errorf("the client did not answer within %v", answerTimeout)

// ask puts a question to the client that called a tool, and returns either its
// answer or, as pending, the result the tool must return to have it asked.
//
// Before 2026-07-28 it calls send, which sends the question as a request, and
// waits for at most [answerTimeout]. From then on, the question is returned as
// an input request with the given id; the client calls the tool again with the
// answer, so that nothing waits here and another instance may finish the call.
//
// The SDK would also send input requests to older clients. It is not left to
// it, because there a client that refuses, fails or does not answer fails the
// whole call, where it should be the text of the tool's result.
func ask[A mcp.InputResponse](
	ctx context.Context,
	req *mcp.CallToolRequest,
	id string,
	question mcp.InputRequest,
	send func(context.Context) (A, error),
) (answer A, pending *mcp.CallToolResult, err error) {
	if !usesInputRequests(req.Session) {
		answer, err = sendBounded(ctx, send)
		return answer, nil, err
	}
	response, ok := req.Params.InputResponses[id]
	if !ok {
		return answer, &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{id: question}}, nil
	}
	answer, ok = response.(A)
	if !ok {
		return answer, nil, invalidParams("inputResponses[%q] is a %T, want a %T", id, response, answer)
	}
	return answer, nil, nil
}

func sendBounded[A any](ctx context.Context, send func(context.Context) (A, error)) (A, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	answer, err := send(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		return answer, errNoAnswer
	}
	return answer, err
}

// usesInputRequests reports whether the session's client gets questions as
// input requests. It is the SDK's own rule, so that the two cannot disagree.
func usesInputRequests(ss *mcp.ServerSession) bool {
	init := ss.InitializeParams()
	return init == nil || init.ProtocolVersion >= firstInputRequestVersion
}
