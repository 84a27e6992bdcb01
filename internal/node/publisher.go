package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A Publisher notifies the fleet's clients of changes, from any process with
// access to the fleet's Redis. It is safe for concurrent use, starts no
// goroutine and needs no closing. Every method blocks for one or two calls to
// Redis, each within the timeout, however many clients there are. It fails with
// [sessionstore.ErrUnavailable] if Redis does not confirm the write; the
// notification may then have been sent nevertheless. The end of ctx does not
// stop it.
type Publisher struct{ link }

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
	l, err := newLink(Options{Redis: opts.Redis, Prefix: opts.Prefix, RedisTimeout: opts.RedisTimeout}.withDefaults())
	if err != nil {
		return nil, err
	}
	return &Publisher{l}, nil
}

// ResourceUpdated notifies every session and every listener that is subscribed
// to the resource that it was updated. It fails with [sessionstore.ErrTooLarge] for
// a URI longer than 8 KiB.
func (p *Publisher) ResourceUpdated(ctx context.Context, uri string) error {
	if len(uri) > sessionstore.MaxURI {
		return fmt.Errorf("publish an update of a URI of %d bytes: %w", len(uri), sessionstore.ErrTooLarge)
	}
	return p.bus.Publish(ctx, bus.ResourceUpdated{URI: uri})
}

// ListChanged notifies every session, and every listener that asked for it,
// that a list has changed.
func (p *Publisher) ListChanged(ctx context.Context, list bus.List) error {
	if !list.Valid() {
		return fmt.Errorf("unknown list %q", list)
	}
	return p.bus.Publish(ctx, bus.ListChanged{List: list})
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
	switch {
	case sessionstore.IsStateless(id):
		return errStateless
	case !sessionstore.ValidID(id):
		return sessionstore.ErrNotFound
	}
	e, reader, err := p.append(ctx, id, data)
	if err == nil {
		p.sendEvent(ctx, id, reader, e, false)
	}
	return err
}

func encodeNotification(method string, params any) ([]byte, error) {
	raw, err := json.Marshal(params)
	switch {
	case err != nil:
		return nil, err
	case method == "":
		return nil, errNoMethod
	case string(raw) == "null":
		raw = nil
	case raw[0] != '{':
		return nil, errParamsObject
	}
	return jsonrpcmsg.EncodeRequest(nil, method, raw)
}
