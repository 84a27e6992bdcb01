package sdkcompat

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Middleware counts that was there, and middleware that came since; what gets the
// handler is not there the next time.
func TestAMiddlewareGetsTheWholeHandler(t *testing.T) {
	t.Parallel()
	server := newServer(nil)
	addTool(server, func(context.Context, *mcp.CallToolRequest) {})
	_, session := connect(t, server, initialized())
	var called []int
	add := func(n int) {
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				called = append(called, n)
				return next(ctx, method, req)
			}
		})
	}
	for n := range 3 {
		add(n)
		for range 2 {
			called = nil
			res, err := Handler(server)(t.Context(), "tools/call", callTool(session, "tool"))
			if _, ok := res.(*mcp.CallToolResult); !ok || err != nil {
				t.Fatalf("%v, %v", res, err)
			}
			want := []int{2, 1, 0}[2-n:]
			if !slices.Equal(called, want) {
				t.Errorf("middleware is called in the order %v, want %v", called, want)
			}
		}
	}
	add(3)
	if first, again := fmt.Sprintf("%p", Handler(server)), fmt.Sprintf("%p", Handler(server)); first != again {
		t.Error("to get the handler changes it")
	}
}
