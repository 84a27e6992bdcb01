package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"strconv"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// What is stored of a session is bounded in bytes, not in streams: each of its calls
// may have one. Streams that have ended are kept for clients that resume them, and
// are the first to go when a session needs the room. Only then does it take more than
// one call to Redis: a script declares its keys before it knows which streams ended.

// streamBytes is what a stream counts for besides its events: about what its state
// takes in Redis.
const streamBytes = 512

// maxDrops is how often streams are dropped to make room for one event.
const maxDrops = 16

var (
	//go:embed lua/stream_drop.lua
	streamDropLua string

	streamDrop = redisx.NewScript("drop streams", streamDropLua)
)

// makeRoom stores something of a session and, while there is no room for it, drops
// streams that have ended. It returns what store returned, behind the status.
func (l *Log) makeRoom(ctx context.Context, session string, store func() (*result, error)) (*result, error) {
	for drops := 0; ; drops++ {
		r, err := store()
		if err != nil {
			return nil, err
		}
		err = statusError(r.text())
		if !errors.Is(err, ErrFull) || len(r.rest) == 0 || drops == maxDrops {
			return r, err
		}
		if err := l.drop(ctx, session, r); err != nil {
			return nil, err
		}
	}
}

// drop drops streams, whose names are left in r.
func (l *Log) drop(ctx context.Context, session string, r *result) error {
	keys := []string{l.keys.OpenStreams(session), l.keys.EndedStreams(session), l.keys.Stored(session)}
	args := []string{strconv.Itoa(l.opts.MaxSessionBytes)}
	for len(r.rest) > 0 {
		stream := r.text()
		keys = append(keys, l.keys.Stream(session, stream), l.keys.Log(session, stream))
		args = append(args, stream)
	}
	_, err := streamDrop.Exec(ctx, l.rdb, keys, args...)
	return err
}
