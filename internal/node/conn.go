package node

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/signal"
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
	// Stateless says that the request is of a protocol without sessions: the stream of
	// its response cannot be resumed, and a client that closes it cancels the call.
	// Session is only what the handler is told.
	Stateless bool
	// FrontOnly says that the request continues a parked call: no handler runs for it.
	FrontOnly bool
	// Asking is what a stateless call needs that may ask its client; nil if it may not.
	Asking *Asking
	// CountedFor says with whose other calls a stateless call is counted.
	CountedFor string
	// LogLevel is what the client of a stateless request wants to be logged.
	LogLevel mcp.LoggingLevel
	// ResponseMode says where the messages of the handler go.
	ResponseMode ResponseMode
	// Handle, if not nil, handles the request, which the SDK otherwise reads itself.
	Handle func(ctx context.Context, params json.RawMessage) (result json.RawMessage, err error)
	// Intercept, if not nil, is called with each notification of the handler. It
	// reports whether the notification is not to be sent.
	Intercept func(method string, params json.RawMessage) bool
	// Unheard, if not nil, is told of what reaches nobody.
	Unheard Unheard
	// Result, if not nil, returns the result that the SDK's result stands for.
	Result func(sdk json.RawMessage) (json.RawMessage, error)
	// OnResult, if not nil, is called with the result of a call before anyone
	// sees it. If it returns a *jsonrpc.Error that is the response; with any
	// other error there is none, and the error is in [Response].
	OnResult func(ctx context.Context, result json.RawMessage) error

	relay relay
}

// An Unheard is told of what is sent to a connection's session and reaches nobody. Its
// methods must not block.
type Unheard interface {
	// Broadcast is called with the method of a notification that the SDK sends to all
	// sessions of the server.
	Broadcast(method string)
	// AfterEnd is called when the session is used after its request has ended.
	AfterEnd()
}

// A Conn is the SDK's connection for one request: the SDK server reads the
// request from it, and writes the response to it and whatever else the handler
// sends. The Conn decides whether the client gets one JSON body or a stream.
//
// It is both the [mcp.Transport] and the [mcp.Connection]: connect it with
//
//	server.Connect(conn.Context(ctx), conn, &mcp.ServerSessionOptions{State: state})
//
// and send the client what [Conn.Wait] returns; a request that cannot become a
// stream may be waited for on [Conn.Response]. It closes itself when the response
// has been written. All methods are safe for concurrent use.
type Conn struct {
	node    *Node
	id      string
	req     Request
	session string // under which the registry has it
	// idKey is [jsonrpcmsg.IDKey] of a call's id while its client may not use that again,
	// otherwise empty. The registry guards it.
	idKey  string
	params json.RawMessage // of the request, as the handler gets them

	incoming queue
	response chan Response       // has room for the one response
	stream   chan ResponseStream // has room for the one stream
	done     chan struct{}
	accepted time.Time
	token    json.RawMessage // the request's progress token, if the SDK knows it as tokenAlias; otherwise nil

	// out makes outgoing messages take turns: each is in the log before the
	// next. It guards the fields up to appended, and is held during calls to Redis.
	out    turn
	phase  phase
	reader *Reader     // the connection that began the stream
	live   *liveStream // the stream, if it is one without a log
	// opening is the stream that the HTTP response becomes, should it. The second
	// try to open it is the same stream: the first may have succeeded unnoticed.
	opening eventlog.Opening
	// appended counts the appends to the stream, also those that failed.
	appended int64

	mu       sync.Mutex        // guards all fields below, but for level
	opened   eventlog.StreamID // the stream of the response, once there is one
	orphan   eventlog.StreamID // a stream that may be open: the outcome of the try is unknown
	finished bool
	left     time.Time // when the client's connection broke; zero while it stands
	asked    serverRequests
	stop     context.CancelFunc // ends the context of Request.Handle
	rounds   *rounds            // what the call has asked; nil if nothing
	fronting *fronting          // nil unless the request is the front of a parked call

	level logLevel

	parked    atomic.Bool // its client has been asked, and has yet to come back
	wasParked atomic.Bool // it has been parked, if perhaps not now
	// telling is to the front that the call has, or had last; nil if it had none.
	telling atomic.Pointer[telling]
	ended   sdkcompat.Ended
}

// A turn is a mutex that may be held during calls to Redis.
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
		stream:   make(chan ResponseStream, 1),
		done:     make(chan struct{}),

		accepted: time.Now(),
		out:      make(turn, 1),
		level:    logLevel{turn: make(turn, 1)},
	}
	c.ended.Err = n.opts.RequestEnded
	if req.Unheard != nil {
		c.ended.Used = req.Unheard.AfterEnd
	}
	if req.Stateless {
		c.session = "stateless " + req.CountedFor
	}
	if req.Extra != nil {
		req.Extra.CloseSSEStream = func(args mcp.CloseSSEStreamArgs) { c.closeStream(args.RetryAfter) }
	}
	c.incoming.init()
	c.params, c.token = sdkcompat.WithExactToken(req.Message.Params, c.tokenAlias)
	if req.Message.IsNotification() {
		c.left = c.accepted // the client has its 202 and does not wait
	}
	if req.Asking != nil && req.Asking.Front != nil {
		c.standBehind(req.Asking.Front)
	}
	if err := n.addConn(c, n.opts.MaxCalls); err != nil {
		n.endRelay(context.Background(), req.relay) // not in the background: a node that leaves would drop it
		return nil, err
	}
	if req.Handle == nil && !req.FrontOnly {
		c.incoming.put(c.request())
	}
	if req.Message.IsNotification() {
		c.incoming.put(&jsonrpc.Request{ID: barrierID, Method: barrierMethod})
	}
	return c, nil
}

