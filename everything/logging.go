package everything

import (
	"context"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// announceLevel is a middleware that confirms a new log level by a log message
// at level debug, which a client that set a higher level does not get. It is
// sent with the request's context, and so on the stream of the request.
//
// It also refuses unknown levels, which the SDK would treat as debug.
func announceLevel(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		set, ok := req.(*mcp.ServerRequest[*mcp.SetLoggingLevelParams])
		if !ok {
			return next(ctx, method, req)
		}
		level := set.Params.Level
		if !isLevel(level) {
			return nil, invalidParams("unknown log level %q", level)
		}
		res, err := next(ctx, method, req)
		if err != nil {
			return nil, err
		}
		// The level is set, whether or not the client can be told.
		_ = set.Session.Log(ctx, &mcp.LoggingMessageParams{
			Level:  "debug",
			Logger: "test-server",
			Data:   fmt.Sprintf("Logging level set to: %s", level),
		})
		return res, nil
	}
}

func isLevel(level mcp.LoggingLevel) bool {
	switch level {
	case "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency":
		return true
	default:
		return false
	}
}
