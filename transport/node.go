package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/session"
)

// A Node is one instance of a fleet. It is safe for concurrent use, and must be
// ended with [Node.Shutdown]. It costs a few goroutines, whatever the number of
// sessions.
type Node struct {
	opts      Options
	store     *sessionstore.Store
	node      *node.Node
	publisher *node.Publisher
	runner    *runner.Runner
	logger    *slog.Logger

	draining atomic.Bool
	closed   chan struct{}
	cutShort error // what Shutdown returns; set before closed is closed
}

// NewNode joins the fleet. It blocks for a few calls to Redis, and fails if an
// option is invalid, if Redis is unavailable, or if Redis lacks something that a
// fleet needs.
func NewNode(ctx context.Context, opts *Options) (*Node, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	o := opts.withDefaults()
	store, err := sessionstore.NewStore(o.store())
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	inner, err := node.NewNode(ctx, o.node(store))
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	logger := o.Logger.With("instance", inner.ID())
	return &Node{
		opts:      o,
		store:     store,
		node:      inner,
		publisher: inner.Publisher(),
		runner:    runner.New(inner, store, logger, o.CrashOnPanic),
		logger:    logger,
		closed:    make(chan struct{}),
	}, nil
}

// ID returns the node's random name, which its log lines have as "instance".
func (n *Node) ID() string { return n.node.ID() }

// Sessions returns the fleet's sessions. Tools keep data of their own with them;
// see [session.NewValues].
func (n *Node) Sessions() *session.Store { return (*session.Store)(n.store) }

// Ready returns nil if the node can serve, and otherwise an error that says why
// not. It blocks for one call to Redis.
func (n *Node) Ready(ctx context.Context) error {
	if n.draining.Load() {
		return ErrClosed
	}
	return n.node.Ready(ctx)
}

// Shutdown takes the node out of the fleet. New calls are refused with
// [ErrClosed] at once. Running calls finish, and may still send requests to
// their clients; those that have not finished when ctx ends get an error as their
// response. Then open streams end, so that clients resume them elsewhere.
//
// It returns ctx's error if calls had to be cut short. It is idempotent; the
// Redis client may be closed after it. Call it before http.Server.Shutdown,
// which waits for open streams.
func (n *Node) Shutdown(ctx context.Context) error {
	if n.draining.CompareAndSwap(false, true) {
		n.cutShort = n.node.Idle(ctx)
		// The rest has its own bounds; an expired ctx must not leave it undone.
		n.node.Close(context.WithoutCancel(ctx))
		close(n.closed)
		return n.cutShort
	}
	select {
	case <-n.closed:
		return n.cutShort
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ResourceUpdated sends notifications/resources/updated to all clients of the
// fleet that are subscribed to the resource. Like the other methods that notify
// clients, it blocks for one or two calls to Redis, however many clients there
// are, and fails if Redis does not confirm the write; the notification may then
// have been sent nevertheless. A client gets it at least once, when its
// standalone stream is open or is opened again.
func (n *Node) ResourceUpdated(ctx context.Context, uri string) error {
	return n.publisher.ResourceUpdated(ctx, uri)
}

// ToolsChanged sends notifications/tools/list_changed to every client of the
// fleet, but for those whose server has declared tools without listChanged.
func (n *Node) ToolsChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, bus.Tools)
}

// PromptsChanged is [Node.ToolsChanged] for the list of prompts.
func (n *Node) PromptsChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, bus.Prompts)
}

// ResourcesChanged is [Node.ToolsChanged] for the list of resources.
func (n *Node) ResourcesChanged(ctx context.Context) error {
	return n.publisher.ListChanged(ctx, bus.Resources)
}

// Notify sends a notification of any method to one session, on its standalone
// stream, where it waits if no client reads; params are encoded as JSON and must
// be an object or nil. It fails with session.ErrNotFound if there is no such
// session.
func (n *Node) Notify(ctx context.Context, session, method string, params any) error {
	return n.publisher.Notify(ctx, session, method, params)
}

// failed returns an error for the call with the given id, and logs what an
// operator should know.
func (n *Node) failed(ctx context.Context, id json.RawMessage, err error) error {
	if _, note := httperror.Of(err); note != "" {
		n.logger.ErrorContext(ctx, note, "error", err)
	}
	return &failure{err, id}
}
