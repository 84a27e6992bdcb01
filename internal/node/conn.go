package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
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

	carried carriage
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
	// next. It is held during calls to Redis.
	out    turn
	phase  phase
	reader *Reader // the connection that began the stream
	// opening is the stream that the HTTP response becomes, should it. The second try to
	// open it is the same stream: the first may have succeeded unnoticed.
	opening eventlog.Opening

	mu       sync.Mutex
	sid      eventlog.StreamID // of the response, once there is one
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

// phase is how far the HTTP response to a call has come.
type phase int

const (
	phaseJSON   phase = iota // nothing has been sent: one JSON body will do
	phaseStream              // it is a stream
	phaseDone                // it is complete
)

// A Response is what answers a call whose HTTP response is no stream.
type Response struct {
	Body []byte // a JSON-RPC response
	Err  error  // why there is none, from OnResult
}

// ErrDuplicateID says that a request with the same id in the same session is
// running on this instance.
var ErrDuplicateID = errors.New("a request with this id is in progress")

// ErrTooManyCalls says that a session has the maximum number of calls, or of
// notifications, running on this instance.
var ErrTooManyCalls = errors.New("too many running calls in this session")

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

// barrierMethod is a call that no server handles. The SDK handles notifications
// in turn with the start of calls and says nothing when it is done; the error
// response to a barrier behind a notification says it. No middleware sees it.
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
	if err := n.addConn(c); err != nil {
		n.carriedOut(context.Background(), req.carried) // not in the background: a node that leaves would drop it
		return nil, err
	}
	c.incoming.put(c.request())
	if req.Message.IsNotification() {
		c.incoming.put(&jsonrpc.Request{ID: barrierID, Method: barrierMethod})
	}
	return c, nil
}

func (n *Node) addConn(c *Conn) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	p, m := n.presence(c.session), c.req.Message
	key := jsonrpcmsg.IDKey(m.ID)
	switch {
	case m.IsCall() && p.calls[key] != nil:
		return ErrDuplicateID
	case p.running(m.IsCall()) >= n.opts.MaxCalls:
		return ErrTooManyCalls
	case m.IsCall():
		p.calls[key] = c
	}
	p.conns[c] = struct{}{}
	n.conns[c.id] = c
	return nil
}

// running returns how many calls, or notifications, of a session run here.
func (p *presence) running(calls bool) (count int) {
	for c := range p.conns {
		if c.req.Message.IsCall() == calls {
			count++
		}
	}
	return count
}

func (n *Node) removeConn(c *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.freeRequestID(c)
	if p := n.sessions[c.session]; p != nil {
		delete(p.conns, c)
	}
	delete(n.conns, c.id)
	n.release(c.session)
}

// freeRequestID lets the client use the request's id again, as it may from the
// moment it has the response. n.mu must be held.
func (n *Node) freeRequestID(c *Conn) {
	key := jsonrpcmsg.IDKey(c.req.Message.ID)
	if p := n.sessions[c.session]; p != nil && p.calls[key] == c {
		delete(p.calls, key)
	}
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

// ErrRequestEnded is the error of a *mcp.ServerSession that is used after its
// request has ended.
var ErrRequestEnded = errors.New("the request this session was connected for has ended; " +
	"any instance serves the session now: keep its ID and call Notify of the fleet with it, not the *mcp.ServerSession")

// Read implements [mcp.Connection]. It returns the request, then the client's
// responses to the handler's requests, and finally [ErrRequestEnded].
func (c *Conn) Read(ctx context.Context) (jsonrpc.Message, error) {
	for {
		if m := c.incoming.take(); m != nil {
			return m, nil
		}
		select {
		case <-c.incoming.wake:
		case <-c.done:
			return nil, ErrRequestEnded
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

// streamID returns the stream of the response, zero if it is none.
func (c *Conn) streamID() eventlog.StreamID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sid
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
		c.node.endLate(orphan, eventlog.Append{Writer: c.node.id, End: true})
	}
	c.node.carriedOut(context.Background(), c.req.carried) // nobody waits for it; the call to Redis is bounded
	c.node.removeConn(c)
	close(c.done)
	if time.Since(c.accepted) > time.Second {
		c.node.Use(c.session) // the session was in use until now
	}
}

// closeStream is RequestExtra.CloseSSEStream: the client is to come back after
// a while for what the call says. It does nothing if the client would have no
// event id to come back with.
func (c *Conn) closeStream(retry time.Duration) {
	if !c.req.Resumable {
		return
	}
	ctx := context.Background() // CloseSSEStream has none; each call to Redis is bounded
	if err := c.OpenStream(ctx); err != nil {
		c.node.logger.Warn("stream not opened", "error", err)
		return
	}
	states, err := c.node.log.States(ctx, []eventlog.StreamID{c.streamID()})
	if err != nil {
		c.node.logger.Warn("stream not closed", "error", err)
		return
	}
	c.node.closeReader(ctx, states[0].Reader, retry)
}

// abandon ends the request with an error, whatever its handler does: its
// session has ended, or its instance leaves.
func (c *Conn) abandon(err error) {
	ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
	c.out.Lock()
	c.stopHandler() // not before: its own response could be the quicker one
	if c.phase == phaseJSON && errors.Is(err, sessionstore.ErrNotFound) {
		c.phase = phaseDone
		c.response <- Response{Err: err}
	}
	c.complete(ctx, jsonrpcmsg.EncodeError(c.req.Message.ID, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: err.Error()}))
	c.out.Unlock()
	c.finish()
}

// ErrCancelled is the error response of a call that its client has cancelled.
var ErrCancelled = &jsonrpc.Error{Code: -32800, Message: "request cancelled"}

// cancel acts on notifications/cancelled: the handler's context ends, and the
// client is not kept waiting for it. A response that is still
// JSON is an error; a stream ends without a response, as the specification wants ("Cancellation").
func (c *Conn) cancel() {
	if c.req.ResponseOnly {
		return // initialize must not be cancelled
	}
	ctx := context.Background() // as in abandon
	c.out.Lock()
	c.stopHandler() // as in abandon
	switch {
	case c.phase == phaseStream:
		c.withdrawServerRequests(ctx)
		c.endStream(ctx, nil)
	case c.phase == phaseJSON && c.req.ResponseMode == ResponseRelayed:
		c.withdrawServerRequests(ctx)
		c.phase = phaseDone
	default:
		c.complete(ctx, jsonrpcmsg.EncodeError(c.req.Message.ID, ErrCancelled))
	}
	c.out.Unlock()
}

// stopHandler ends the handler's context, in the SDK's own way.
func (c *Conn) stopHandler() {
	c.incoming.put(&jsonrpc.Request{Method: "notifications/cancelled", Params: cancelCall})
}

var cancelCall = json.RawMessage(fmt.Sprintf(`{"requestId":%q}`, callID.Raw()))

// A queue holds what the SDK has yet to read. It never blocks the putter, and
// is bounded by what is put: one request, one response to each server request, and
// progress, of which it takes no more when it is full.
type queue struct {
	wake chan struct{}
	mu   sync.Mutex
	msgs []jsonrpc.Message
}

const maxProgress = 64

func (q *queue) init() { q.wake = make(chan struct{}, 1) }

func (q *queue) put(m jsonrpc.Message) {
	q.mu.Lock()
	q.msgs = append(q.msgs, m)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
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

// logLevel is the level of a session's log messages, read from Redis when a
// request first has one to send.
type logLevel struct {
	turn  turn // guards what follows, also during the call to Redis
	known bool
	level mcp.LoggingLevel
}
