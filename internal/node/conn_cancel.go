package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// closeStream is RequestExtra.CloseSSEStream: the client is to come back after
// a while for what the call sends. It does nothing if the client would have no
// event id to come back with.
func (c *Conn) closeStream(retry time.Duration) {
	if !c.req.Resumable || c.req.Stateless {
		return
	}
	ctx := context.Background() // CloseSSEStream has none; each call to Redis is bounded
	if err := c.openStream(ctx); err != nil {
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
	c.interrupt()
	c.out.Lock()
	c.stopHandler() // not before: its own response could be the quicker one
	wire := &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: err.Error()}
	if c.req.Stateless {
		wire = errLeaving // no session can end before them
	}
	if c.phase == phaseParked {
		c.unpark()
	}
	if c.phase == phaseJSON && (c.req.Stateless || errors.Is(err, sessionstore.ErrNotFound)) {
		c.phase = phaseDone
		c.response <- Response{Err: err}
	}
	c.complete(ctx, jsonrpcmsg.EncodeError(c.req.Message.ID, wire))
	c.out.Unlock()
	if f := c.frontingOf(); f != nil {
		c.leaveCall(f.where())
	}
	c.finish()
}

// cancel acts on notifications/cancelled: the handler's context ends, and the
// client is not kept waiting for it. A response that is still JSON is an error; a
// stream ends without a response, as the specification wants ("Cancellation").
func (c *Conn) cancel() {
	if c.req.ResponseOnly {
		return // initialize must not be cancelled
	}
	ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
	c.out.Lock()
	c.stopHandler() // not before: its own response could be the quicker one
	switch {
	case c.phase == phaseStream:
		c.withdrawServerRequests(ctx)
		c.endStream(ctx, nil)
	case c.phase == phaseJSON && c.req.ResponseMode == ResponseRelayed:
		c.withdrawServerRequests(ctx)
		c.phase = phaseDone
	default:
		c.complete(ctx, jsonrpcmsg.EncodeError(c.req.Message.ID, errCancelled))
	}
	c.out.Unlock()
}

// giveUp cancels a stateless call whose client has gone. What is sent from then on
// is dropped; the handler may take its time.
func (c *Conn) giveUp() {
	c.interrupt()
	c.out.Lock()
	defer c.out.Unlock()
	c.stopHandler()
	c.failQuestions(errClientGone)
	switch c.phase {
	case phaseParked:
		c.unpark()
	case phaseFront: // whose instance was taken for dead, and may be back
		ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
		c.telling.Load().end(ctx, said{data: wireError(errGivenUp), kind: saidError})
	}
	c.phase = phaseDone
	c.mu.Lock()
	if c.left.IsZero() {
		c.left = time.Now()
	}
	f := c.fronting
	c.mu.Unlock()
	if f != nil {
		c.leaveCall(f.where())
		c.node.background(c.finish)
	}
}

// interrupt lets what holds c.out, because a client reads slowly, go on.
func (c *Conn) interrupt() {
	c.mu.Lock()
	live := c.live
	c.mu.Unlock()
	if live != nil {
		live.interrupt()
	}
	if t := c.telling.Load(); t != nil {
		t.leave()
	}
}

// stopHandler ends the handler's context; that of a handler which the SDK runs in
// the SDK's own way.
func (c *Conn) stopHandler() {
	c.mu.Lock()
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
		return
	}
	c.incoming.put(&jsonrpc.Request{Method: "notifications/cancelled", Params: cancelCall})
}

var cancelCall = json.RawMessage(fmt.Sprintf(`{"requestId":%q}`, callID.Raw()))
