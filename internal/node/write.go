package node

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// Write implements [mcp.Connection]. It returns when the message has been
// handed to the client or stored in the log; it does not wait for a slow
// client.
func (c *Conn) Write(ctx context.Context, msg jsonrpc.Message) error {
	switch m := msg.(type) {
	case *jsonrpc.Response:
		return c.respond(ctx, m)
	case *jsonrpc.Request:
		if m.IsCall() {
			return c.ask(ctx, m)
		}
		return c.notify(ctx, m)
	default:
		return sdkcompat.Rejected(errors.New("unknown kind of message"))
	}
}

// respond takes the SDK's response to the request, or to the barrier.
func (c *Conn) respond(ctx context.Context, resp *jsonrpc.Response) error {
	defer c.finish()
	if resp.ID == barrierID {
		return nil
	}
	var failed error
	if resp.Error == nil && c.req.OnResult != nil {
		failed = c.req.OnResult(ctx, resp.Result)
	}
	c.node.mu.Lock()
	c.node.freeRequestID(c)
	c.node.mu.Unlock()
	c.out.Lock()
	defer c.out.Unlock()
	switch {
	case failed == nil:
		c.complete(ctx, sdkcompat.EncodeResponse(c.req.Message.ID, resp))
	case errors.As(failed, new(*jsonrpc.Error)):
		c.complete(ctx, jsonrpcmsg.EncodeError(c.req.Message.ID, failed))
	case c.phase == phaseJSON && c.req.ResponseMode != ResponseRelayed:
		c.phase = phaseDone
		c.response <- Response{Err: failed}
	default:
		c.complete(ctx, jsonrpcmsg.EncodeError(c.req.Message.ID, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the result could not be stored"}))
	}
	return nil
}

// complete completes the HTTP response with a JSON-RPC response, if it is not
// complete yet. c.out
// must be held.
func (c *Conn) complete(ctx context.Context, response []byte) {
	if c.phase == phaseJSON && c.shared() {
		c.withdrawServerRequests(ctx)
	}
	switch {
	case c.phase == phaseJSON && c.req.ResponseMode == ResponseRelayed:
		c.phase = phaseDone
		c.conclude(ctx, response)
	case c.phase == phaseJSON:
		// If the client has left meanwhile it has no event id to ask with, so
		// nobody will take the response out of the channel.
		c.phase = phaseDone
		c.response <- Response{Body: response}
	case c.phase == phaseStream:
		c.withdrawServerRequests(ctx)
		c.endStream(ctx, response)
	}
}

// open begins the stream of the response. c.out must be held, and phase be phaseJSON.
func (c *Conn) open(ctx context.Context) error {
	switch {
	case !c.req.Message.IsCall(), c.req.ResponseOnly:
		return errors.New("nothing can be sent with this request")
	case !c.leftAt().IsZero():
		return errors.New("the client's connection broke before it had an event id to resume from")
	}
	if c.opening.Nonce == "" {
		c.opening = eventlog.Opening{
			Stream: eventlog.StreamID{Session: c.session, Stream: eventlog.NewCallStream(c.req.Message.ID)},
			Nonce:  eventlog.NewNonce(), Writer: c.node.id, Call: c.req.Message.ID,
		}
	}
	stream := c.opening.Stream
	reader, err := c.node.newReader(stream)
	if err != nil {
		return err
	}
	c.opening.Reader = c.node.readerRef(reader)
	first, err := c.node.log.Open(ctx, c.opening)
	if err != nil {
		c.node.removeReader(reader)
		if errors.Is(err, redisx.ErrUnavailable) {
			c.mu.Lock()
			c.orphan = stream
			c.mu.Unlock()
		}
		return err
	}
	reader.attach(eventlog.Attachment{Events: []eventlog.Event{first}, Next: 1, Writer: c.node.id, Call: c.req.Message.ID})
	c.phase, c.reader = phaseStream, reader
	c.mu.Lock()
	c.sid, c.orphan = stream, eventlog.StreamID{}
	c.mu.Unlock()
	c.stream <- reader
	if !c.leftAt().IsZero() {
		c.releaseUnserved(ctx)
	}
	return nil
}

// emit sends a message of the handler on the request's stream.
func (c *Conn) emit(ctx context.Context, data []byte) error {
	c.out.Lock()
	defer c.out.Unlock()
	return c.emitLocked(ctx, data)
}

// emitLocked is emit with c.out held.
func (c *Conn) emitLocked(ctx context.Context, data []byte) error {
	if c.phase == phaseDone {
		return errors.New("the response is complete")
	}
	if c.shared() {
		return c.standalone(ctx, data)
	}
	if c.phase == phaseJSON {
		if err := c.open(ctx); err != nil {
			return c.unsent(err)
		}
	}
	return c.unsent(c.node.appendAndDeliver(ctx, c.streamID(), c.node.id, data))
}

var errAway = errors.New("the session store is unavailable")

// unsent returns what a handler is told of err. Handlers pass on what they get,
// and Redis's own words are not for clients.
func (c *Conn) unsent(err error) error {
	if errors.Is(err, redisx.ErrUnavailable) {
		c.node.logger.Warn("message not sent", "error", err)
		return errAway
	}
	return err
}

// endStream ends the stream, with response as its last event unless it is nil.
// If Redis stays away, a client that is still there gets the response without
// an id. c.out must be held.
func (c *Conn) endStream(ctx context.Context, response []byte) {
	c.phase = phaseDone
	a := eventlog.Append{Writer: c.node.id, Data: response, End: true}
	if response != nil {
		a.Nonce = eventlog.NewNonce()
	}
	switch err := c.appendLast(ctx, c.streamID(), a); {
	case errors.Is(err, redisx.ErrUnavailable):
		c.reader.deliverUnlogged(response)
	case err != nil:
		// The session is gone, or a reader took us for dead and ended the
		// stream; then the call has its one response.
		c.reader.lookInLog()
	}
}

// endLate appends the last event of a call when Redis is back, for whoever reads
// the stream then: its writer lives, so nobody else will. If the instance leaves before, it is dead,
// and a reader ends the stream.
func (n *Node) endLate(id eventlog.StreamID, a eventlog.Append) {
	n.background(func() {
		ctx := context.Background() // nobody waits for this; each call to Redis is bounded
		for !n.isClosed() {
			e, reader, err := n.log.Append(ctx, id, a)
			if err == nil {
				n.deliver(ctx, reader, e, a.End)
			}
			if !errors.Is(err, redisx.ErrUnavailable) {
				return
			}
			time.Sleep(time.Second)
		}
	})
}

// notify sends a notification of the server.
func (c *Conn) notify(ctx context.Context, m *jsonrpc.Request) error {
	if m.Method == "notifications/cancelled" {
		return c.withdraw(ctx, m.Params)
	}
	if m.Method == "notifications/message" {
		wanted, err := c.wantsLog(ctx, m.Params)
		if err != nil || !wanted {
			return err
		}
	}
	data, err := jsonrpcmsg.EncodeRequest(nil, m.Method, m.Params)
	if err != nil {
		return sdkcompat.Rejected(err)
	}
	if c.speaks(ctx) && c.req.Message.IsCall() {
		err = c.emit(ctx, data)
	} else if sdkcompat.IsBroadcast(m.Method) {
		// The SDK tells each of its sessions; this one lasts for one request,
		// and the fleet's sessions are told over the bus.
		return nil
	} else {
		err = c.standalone(ctx, data)
	}
	if err != nil {
		return sdkcompat.Rejected(err)
	}
	return nil
}

// speaks reports whether ctx is one of this connection's handlers'.
func (c *Conn) speaks(ctx context.Context) bool { return ctx.Value(connKey{}) == c }

// standalone sends a message that belongs to no call.
func (c *Conn) standalone(ctx context.Context, data []byte) error {
	if c.req.ResponseOnly {
		return errors.New("there is no session before initialize is answered")
	}
	return c.unsent(c.node.Standalone(ctx, c.session, data))
}

// levels are the log levels from least to most severe (RFC 5424).
var levels = []mcp.LoggingLevel{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// ValidLogLevel reports whether level is one of the log levels of the protocol.
func ValidLogLevel(level mcp.LoggingLevel) bool { return slices.Contains(levels, level) }

// wantsLog reports whether the session wants a log message. The session's level
// is asked of Redis, not of the SDK or a cache: the client may have set it a
// moment ago on another instance.
func (c *Conn) wantsLog(ctx context.Context, params json.RawMessage) (bool, error) {
	var message struct {
		Level mcp.LoggingLevel `json:"level"`
	}
	if err := json.Unmarshal(params, &message); err != nil {
		return false, sdkcompat.Rejected(err)
	}
	level, err := c.logLevel(ctx)
	if err != nil {
		return false, sdkcompat.Rejected(c.unsent(err))
	}
	return WantsLog(level, message.Level), nil
}

// WantsLog reports whether a client that has set level, or none if it is empty,
// gets a message of another level.
func WantsLog(level, message mcp.LoggingLevel) bool {
	return level != "" && slices.Index(levels, message) >= slices.Index(levels, level)
}

func (c *Conn) logLevel(ctx context.Context) (mcp.LoggingLevel, error) {
	if c.req.Message.Method == "logging/setLevel" {
		// The level being set filters in the SDK already.
		return levels[0], nil
	}
	c.level.turn.Lock()
	defer c.level.turn.Unlock()
	if c.level.known {
		return c.level.level, nil
	}
	level, err := c.node.store.LogLevel(ctx, c.session)
	if err != nil {
		return "", err // a call may outlast an outage: the next message asks again
	}
	if level == "" {
		level = c.node.opts.DefaultLogLevel
	}
	c.level.known, c.level.level = true, level
	return level, nil
}
