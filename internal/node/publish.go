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

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
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
	log    *eventlog.Log
	logger *slog.Logger
}

// NewPublisher returns a publisher for the fleet with the given prefix; if
// empty, "mcp". A timeout of zero is 2 seconds. It does no I/O.
func NewPublisher(client rueidis.Client, prefix string, timeout time.Duration) (*Publisher, error) {
	return newPublisher(client, Options{Prefix: prefix, Timeout: timeout}.withDefaults())
}

func newPublisher(client rueidis.Client, o Options) (*Publisher, error) {
	if client == nil {
		return nil, errors.New("the Redis client is nil")
	}
	space, err := rediskeys.New(o.Prefix)
	if err != nil {
		return nil, err
	}
	rdb := redisx.New(client, o.Timeout)
	return &Publisher{rdb: rdb, keys: space, log: eventlog.New(rdb, space, o.Log), logger: o.Logger}, nil
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

// publish tells every instance something. A message whose fate is unknown is
// published again, so it may arrive more than once.
func (p *Publisher) publish(ctx context.Context, fields ...string) error {
	args := append([]string{strconv.Itoa(maxBus), redisx.Millis(busTTL), "v", envelopeVersion}, fields...)
	return p.rdb.RetryWrite(func(rdb redisx.Client) error {
		_, err := busPublish.Exec(ctx, rdb, []string{p.keys.Bus()}, args...)
		return err
	})
}

// maxURI bounds the URI of a resource, as it is bounded for subscriptions.
const maxURI = 8 << 10

// ResourceUpdated notifies every session and every listener that is subscribed
// to the resource that it was updated. It fails with [sessionstore.ErrTooLarge] for
// a URI longer than 8 KiB.
func (p *Publisher) ResourceUpdated(ctx context.Context, uri string) error {
	if len(uri) > maxURI {
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
	e, reader, err := p.append(ctx, eventlog.StandaloneOf(id), "", data)
	if err == nil {
		p.deliver(ctx, reader, e, false)
	}
	return err
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

// append adds a message to a stream, and returns the event and the stream's reader.
func (p *Publisher) append(ctx context.Context, id eventlog.StreamID, writer string, data []byte) (e eventlog.Event, reader string, err error) {
	return p.log.AppendRetried(ctx, id, eventlog.Append{Writer: writer, Nonce: eventlog.NewNonce(), Data: data})
}

// deliver sends an appended event to the reader of its stream. It does not
// fail: what does not arrive is in the log, where the reader finds it.
func (p *Publisher) deliver(ctx context.Context, ref string, e eventlog.Event, end bool) {
	instance, id := splitRef(ref)
	if instance == "" {
		return
	}
	_, err := p.send(ctx, instance, "k", kindEvent, "r", id,
		"o", strconv.FormatInt(e.ID.Offset, 10), "t", e.ID.Nonce, "d", rueidis.BinaryString(e.Data), "e", redisx.Flag(end))
	if err != nil {
		p.logger.Warn("event not sent to its reader", "error", err)
	}
}

// send puts a message into an instance's inbox and reports whether that
// instance lives. A message whose fate is unknown is sent again, so it may
// arrive more than once.
func (p *Publisher) send(ctx context.Context, instance string, fields ...string) (alive bool, err error) {
	args := append([]string{strconv.Itoa(maxInbox), "v", envelopeVersion}, fields...)
	err = p.rdb.RetryWrite(func(rdb redisx.Client) error {
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
