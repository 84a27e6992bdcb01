package sdkcompat

import (
	"context"
	"reflect"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK starts a goroutine for each session if the server has
// ServerOptions.KeepAlive. It goes on when the session's connection has ended,
// until its next ping fails or the session is closed.
//
// Closing the session makes all its methods say "client is closing", and nothing of
// why.
//
// Seen in: v1.8.0.
// Here: the goroutine is canceled when the session's request has ended, and the
// session is left as it is without the option. Whether the server has the option,
// and the goroutine's cancel function, are read from private fields.
// Test: TestKeepAliveOutlivesTheConnection.

var keepAlive = indexOf("KeepAlive")

// StopKeepAlive ends the goroutine that the SDK has started for a server's
// session, if it has, when the session's request is done.
func StopKeepAlive(server *mcp.Server, session *mcp.ServerSession, done <-chan struct{}) {
	if !keepAlive.isSet(server) {
		return
	}
	stop := keepAliveCancel(session)
	if stop == nil {
		stop = func() { _ = session.Close() } // our own connection's Close does not fail
	}
	go func() { // ends with the request's handler
		<-done // closing waits for the handler
		stop()
	}()
}

// keepAliveCancel returns what ends the session's goroutine, nil if the SDK has it
// no longer where it was.
func keepAliveCancel(session *mcp.ServerSession) context.CancelFunc {
	field := reflect.ValueOf(session).Elem().FieldByName("keepaliveCancel")
	if !field.IsValid() || field.Type() != reflect.TypeFor[context.CancelFunc]() {
		return nil
	}
	return *(*context.CancelFunc)(field.Addr().UnsafePointer()) // written before Connect returned, and never again
}
