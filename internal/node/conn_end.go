package node

import (
	"context"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
)

// Leave reports that the client's connection broke. The call goes on; what it
// sends waits in the log if the client has an event id to resume from. Leave
// blocks for one call to Redis if the response has just become a stream. A stateless
// call is cancelled.
func (c *Conn) Leave(ctx context.Context) {
	if c.req.Stateless {
		c.giveUp()
		return
	}
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

// finishUnlessParked is finish, unless the response waits for the client. It waits
// until a front has the response.
func (c *Conn) finishUnlessParked() {
	if c.parked.Load() {
		return
	}
	if t := c.telling.Load(); t != nil {
		t.waitSent()
	}
	c.endRounds()
	c.finish()
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
	if time.Since(c.accepted) > time.Second && !c.req.Stateless {
		c.node.Use(c.session) // the session was in use until now
	}
}
