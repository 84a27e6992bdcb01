package node

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// A Request is one message of a client and what is known of its session.
type Request struct {
	// Session is the id of the session.
	Session string
	// Message is a call or a notification.
	Message *jsonrpcmsg.Message
	// Extra is what handlers see of the HTTP request. Its CloseSSEStream is set
	// by [Node.Accept].
	Extra *mcp.RequestExtra
	// Client is the capabilities of the client.
	Client *mcp.ClientCapabilities
	// Resumable says that a stream gives the client an id to resume from before
	// the first message (protocol 2025-11-25 and later).
	Resumable bool
	// ResponseOnly says that nothing but the response can be sent. It is for
	// initialize, before whose response the session does not exist.
	ResponseOnly bool
	// ResponseMode says where the messages of the handler go.
	ResponseMode ResponseMode
	// OnResult, if not nil, is called with the result of a call before anyone
	// sees it. If it returns a *jsonrpc.Error that is the response; with any
	// other error there is none, and the error is in [Response].
	OnResult func(ctx context.Context, result json.RawMessage) error

	relay relay
}

// A Conn is the SDK's connection for one request: the SDK server reads the
// request from it, and writes the response to it and whatever else the handler
// sends. The Conn decides whether the client gets one JSON body or a stream.
//
// It is both the [mcp.Transport] and the [mcp.Connection]: connect it with
//
//	server.Connect(conn.Context(ctx), conn, &mcp.ServerSessionOptions{State: state})
//
// and send the client what arrives on [Conn.Response] or [Conn.Stream]. It closes
// itself when the response has been written. All methods are safe for
// concurrent use.
type Conn struct {
	node    *Node
	id      string
	req     Request
	session string

	incoming queue
	response chan Response // has room for the one response
	stream   chan *Reader  // has room for the one stream
	done     chan struct{}
	accepted time.Time

	// out makes outgoing messages take turns: each is in the log before the
	// next. It guards phase, reader and opening, and is held during calls to Redis.
	out    turn
	phase  phase
	reader *Reader // the connection that began the stream
	// opening is the stream that the HTTP response becomes, should it. The second
	// try to open it is the same stream: the first may have succeeded unnoticed.
	opening eventlog.Opening

	mu       sync.Mutex        // guards all fields below, but for level
	opened   eventlog.StreamID // the stream of the response, once there is one
	orphan   eventlog.StreamID // a stream that may have been opened without our knowing
	finished bool
	left     time.Time // when the client's connection broke; zero while it stands
	asked    serverRequests

	level logLevel
}

// A turn is a mutex for what may take long.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// The ids that a request has inside the SDK. A Conn has one request, so they
// never change, and the client's own id is not touched by anybody.
var (
	callID    = mustID("call")
	barrierID = mustID("barrier")
)

func mustID(s string) jsonrpc.ID {
	id, err := jsonrpc.MakeID(s)
	if err != nil {
		panic(err) // a string is always an id
	}
	return id
}

// barrierMethod is a call that no server handles. The SDK handles a notification
// before it starts the next call, and does not report when it is done. So a
// barrier follows each notification: the error response to it shows that the
// notification has been handled. No middleware sees it.
const barrierMethod = "mcpfleet/barrier"

// Accept registers a request of a client as running on this instance. It fails
// with [ErrDuplicateID], [ErrTooManyCalls] or [ErrClosed].
func (n *Node) Accept(req Request) (*Conn, error) {
	c := &Conn{
		node:     n,
		id:       n.nextID(),
		req:      req,
		session:  req.Session,
		response: make(chan Response, 1),
		stream:   make(chan *Reader, 1),
		done:     make(chan struct{}),

		accepted: time.Now(),
		out:      make(turn, 1),
		level:    logLevel{turn: make(turn, 1)},
	}
	c.incoming.init()
	if req.Message.IsNotification() {
		c.left = c.accepted // the client has its 202 and does not wait
	}
	if err := n.addConn(c, n.opts.MaxCalls); err != nil {
		n.endRelay(context.Background(), req.relay) // not in the background: a node that leaves would drop it
		return nil, err
	}
	c.incoming.put(c.request())
	if req.Message.IsNotification() {
		c.incoming.put(&jsonrpc.Request{ID: barrierID, Method: barrierMethod})
	}
	return c, nil
}

