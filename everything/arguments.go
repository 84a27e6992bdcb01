package everything

import (
	"bytes"
	"context"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// dropNullArguments is a middleware that treats null arguments as absent. With
// null, the SDK panics and ends the process when it fills in the defaults of a
// tool without required arguments.
func dropNullArguments(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		if call, ok := req.(*mcp.CallToolRequest); ok && bytes.Equal(call.Params.Arguments, []byte("null")) {
			call.Params.Arguments = nil
		}
		return next(ctx, method, req)
	}
}
