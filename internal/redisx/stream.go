package redisx

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/rueidis"
)

// ReadWait is how long [Client.ReadStreams] waits for entries.
const ReadWait = time.Second

// ReadStreams returns the entries of Redis Streams after a position in each, for
// which it waits at most [ReadWait]; none if there are none. The keys must be of one
// slot. The end of ctx stops it.
func (c Client) ReadStreams(ctx context.Context, keys, positions []string) (map[string][]rueidis.XRangeEntry, error) {
	// A connection that went dead without a word is noticed by a bound. It is
	// not a deadline: with one, rueidis does not look at ctx until then, and
	// whoever ends ctx would have to wait.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(ReadWait+c.Timeout, cancel).Stop()
	// rueidis runs it on a connection of its own and, when that breaks, repeats it
	// on another: it must be pinned.
	cmd := c.B().Xread().Count(256).Block(ReadWait.Milliseconds()).Streams().Key(keys...).Id(positions...).Build().Pin()
	streams, err := c.Client.Do(ctx, cmd).AsXRead()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return streams, err
}

// Pause logs a failure of a loop and waits a moment, so that the loop does not
// spin while Redis is away. After the end of ctx it does neither.
func Pause(ctx context.Context, logger *slog.Logger, failure string, err error) {
	if ctx.Err() != nil {
		return
	}
	logger.Warn(failure, "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(250 * time.Millisecond):
	}
}
