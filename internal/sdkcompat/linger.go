package sdkcompat

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK tells an update of a resource only to sessions that are open and subscribed
// to it, and Server.ResourceUpdated returns no error if there are none. To subscribe a
// session of our own would call the server's SubscribeHandler for nobody.
//
// Seen in: v1.8.0.
// Here: a session in which a client has subscribed may stay when its request has
// ended, as those of hear.go do, to notice the call.
// Test: TestResourceUpdatedNeedsASubscribedSession.

// A Lingering is a session that may stay among its server's sessions when its one
// request has ended, for as long as the server exists. Then it has nothing any more
// of the request or its connection. Heard and Left must not refer to the server.
type Lingering struct {
	// Heard is called with the method of each notification that the SDK then sends to
	// all sessions that want it. It must not block.
	Heard func(method string)
	// Left is called if the session does not stay.
	Left func()

	stays atomic.Bool
	mu    sync.RWMutex // guards conn, id and ended
	conn  mcp.Connection
	id    string
	ended error // why there is no conn any more
}

// Of returns the transport to connect the server to in place of the request's.
func (l *Lingering) Of(conn mcp.Connection) mcp.Transport {
	l.conn, l.id = conn, conn.SessionID()
	return (*lingering)(l)
}

// Stay lets the session stay. It must be called before the request has ended.
func (l *Lingering) Stay() { l.stays.Store(true) }

type lingering Lingering

func (l *lingering) current() (mcp.Connection, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.conn, l.ended
}

// Connect implements [mcp.Transport].
func (l *lingering) Connect(context.Context) (mcp.Connection, error) { return l, nil }

// SessionID implements [mcp.Connection].
func (l *lingering) SessionID() string { return l.id }

// Read implements [mcp.Connection].
func (l *lingering) Read(ctx context.Context) (jsonrpc.Message, error) {
	conn, _ := l.current()
	m, err := conn.Read(ctx)
	if err == nil {
		return m, nil
	}
	if !l.stays.Load() {
		l.Left()
		return nil, err
	}
	l.mu.Lock()
	l.conn, l.ended = nil, err
	l.mu.Unlock()
	_ = conn.Close() // as the SDK would
	runtime.Goexit()
	return nil, err
}

// Write implements [mcp.Connection].
func (l *lingering) Write(ctx context.Context, msg jsonrpc.Message) error {
	conn, ended := l.current()
	if conn != nil {
		return conn.Write(ctx, msg)
	}
	if m, ok := msg.(*jsonrpc.Request); ok && IsBroadcast(m.Method) {
		l.Heard(m.Method)
		return nil
	}
	return Rejected(ended)
}

// Close implements [mcp.Connection].
func (l *lingering) Close() error {
	if conn, _ := l.current(); conn != nil {
		return conn.Close()
	}
	return nil
}
