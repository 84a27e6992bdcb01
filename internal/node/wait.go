package node

import (
	"context"
	"time"
)

// Wait waits for the response to a call: one body, or a stream. If there is neither
// after streamAfter, the response becomes a stream. The caller serves the stream and
// releases it, and calls [Conn.Leave] if serving fails. If ctx ends first, Wait
// itself calls [Conn.Leave] and returns ctx's error.
func (c *Conn) Wait(ctx context.Context, streamAfter time.Duration) (Response, ResponseStream, error) {
	patience := time.NewTimer(streamAfter)
	defer patience.Stop()
	for {
		select {
		case resp := <-c.response:
			return resp, nil, nil
		case stream := <-c.stream:
			return Response{}, stream, nil
		case <-patience.C:
			if err := c.openStream(ctx); err != nil {
				c.node.logger.WarnContext(ctx, "stream not opened", "error", err)
			}
			patience.Reset(streamAfter)
		case <-ctx.Done():
			c.Leave(ctx)
			return Response{}, nil, ctx.Err()
		}
	}
}
