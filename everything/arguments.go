package everything

import (
	"bytes"
	"context"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// dropNullArguments is a middleware that treats arguments which are null as if
// they were left out. The SDK panics, and takes the process along, when it fills
// in the defaults of a tool that requires none.
func dropNullArguments(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		if call, ok := req.(*mcp.CallToolRequest); ok && bytes.Equal(call.Params.Arguments, []byte("null")) {
			call.Params.Arguments = nil
		}
		return next(ctx, method, req)
	}
}
