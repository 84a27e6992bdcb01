package mcp

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/transport"
)

// A Notifier tells the fleet's clients what has changed. Every [Handler] is
// one; [NewNotifier] makes one for a process that serves nothing. It is safe for
// concurrent use. Its methods block for one or two calls to Redis, however many
// clients there are, and fail if Redis does not take the message; then the
// message may have been sent.
//
// Delivery is at least once to each session whose standalone stream is open or
// is resumed, also across disconnections and deaths of instances. A listener of
// protocol 2026-07-28 gets every change made after its acknowledgement, or its
// stream ends.
type Notifier struct{ publisher *transport.Publisher }

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
// It starts no goroutine and needs no closing.
func NewNotifier(opts *NotifierOptions) (*Notifier, error) {
	if opts == nil || opts.Redis == nil {
		return nil, fmt.Errorf("fleet: NotifierOptions.Redis is nil")
	}
	publisher, err := transport.NewPublisher(opts.Redis, opts.Prefix, opts.RedisTimeout)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	return &Notifier{publisher}, nil
}

// ResourceUpdated tells everybody who is subscribed to a resource that it was
// updated. It takes the place of the SDK's Server.ResourceUpdated, which reaches
// only what runs on its own instance at the moment.
func (n *Notifier) ResourceUpdated(ctx context.Context, uri string) error {
	return n.publisher.ResourceUpdated(ctx, uri)
}

// ToolsChanged tells every client of a server that announces it that the list
// of tools has changed.
func (n *Notifier) ToolsChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, "tools")
}

// PromptsChanged is ToolsChanged for the list of prompts.
func (n *Notifier) PromptsChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, "prompts")
}

// ResourcesChanged is ToolsChanged for the list of resources.
func (n *Notifier) ResourcesChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, "resources")
}

// Notify sends a notification of any method to one session, on its standalone
// stream. If nobody reads that, the notification waits there. Log messages are
// sent whatever level the client has set; [Stream.Log] asks. Notify fails with
// [session.ErrNotFound] if there is no such session.
func (n *Notifier) Notify(ctx context.Context, session, method string, params any) error {
	return n.publisher.Notify(ctx, session, method, params)
}
