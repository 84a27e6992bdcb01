package node

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A Publisher notifies the fleet's clients of changes, from any process with
// access to the fleet's Redis. It is safe for concurrent use, starts no
// goroutine and needs no closing. Every method blocks for one or two calls to
// Redis, each within the timeout, however many clients there are. It fails with
// [sessionstore.ErrUnavailable] if Redis does not confirm the write; the
// notification may then have been sent nevertheless. The end of ctx does not
// stop it.
type Publisher struct {
	rdb    redisx.Client
	keys   rediskeys.Space
	log    *Log
	logger *slog.Logger
}

// PublisherOptions configure [NewPublisher].
type PublisherOptions struct {
	// Redis is the fleet's. Required; it stays the caller's.
	Redis rueidis.Client
	// Prefix is the fleet's. If empty, "mcp".
	Prefix string
	// RedisTimeout bounds each call to Redis. If zero, 2 seconds.
	RedisTimeout time.Duration
}

// NewPublisher returns a publisher for a fleet. It does no I/O.
func NewPublisher(opts *PublisherOptions) (*Publisher, error) {
	if err := options.AtLeast("RedisTimeout", opts.RedisTimeout, time.Millisecond); err != nil {
		return nil, err
	}
	return newPublisher(Options{Redis: opts.Redis, Prefix: opts.Prefix, RedisTimeout: opts.RedisTimeout}.withDefaults())
}

func newPublisher(o Options) (*Publisher, error) {
	if o.Redis == nil {
		return nil, errors.New("Options.Redis is nil")
	}
	space, err := rediskeys.New(o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("Options.Prefix: %w", err)
	}
	rdb := redisx.New(o.Redis, o.RedisTimeout)
	return &Publisher{rdb: rdb, keys: space, log: &Log{rdb, space, o.Log}, logger: o.Logger}, nil
}

var (
	//go:embed lua/bus_publish.lua
	busPublishLua string

	busPublish = redisx.NewScript("publish on the bus", busPublishLua)
)

const (
	maxBus = 10_000    // about how many messages the bus keeps
	busTTL = time.Hour // of a bus without instances
)

// How often a change of Redis is tried again that failed at once, and how soon:
// rueidis keeps up to four connections, and finds out that one has broken, as
// all have after a failover, only when it is used.
const (
	retries    = 4
	retryAfter = 10 * time.Millisecond
)

// insist does what changes Redis, and does it again if it failed before its time
// was up, as it does over a broken connection: rueidis does not repeat writes.
// All tries together have the time of one, so that Redis, when it hangs, holds
// nobody up for longer.
func insist(rdb redisx.Client, do func(rdb redisx.Client) error) error {
	deadline := time.Now().Add(rdb.Timeout)
	for try := 0; ; try++ {
		err := do(rdb)
		rdb.Timeout = time.Until(deadline) - retryAfter
		if !errors.Is(err, redisx.ErrUnavailable) || try == retries || rdb.Timeout <= 0 {
			return err
		}
		time.Sleep(retryAfter)
	}
}

// publish tells every instance something. A message whose fate is unknown is
// published again, so it may arrive more than once.
func (p *Publisher) publish(ctx context.Context, fields ...string) error {
	args := append([]string{strconv.Itoa(maxBus), strconv.FormatInt(busTTL.Milliseconds(), 10), "v", envelopeVersion}, fields...)
	return insist(p.rdb, func(rdb redisx.Client) error {
		_, err := busPublish.Exec(ctx, rdb, []string{p.keys.Bus()}, args...)
		return err
	})
}

// ResourceUpdated notifies every session and every listener that is subscribed
// to the resource that it was updated. It fails with [sessionstore.ErrTooLarge] for
// a URI longer than 8 KiB.
func (p *Publisher) ResourceUpdated(ctx context.Context, uri string) error {
	if len(uri) > sessionstore.MaxURI {
		return fmt.Errorf("publish an update of a URI of %d bytes: %w", len(uri), sessionstore.ErrTooLarge)
	}
	return p.publish(ctx, "k", kindUpdated, "u", uri)
}

// ListChanged notifies every session, and every listener that asked for it,
// that a list has changed: "tools", "prompts" or "resources".
func (p *Publisher) ListChanged(ctx context.Context, list string) error {
	if !slices.Contains(lists, list) {
		return fmt.Errorf("unknown list %q", list)
	}
	return p.publish(ctx, "k", kindChanged, "l", list)
}

// Notify sends a notification to one session, on its standalone stream, where
// it waits if no client reads. The params are encoded as JSON and must be an
// object, or nil. It fails with [sessionstore.ErrNotFound] if there is no such
// session.
func (p *Publisher) Notify(ctx context.Context, id, method string, params any) error {
	data, err := encodeNotification(method, params)
	if err != nil {
		return fmt.Errorf("notify %s: %w", method, err)
	}
	if !sessionstore.ValidID(id) {
		return sessionstore.ErrNotFound
	}
	return p.say(ctx, StreamID{id, standaloneStream}, "", data, p.deliver)
}

func encodeNotification(method string, params any) ([]byte, error) {
	raw, err := json.Marshal(params)
	switch {
	case err != nil:
		return nil, err
	case method == "":
		return nil, errors.New("the method is empty")
	case string(raw) == "null":
		raw = nil
	case raw[0] != '{':
		return nil, errors.New("the params are not an object")
	}
	return jsonrpcmsg.EncodeRequest(nil, method, raw)
}

// say appends a message to a stream and hands it to the stream's reader.
func (p *Publisher) say(ctx context.Context, id StreamID, writer string, data []byte, deliver func(context.Context, string, Event, bool)) error {
	a := Append{Writer: writer, Tag: newTag(), Data: data}
	var offset int64
	var reader string
	err := insist(p.rdb, func(rdb redisx.Client) (err error) {
		log := &Log{rdb, p.keys, p.log.opts}
		offset, reader, err = log.Append(ctx, id, a)
		a.Again = true
		return err
	})
	if err != nil {
		return err
	}
	deliver(ctx, reader, Event{EventID{Stream: id.Stream, Offset: offset, Tag: a.Tag}, data}, false)
	return nil
}

// deliver sends an appended event to the reader of its stream. It does not
// fail: what does not arrive is in the log, where the reader finds it.
func (p *Publisher) deliver(ctx context.Context, ref string, e Event, end bool) {
	instance, id := splitRef(ref)
	if instance == "" {
		return
	}
	_, err := p.send(ctx, instance, "k", kindEvent, "r", id,
		"o", strconv.FormatInt(e.ID.Offset, 10), "t", e.ID.Tag, "d", rueidis.BinaryString(e.Data), "e", flag(end))
	if err != nil {
		p.logger.Warn("event not sent to its reader", "error", err)
	}
}

// send puts a message into an instance's inbox and reports whether that
// instance lives. A message whose fate is unknown is sent again, so it may
// arrive more than once.
func (p *Publisher) send(ctx context.Context, instance string, fields ...string) (alive bool, err error) {
	args := append([]string{strconv.Itoa(maxInbox), "v", envelopeVersion}, fields...)
	err = insist(p.rdb, func(rdb redisx.Client) error {
		msg, err := inboxSend.Exec(ctx, rdb, []string{p.keys.Inbox(instance)}, args...)
		if err == nil {
			var sent int64
			sent, err = msg.AsInt64()
			alive = sent == 1
		}
		return err
	})
	return alive, err
}
