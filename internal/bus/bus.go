package bus

import (
	"context"
	_ "embed"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

const (
	maxEntries = 10_000    // about how many messages the bus keeps
	busTTL     = time.Hour // how long the bus outlives its last instance or message
)

// A Bus is one process's connection to the bus. It is safe for concurrent use. A
// process that only publishes needs neither [Bus.Join] nor [Bus.Run].
type Bus struct {
	rdb    redisx.Client
	keys   rediskeys.Space
	logger *slog.Logger
	feeds  *feeds

	// readBeforeLoss is up to where the bus had been read when it lost its end;
	// zero if it has not, or if that is marked. It is for Join, then for Run alone.
	readBeforeLoss Position
}

// New returns the bus of a key space. It does no I/O.
func New(rdb redisx.Client, keys rediskeys.Space, logger *slog.Logger) *Bus {
	return &Bus{rdb: rdb, keys: keys, logger: logger, feeds: newFeeds()}
}

// Position returns up to where the bus has been read here.
func (b *Bus) Position() Position { return b.feeds.tail.position() }

// NewFeed returns a feed that wants nothing until it is opened. It calls wake,
// which must not block, when there may be something to take.
func (b *Bus) NewFeed(wake func()) *Feed { return &Feed{feeds: b.feeds, wake: wake} }

var (
	//go:embed lua/bus_publish.lua
	busPublishLua string

	busPublish = redisx.NewScript("publish on the bus", busPublishLua)
)

// Publish tells every instance something. A message whose fate is unknown is
// published again, so it may arrive more than once. Publish blocks for one call to
// Redis; after [redisx.ErrUnavailable] the message may have been published.
func (b *Bus) Publish(ctx context.Context, m Message) error {
	args := append([]string{strconv.Itoa(maxEntries), redisx.Millis(busTTL)}, m.encode()...)
	return b.rdb.RetryWrite(func(rdb redisx.Client) error {
		_, err := busPublish.Exec(ctx, rdb, []string{b.keys.Bus()}, args...)
		return err
	})
}

// Join reads the end of the bus, so that clients which were away find on a new
// instance what they have missed. It blocks for two calls to Redis, and fails with
// [redisx.ErrUnavailable]. Of what it reads only changes count: nothing that the
// other messages are about runs here yet.
func (b *Bus) Join(ctx context.Context) error {
	if err := b.Publish(ctx, hello{}); err != nil {
		return err
	}
	entries, err := b.rdb.Do(ctx, b.rdb.B().Xrevrange().Key(b.keys.Bus()).End("+").Start("-").Count(maxEntries).Build()).AsXRange()
	if err != nil {
		return redisx.Unavailable("read the bus", err)
	}
	for _, e := range slices.Backward(entries) {
		b.apply(e, Handlers{})
	}
	return nil
}

// Handlers act on the messages that are about what runs on this instance. They
// must not block. Messages without a handler are passed over.
type Handlers struct {
	SessionEnded  func(SessionEnded)
	CallCancelled func(CallCancelled)
}

// checkEvery is how often an instance that reads nothing looks whether the bus
// still ends where it has read it.
const checkEvery = 5 * time.Second

// Run acts on every message of the bus until ctx ends. It is called once, after
// [Bus.Join].
func (b *Bus) Run(ctx context.Context, h Handlers) {
	checkAt := time.Now().Add(checkEvery)
	for ctx.Err() == nil {
		read, err := b.rdb.ReadStreams(ctx, []string{b.keys.Bus()}, []string{b.Position().String()})
		entries := read[b.keys.Bus()]
		for _, e := range entries {
			b.apply(e, h)
		}
		if err == nil && len(entries) == 0 && time.Now().After(checkAt) {
			err = b.checkEnd(ctx)
			checkAt = time.Now().Add(checkEvery)
		}
		if err == nil && b.readBeforeLoss != (Position{}) {
			err = b.markLoss(ctx)
		}
		if err != nil {
			redisx.Pause(ctx, b.logger, "bus not read", err)
		}
	}
}

// apply acts on one entry of the bus: what clients hear of goes into the tail, what
// concerns calls and sessions here to its handler. It must not block.
func (b *Bus) apply(e rueidis.XRangeEntry, h Handlers) {
	at, ok := ParsePosition(e.ID)
	if !ok {
		return
	}
	f := e.FieldValues
	b.checkLink(at, f["p"])
	if f["v"] != EnvelopeVersion {
		b.feeds.tail.advance(at)
		return
	}
	switch f["k"] {
	case kindResourceUpdated:
		b.feeds.apply(newUpdate(at, decodeResourceUpdated(f).URI))
	case kindListChanged:
		b.applyListChanged(at, decodeListChanged(f))
	case kindEndLost:
		b.feeds.reset(at)
	case kindSessionEnded:
		b.feeds.tail.advance(at)
		handle(h.SessionEnded, decodeSessionEnded(f))
	case kindCallCancelled:
		b.feeds.tail.advance(at)
		handle(h.CallCancelled, decodeCallCancelled(f))
	default: // hello, or a kind of a newer instance
		b.feeds.tail.advance(at)
	}
}

func handle[M Message](handler func(M), m M) {
	if handler != nil {
		handler(m)
	}
}

func (b *Bus) applyListChanged(at Position, m ListChanged) {
	if !m.List.Valid() { // a list of a newer instance
		b.feeds.tail.advance(at)
		return
	}
	b.feeds.apply(newListChange(at, m.List))
}

// Reach waits until this instance has read the bus up to a position, for the time
// of one call to Redis at most. A client may come from an instance that was
// quicker: here it would seem to be from before a failover. If the bus does not go
// that far the client is from before one, and Reach returns at once.
func (b *Bus) Reach(ctx context.Context, at Position) {
	reached := func() bool { return !b.Position().Before(at) }
	if reached() {
		return
	}
	if end, err := b.end(ctx); err != nil || end.Before(at) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.rdb.Timeout)
	defer cancel()
	_ = b.feeds.tail.moved.Until(ctx, reached) // if it is not reached, the client is told of everything
}
