package sdkcompat

import "github.com/modelcontextprotocol/go-sdk/mcp"

// The SDK starts a goroutine for each session if the server has
// ServerOptions.KeepAlive. It goes on when the session's connection has ended,
// until its next ping fails or the session is closed.
//
// Seen in: v1.8.0.
// Here: the session is closed when its request has ended. Whether the server has
// the option is read from its private field.
// Test: TestKeepAliveOutlivesTheConnection.

var keepAlive = indexOf("KeepAlive")

// StopKeepAlive closes a server's session when its request is done, if the SDK
// has started a goroutine for it, and not before: closing waits for the handler.
func StopKeepAlive(server *mcp.Server, session *mcp.ServerSession, done <-chan struct{}) {
	if !keepAlive.isSet(server) {
		return
	}
	go func() { // ends with the request's handler
		<-done
		_ = session.Close() // our own connection's Close does not fail
	}()
}