// addConn is the registry's part of [Node.Accept]; maxCalls bounds the calls, or
// the notifications, of a session.
func (g *registry) addConn(c *Conn, maxCalls int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	p, m := g.presence(c.session), c.req.Message
	named := m.IsCall() && !c.req.Stateless // stateless calls of one client may have the same id
	switch {
	case named && p.call(m.ID) != nil:
		return ErrDuplicateID
	case p.running(m.IsCall()) >= maxCalls && !c.isRunAgain():
		return ErrTooManyCalls
	case named:
		c.idKey = jsonrpcmsg.IDKey(m.ID)
	}
	p.conns = append(p.conns, c)
	g.conns[c.id] = c
	return nil
}

// isRunAgain reports whether the call is another run of one that was parked: it counts
// as parked, and its front as running.
func (c *Conn) isRunAgain() bool { return c.req.Asking != nil && c.req.Asking.Front != nil }

// running returns how many calls, or notifications, of a session run here.
func (p *presence) running(calls bool) (count int) {
	for _, c := range p.conns {
		if c.req.Message.IsCall() == calls && !c.wasParked.Load() && !c.isRunAgain() {
			count++
		}
	}
	return count
}

// request returns the client's message as the SDK reads it.
func (c *Conn) request() *jsonrpc.Request {
	m := c.req.Message
	r := &jsonrpc.Request{Method: m.Method, Params: c.params}
	if c.req.Extra != nil {
		r.Extra = c.req.Extra
	}
	if m.IsCall() {
		r.ID = callID
	}
	return r
}

// tokenAlias is what the SDK is told in place of a progress token that it would
// change.
func (c *Conn) tokenAlias() string { return c.node.id + "." + c.id }

// connKey marks the contexts of a connection's handlers.
type connKey struct{}

// Context returns the context to pass to Server.Connect. The contexts of
// handlers derive from it; it distinguishes what they send from what others
// send over this connection. It carries ctx's values but not its cancellation:
// in protocols with sessions, a broken connection does not cancel the call.
func (c *Conn) Context(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), connKey{}, c)
}

// Handle has [Request.Handle] handle the request, on a goroutine of its own. The
// server must have been connected with ctx, which is of [Conn.Context].
func (c *Conn) Handle(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	c.mu.Lock()
	c.stop = stop
	c.mu.Unlock()
	go func() { // ends with the handler
		defer stop()
		growStack()
		result, err := c.req.Handle(ctx, c.params)
		_ = c.respond(ctx, &jsonrpc.Response{ID: callID, Result: result, Error: err}) // a response is always taken
	}()
}

// growStack has the goroutine's stack grow once, while there is next to nothing on
// it. A handler needs so much of it, most for its input's schema and its JSON, that
// it would grow three times, and each time the runtime adjusts all that is there: a
// fifth of what a small call costs.
//
//go:noinline
func growStack() {
	var room [handlerStack]byte
	touch(&room)
}

//go:noinline
func touch(room *[handlerStack]byte) { room[0] = 1 }

// handlerStack is less than 16 KiB, the largest stack that is as cheap as the
// smallest, by a margin for the caller's frames.
const handlerStack = 10 << 10

// Connect implements [mcp.Transport].
func (c *Conn) Connect(context.Context) (mcp.Connection, error) { return c, nil }

// SessionID implements [mcp.Connection].
func (c *Conn) SessionID() string { return c.req.Session }

// Read implements [mcp.Connection]. It returns the request, then the client's
// responses to the handler's requests, and finally the error
// [Options.RequestEnded].
func (c *Conn) Read(ctx context.Context) (jsonrpc.Message, error) {
	for {
		if m := c.incoming.take(); m != nil {
			return m, nil
		}
		select {
		case <-c.incoming.wake:
		case <-c.done:
			return nil, &c.ended
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements [mcp.Connection]. The SDK calls it when the request has
// ended, or could not be served.
func (c *Conn) Close() error {
	c.finish()
	c.ended.Close()
	return nil
}

// Response returns the channel on which the response to a call is delivered if it
// is no stream.
func (c *Conn) Response() <-chan Response { return c.response }

// Done is closed when the request has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// A queue holds what the SDK has yet to read. It never blocks the putter, and
// is bounded by what is put: one request, one response to each server request, and
// progress, of which it takes no more when it is full.
type queue struct {
	wake signal.Wake
	mu   sync.Mutex // guards msgs
	msgs []jsonrpc.Message
}

// maxProgress is how full a queue may be that takes progress.
const maxProgress = 64

func (q *queue) init() { q.wake = signal.NewWake() }

func (q *queue) put(m jsonrpc.Message) {
	q.mu.Lock()
	q.msgs = append(q.msgs, m)
	q.mu.Unlock()
	q.wake.Send()
}

// offer is put for messages that may be dropped.
func (q *queue) offer(m jsonrpc.Message) {
	q.mu.Lock()
	full := len(q.msgs) >= maxProgress
	q.mu.Unlock()
	if !full {
		q.put(m)
	}
}

func (q *queue) take() jsonrpc.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.msgs) == 0 {
		return nil
	}
	m := q.msgs[0]
	q.msgs = q.msgs[1:]
	return m
}
