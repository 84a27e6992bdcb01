package node

import (
	"context"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
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
			return c.sendServerRequest(ctx, m)
		}
		return c.notify(ctx, m)
	default:
		return sdkcompat.Rejected(errUnknownMessage)
	}
}

// respond takes the SDK's response to the request, or to the barrier.
func (c *Conn) respond(ctx context.Context, resp *jsonrpc.Response) error {
	defer c.finishUnlessParked()
	if resp.ID == barrierID {
		return nil
	}
	if resp.Error == nil && c.req.Result != nil && c.req.Handle == nil {
		resp.Result, resp.Error = c.req.Result(resp.Result)
	}
	var failed error
	if resp.Error == nil && c.req.OnResult != nil {
		failed = c.req.OnResult(ctx, resp.Result)
	}
	c.node.freeRequestID(c)
	c.out.Lock()
	defer c.out.Unlock()
	switch {
	case failed == nil:
		c.completeWith(ctx, sdkcompat.EncodeResponse(c.req.Message.ID, resp), sdkcompat.ErrorCode(resp))
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

// notify sends a notification of the server.
func (c *Conn) notify(ctx context.Context, m *jsonrpc.Request) error {
	if m.Method == "notifications/cancelled" {
		return c.withdraw(ctx, m.Params)
	}
	if c.req.Stateless && m.Method == elicitationComplete {
		return nil
	}
	if c.req.Intercept != nil && c.req.Intercept(m.Method, m.Params) {
		return nil
	}
	if m.Method == "notifications/message" && !c.wasParked.Load() { // a later request may want another level
		wanted, err := c.wantsLog(ctx, m.Params)
		if err != nil || !wanted {
			return err
		}
	}
	params := m.Params
	if c.token != nil && m.Method == "notifications/progress" {
		params = sdkcompat.RestoreToken(params, c.tokenAlias(), c.token)
	}
	data, err := jsonrpcmsg.EncodeRequest(nil, m.Method, params)
	if err != nil {
		return sdkcompat.Rejected(err)
	}
	if c.isHandler(ctx) && c.req.Message.IsCall() {
		err = c.emit(ctx, data)
	} else if sdkcompat.IsBroadcast(m.Method) {
		// The SDK tells each of its sessions; this one lasts for one request,
		// and the fleet's sessions are told over the bus.
		if c.req.Unheard != nil {
			c.req.Unheard.Broadcast(m.Method)
		}
		return nil
	} else {
		err = c.standalone(ctx, data)
	}
	if err != nil {
		return sdkcompat.Rejected(err)
	}
	return nil
}

// isHandler reports whether ctx is that of one of this connection's handlers.
func (c *Conn) isHandler(ctx context.Context) bool { return ctx.Value(connKey{}) == c }
