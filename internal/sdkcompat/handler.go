package sdkcompat

import "github.com/modelcontextprotocol/go-sdk/mcp"

// The SDK has a request handled only if it has read it from a connection, on two
// goroutines of its own. A server does not show its handler.
//
// Seen in: v1.8.0.
// Here: the most frequent requests are given to the handler by us. It is what
// middleware gets that is added then, and that adds nothing.
// Test: TestAMiddlewareGetsTheWholeHandler.

// Handler returns what handles a server's requests now: its features within all
// middleware that has been added until then. It leaves the server as it is.
func Handler(server *mcp.Server) (handler mcp.MethodHandler) {
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		handler = next
		return next
	})
	return handler
}
