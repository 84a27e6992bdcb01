package mcp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/options"
)

// A Notifier notifies the fleet's clients of changes. Every [Handler] is one;
// [NewNotifier] makes one for a process that serves no requests. It is safe for
// concurrent use. Its methods block for one or two calls to Redis, however many
// clients there are, and return an error if Redis does not confirm the write;
// the notification may then have been sent nevertheless.
//
// Delivery is at least once to each session whose standalone stream (GET) is
// open or is opened again later, across disconnections and the death of
// instances. A subscriptions/listen stream of protocol 2026-07-28 gets every
// change made after its acknowledgement, or ends.
type Notifier struct{ publisher *node.Publisher }

// NotifierOptions configure [NewNotifier].
type NotifierOptions struct {
	// Redis is the fleet's. Required; it stays the caller's.
	Redis rueidis.Client
	// Prefix is the fleet's. If empty, "mcp".
	Prefix string
	// RedisTimeout bounds each call to Redis. If zero, 2 seconds.
	RedisTimeout time.Duration
}

// NewNotifier returns a notifier for the fleet with the given Redis and prefix.
// It does no I/O, starts no goroutine and needs no closing.
func NewNotifier(opts *NotifierOptions) (*Notifier, error) {
	if opts == nil || opts.Redis == nil {
		return nil, errors.New("fleet: NotifierOptions.Redis is nil: a fleet needs a Redis client")
	}
	if err := options.AtLeast("RedisTimeout", opts.RedisTimeout, time.Millisecond); err != nil {
		return nil, fmt.Errorf("fleet: Notifier%w", err) // err begins with "Options."
	}
	publisher, err := node.NewPublisher(&node.PublisherOptions{Redis: opts.Redis, Prefix: opts.Prefix, RedisTimeout: opts.RedisTimeout})
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	return &Notifier{publisher}, nil
}

// ResourceUpdated sends notifications/resources/updated to all clients that are
// subscribed to the resource. Use it in place of the SDK's
// Server.ResourceUpdated, which reaches only requests that run on its own
// instance at that moment.
func (n *Notifier) ResourceUpdated(ctx context.Context, uri string) error {
	return n.publisher.ResourceUpdated(ctx, uri)
}

// ToolsChanged sends notifications/tools/list_changed to every client, but for
// those whose server has declared tools without listChanged.
func (n *Notifier) ToolsChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, bus.Tools)
}

// PromptsChanged is [Notifier.ToolsChanged] for the list of prompts.
func (n *Notifier) PromptsChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, bus.Prompts)
}

// ResourcesChanged is [Notifier.ToolsChanged] for the list of resources.
func (n *Notifier) ResourcesChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, bus.Resources)
}

// Notify sends a notification of any method to one session, on its standalone
// stream; params are encoded as JSON and must be an object or nil. If no client
// reads the stream, the notification waits there. Log messages are sent
// whatever level the client has set; use [Stream.Log] to honour it. Notify
// fails with session.ErrNotFound if there is no such session.
func (n *Notifier) Notify(ctx context.Context, session, method string, params any) error {
	return n.publisher.Notify(ctx, session, method, params)
}
