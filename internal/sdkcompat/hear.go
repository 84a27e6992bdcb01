package sdkcompat

import (
	"context"
	"errors"
	"runtime"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK tells only sessions that the lists of a server have changed, and a goroutine
// of each session waits for its connection's next message. That keeps the server from
// being collected for as long as it has a session.
//
// Seen in: v1.8.0.
// Here: a session that only hears has no such goroutine: it ends itself when it asks
// for the first message. So the session cannot be closed either. It stays among those
// of its server, some 2 KB, until the server is collected.
// Test: TestAnOpenSessionKeepsItsServer.

// Hear has heard called with the method of each notification that the SDK sends to all
// sessions of a server, from now on and for as long as the server exists, which heard
// must not refer to. It is called on goroutines of the SDK, and must not block.
func Hear(server *mcp.Server, heard func(method string)) error {
	client := &mcp.InitializeParams{Capabilities: &mcp.ClientCapabilities{}, ClientInfo: &mcp.Implementation{Name: "mcpfleet watcher"}}
	// Of a version in which list changes are sent to sessions without being asked for.
	state := SessionState(client, "2025-11-25")
	ss, err := server.Connect(context.Background(), &listening{heard}, &mcp.ServerSessionOptions{State: state})
	if err != nil {
		return err
	}
	if keepAlive.isSet(server) { // nobody reads the responses to its pings
		if stop := keepAliveCancel(ss); stop != nil {
			stop()
		}
	}
	return nil
}

// listening is the connection of a session that only hears.
type listening struct{ heard func(method string) }

// Connect implements [mcp.Transport].
func (l *listening) Connect(context.Context) (mcp.Connection, error) { return l, nil }

// SessionID implements [mcp.Connection].
func (l *listening) SessionID() string { return "" }

// Read implements [mcp.Connection]. It does not return, and leaves no goroutine.
func (l *listening) Read(context.Context) (jsonrpc.Message, error) {
	runtime.Goexit()
	return nil, errHearing
}

// Write implements [mcp.Connection].
func (l *listening) Write(_ context.Context, msg jsonrpc.Message) error {
	m, ok := msg.(*jsonrpc.Request)
	if !ok || m.IsCall() {
		return Rejected(errHearing)
	}
	if IsBroadcast(m.Method) {
		l.heard(m.Method)
	}
	return nil
}

// Close implements [mcp.Connection].
func (l *listening) Close() error { return nil }

var errHearing = errors.New("this session is mcpfleet's own: there is no client")
