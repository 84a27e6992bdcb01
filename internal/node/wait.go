package node

import (
	"context"
	"time"
)

// Wait waits until a call is answered: with one body, or with a stream, whose
// reader it returns. If there is neither after streamAfter the reply becomes a
// stream. If ctx ends first, Wait reports that the client has left, and returns
// ctx's error.
func (c *Conn) Wait(ctx context.Context, streamAfter time.Duration) (Response, *Reader, error) {
	patience := time.NewTimer(streamAfter)
	defer patience.Stop()
	for {
		select {
		case resp := <-c.response:
			return resp, nil, nil
		case reader := <-c.stream:
			return Response{}, reader, nil
		case <-patience.C:
			if err := c.OpenStream(ctx); err != nil {
				c.node.opts.Logger.WarnContext(ctx, "stream not opened", "error", err)
			}
			patience.Reset(streamAfter)
		case <-ctx.Done():
			c.Leave(ctx)
			return Response{}, nil, ctx.Err()
		}
	}
}
