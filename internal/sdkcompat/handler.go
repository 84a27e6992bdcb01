package sdkcompat

import "github.com/modelcontextprotocol/go-sdk/mcp"

// The SDK has a request handled only if it has read it from a connection, and reads
// it with two decoders that take 32 KiB each, on two goroutines of its own.
//
// Seen in: v1.8.0.
// Here: the most frequent requests are decoded by us and given to the server's
// handler, which a middleware gets.
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
