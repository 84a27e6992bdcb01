package bus

import (
	"context"
	_ "embed"
	"strconv"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A failover of Redis may lose the end of the bus. What it held cannot be known
// any more, so every instance has to learn that anything may have changed: those
// that had read what was lost, those that had not, and those that join later. The
// first that notices marks the place on the bus.

// checkLink compares the entry that comes with the last one read: each message
// names the one before it.
func (b *Bus) checkLink(at Position, link string) {
	read := b.Position()
	previous, linked := ParsePosition(link)
	switch {
	case read == Position{}: // the first message; before it there may have been others
		b.feeds.reset(at.previous())
	case !linked || previous == read: // without a link it is a mark, or of an older instance
	default:
		b.logger.Warn("messages of the bus were missed")
		b.feeds.reset(at.previous())
		if previous.Before(read) {
			b.readBeforeLoss = read
		}
	}
}

// checkEnd keeps the bus alive, and notices if it ends before where this instance
// has read it: then a failover has lost its end. Messages published since would
// not be read as long as their ids are smaller.
func (b *Bus) checkEnd(ctx context.Context) error {
	kept := b.rdb.Do(ctx, b.rdb.B().Pexpire().Key(b.keys.Bus()).Milliseconds(busTTL.Milliseconds()).Build()).Error()
	end, err := b.end(ctx)
	if err != nil {
		return err
	}
	if read := b.Position(); end.Before(read) {
		b.readBeforeLoss = read
	}
	if kept != nil {
		return redisx.Unavailable("keep the bus", kept)
	}
	return nil
}

// end returns the position of the last message of the bus.
func (b *Bus) end(ctx context.Context) (Position, error) {
	last, err := b.rdb.Do(ctx, b.rdb.B().Xrevrange().Key(b.keys.Bus()).End("+").Start("-").Count(1).Build()).AsXRange()
	if err != nil {
		return Position{}, redisx.Unavailable("read the end of the bus", err)
	}
	if len(last) == 0 {
		return Position{}, nil
	}
	end, _ := ParsePosition(last[0].ID)
	return end, nil
}

var (
	//go:embed lua/bus_mark_loss.lua
	busMarkLossLua string

	busMarkLoss = redisx.NewRepeatableScript("mark a loss on the bus", busMarkLossLua)
)

// markLoss marks the place where the bus has lost its end, for all instances:
// also those that had not read so far, and those that join later.
func (b *Bus) markLoss(ctx context.Context) error {
	b.logger.Warn("the bus has lost its end")
	read := b.readBeforeLoss
	args := []string{read.String(), strconv.FormatUint(read.ms, 10), Position{read.ms + 1, 0}.String(), redisx.Millis(busTTL), kindEndLost}
	_, err := busMarkLoss.Exec(ctx, b.rdb, []string{b.keys.Bus()}, append(args, endLost{}.encode()...)...)
	if err == nil {
		b.readBeforeLoss = Position{}
	}
	return err
}