// request returns the client's message as the SDK reads it.
func (c *Conn) request() *jsonrpc.Request {
	m := c.req.Message
	r := &jsonrpc.Request{Method: m.Method, Params: m.Params}
	if c.req.Extra != nil {
		c.req.Extra.CloseSSEStream = func(args mcp.CloseSSEStreamArgs) { c.closeStream(args.RetryAfter) }
		r.Extra = c.req.Extra
	}
	if m.IsCall() {
		r.ID = callID
	}
	return r
}

// connKey marks the contexts of a connection's handlers.
type connKey struct{}

// Context returns the context to pass to Server.Connect. The contexts of
// handlers derive from it; it distinguishes what they send from what others
// send over this connection. It carries ctx's values but not its cancellation:
// in protocols with sessions, a broken connection does not cancel the call.
func (c *Conn) Context(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), connKey{}, c)
}

// Connect implements [mcp.Transport].
func (c *Conn) Connect(context.Context) (mcp.Connection, error) { return c, nil }

// SessionID implements [mcp.Connection].
func (c *Conn) SessionID() string { return c.session }

// Read implements [mcp.Connection]. It returns the request, then the client's
// responses to the handler's requests, and finally the error
// that [Options] have for requests that have ended.
func (c *Conn) Read(ctx context.Context) (jsonrpc.Message, error) {
	for {
		if m := c.incoming.take(); m != nil {
			return m, nil
		}
		select {
		case <-c.incoming.wake:
		case <-c.done:
			return nil, c.node.opts.RequestEnded
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements [mcp.Connection]. The SDK calls it when the request has
// ended, or could not be served.
func (c *Conn) Close() error {
	c.finish()
	return nil
}

// Response returns the channel on which the response to a call that needs no
// stream is delivered.
func (c *Conn) Response() <-chan Response { return c.response }

// Stream returns the channel on which the reader of the response's stream is
// delivered, once there is one. The receiver serves and releases the reader,
// and calls [Conn.Leave] if serving fails.
func (c *Conn) Stream() <-chan *Reader { return c.stream }

// Done is closed when the request has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// OpenStream turns the response into a stream now, unless it is complete.
func (c *Conn) OpenStream(ctx context.Context) error {
	c.out.Lock()
	defer c.out.Unlock()
	if c.phase != phaseJSON || c.shared() {
		return nil
	}
	return c.open(ctx)
}

// Leave reports that the client's connection broke. The call goes on; what it
// sends waits in the log if the client has an event id to resume from.
func (c *Conn) Leave(ctx context.Context) {
	c.mu.Lock()
	if c.left.IsZero() {
		c.left = time.Now()
	}
	c.mu.Unlock()
	c.releaseUnserved(ctx)
}

// releaseUnserved gives up a stream that was opened while the client left.
func (c *Conn) releaseUnserved(ctx context.Context) {
	select {
	case r := <-c.stream:
		r.Release(ctx)
	default:
	}
}

func (c *Conn) leftAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// finish ends the connection, and returns when it has ended: a node that leaves
// must not leave a call to Redis behind. The SDK's own clean-up follows from the
// error that Read returns then.
func (c *Conn) finish() {
	c.mu.Lock()
	finished, orphan := c.finished, c.orphan
	c.finished = true
	c.mu.Unlock()
	if finished {
		<-c.done
		return
	}
	if orphan.Stream != "" {
		c.node.appendLate(orphan, eventlog.Append{Writer: c.node.id, End: true})
	}
	c.node.endRelay(context.Background(), c.req.relay) // nobody waits for it; the call to Redis is bounded
	c.node.removeConn(c)
	close(c.done)
	if time.Since(c.accepted) > time.Second {
		c.node.Use(c.session) // the session was in use until now
	}
}
