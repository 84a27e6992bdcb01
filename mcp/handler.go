package mcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A Handler serves the MCP endpoint of one instance of a fleet: POST, GET and
// DELETE at one URL, under whatever path it is mounted. It is safe for
// concurrent use, and must be ended with [Handler.Shutdown].
//
// Authentication is plain middleware in front of it. The TokenInfo that the
// middleware, such as the SDK's auth.RequireBearerToken, puts into the
// request's context is what tools see, and its UserID is the user that a
// session belongs to. Without such middleware, anyone who knows a session's id
// can use the session. [Handler.Guard] goes in front of the middleware.
//
// A stream ends when its token expires, at TokenInfo.Expiration or, if the middleware
// of package auth knows that it was replaced, when what has replaced it does; and when
// the middleware cancels the request's context because the token was revoked. In
// protocols with sessions that does not end a call: its response waits until
// the same user resumes the stream. A call of 2026-07-28, whose stream cannot
// be resumed, is cancelled with its request's context, but not when its token
// expires: it was allowed when it began.
type Handler struct {
	*Notifier

	getServer func(*http.Request) *mcp.Server
	opts      Options
	store     *sessionstore.Store
	node      *node.Node
	logger    *slog.Logger
	runner    *runner.Runner
	bodies    bodies
	held      chan struct{} // a place for each GET that waits for Redis
	workers   gauge         // goroutines that run the calls of batches
	watchers  watchers
	leaving   atomic.Bool // Shutdown has begun: balancers are to let go
	draining  atomic.Bool // and its delay is over: nothing new is served
	closed    chan struct{}
	cutShort  error // what Shutdown returns; set before closed is closed
}

// NewHandler joins the fleet and returns the handler for this instance.
//
// getServer returns the server for a request, as with the SDK's
// NewStreamableHTTPHandler. It is called once for each request, concurrently for
// several, and may return the same server always or a new one each time. Changes of
// the lists of a server that it returns again are announced; see [Handler.Watch]. If it
// returns nil, the response to a message is 400. The servers of all instances
// must have the same features. A session is of the server that it began with,
// known by its Implementation.Name: for a server of another name it does not
// exist.
//
// NewHandler blocks for a few calls to Redis. It fails if an option is invalid,
// if Redis is unavailable, or if Redis lacks something that a fleet needs.
func NewHandler(getServer func(*http.Request) *mcp.Server, opts *Options) (*Handler, error) {
	if getServer == nil {
		return nil, errors.New("fleet: getServer is nil")
	}
	if opts == nil {
		opts = &Options{}
	}
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	o := opts.withDefaults()
	if err := options.AtLeast("MaxBodies", o.MaxBodies, o.MaxBody); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	store, err := sessionstore.NewStore(o.store())
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	// Each call to Redis is bounded by RedisTimeout, so there is no wait for a
	// caller's context to end.
	ctx := context.Background()
	n, err := node.NewNode(ctx, o.node(store))
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	h := &Handler{
		Notifier:  &Notifier{n.Publisher()},
		getServer: getServer,
		opts:      o,
		store:     store,
		node:      n,
		logger:    o.Logger.With("instance", n.ID()),
		bodies:    bodies{limit: o.MaxBodies},
		held:      make(chan struct{}, maxHeld),
		closed:    make(chan struct{}),
	}
	h.watchers.announcer = newAnnouncer(h.publisher, h.logger)
	h.runner = runner.New(n, store, h.logger, o.CrashOnPanic)
	h.logger.Info("instance joined the fleet")
	return h, nil
}
