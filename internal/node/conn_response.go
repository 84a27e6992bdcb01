package node

import (
	"context"
	"errors"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A ResponseMode is the stream or response to which the messages of a request's
// handler go.
type ResponseMode int

const (
	// ResponseOwn is the HTTP response to the request: one JSON body, or a stream
	// once there is more to say than the response.
	ResponseOwn ResponseMode = iota
	// ResponseShared sends only the response there, in one JSON body; all
	// other messages go to the session's standalone stream. It is for the calls
	// of a batch, which share one HTTP response.
	ResponseShared
	// ResponseRelayed sends everything, including the response, to the session's
	// standalone stream. It is for sessions of the HTTP+SSE transport; see
	// [Node.Carry].
	ResponseRelayed
)

// shared reports whether nothing but the response can be in the HTTP response.
func (c *Conn) shared() bool { return c.req.ResponseMode != ResponseOwn }

// conclude sends the response to the standalone stream. c.out must be held.
func (c *Conn) conclude(ctx context.Context, response []byte) {
	// After an error the response comes late, or its session is gone.
	_ = c.appendLast(ctx, eventlog.StandaloneOf(c.session), eventlog.Append{Nonce: eventlog.NewNonce(), Data: response, Once: true})
}

// outageBound is how long a finished call waits for Redis to take its response.
const outageBound = 30 * time.Second

// appendLast appends the last event of a call. While Redis is away it tries on;
// after outageBound it fails, and the event is appended when Redis is back. With
// any error but [redisx.ErrUnavailable] the event is not in the log and will not be.
func (c *Conn) appendLast(ctx context.Context, id eventlog.StreamID, a eventlog.Append) error {
	deadline := time.Now().Add(outageBound)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		e, reader, err := c.node.log.Append(ctx, id, a)
		if err == nil {
			c.node.deliver(ctx, reader, e, a.End)
			return nil
		}
		a.Again = a.Nonce != ""
		if !errors.Is(err, redisx.ErrUnavailable) {
			return err
		}
		if time.Now().After(deadline) || c.node.isClosed() {
			c.node.logger.Error("response not logged", "error", err)
			c.node.endLate(id, a)
			return err
		}
		time.Sleep(pause)
	}
}
