package transport

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Options configure a [Node]. Only Redis is required; the zero value of any
// other field means its default. All nodes of a fleet must have the same
// options. Names, meanings and defaults are those of package mcp.
type Options struct {
	// Redis is a client of the Redis that the fleet shares, version 6.2 or newer:
	// standalone, Sentinel, Cluster or Valkey. The caller keeps ownership and
	// closes it after [Node.Shutdown].
	Redis rueidis.Client
	// Prefix is the first part of every key, of letters, digits and _.:- only.
	// Nodes with different prefixes share nothing. If empty, "mcp".
	Prefix string
	// Logger receives what an operator should know, never tokens, message bodies
	// or whole session ids. If nil, nothing is logged.
	Logger *slog.Logger

	// SessionTTL is how long an idle session lives. Open streams and running
	// calls count as use. If zero, 5 minutes.
	SessionTTL time.Duration
	// SessionLifetime ends a session this long after it was created, even if it
	// is in use. If zero, a session in use does not end.
	SessionLifetime time.Duration
	// SessionsPerUser bounds the number of a user's sessions, approximately. If
	// zero, it is not bounded. Sessions without a user are not counted.
	SessionsPerUser int
	// CacheTTL bounds how long an instance that has not been told that a session
	// has ended continues to accept calls for it. If zero, 5 seconds.
	CacheTTL time.Duration

	// StreamAfter is how long a call may run before its response becomes a
	// stream, even if there is nothing to send yet. If zero, 1 second.
	StreamAfter time.Duration
	// KeepAlive is how long a stream over HTTP may be silent before a comment is
	// sent on it. If zero, 15 seconds.
	KeepAlive time.Duration
	// WriteTimeout bounds each write to a client over HTTP, in place of
	// http.Server.WriteTimeout. If zero, 10 seconds.
	WriteTimeout time.Duration
	// ResumeFor is how long a call's stream can still be resumed after its last
	// event. If zero, 5 minutes.
	ResumeFor time.Duration
	// AnswerWithin is how long a request to the client (sampling, elicitation,
	// roots) waits for its response. If zero, 10 minutes.
	AnswerWithin time.Duration
	// RunDetached is how long a call may continue after its client has
	// disconnected. If zero, 5 minutes.
	RunDetached time.Duration
	// RedisTimeout bounds each call to Redis. If zero, 2 seconds.
	RedisTimeout time.Duration

	// MaxInitialize bounds the parameters of initialize, in bytes; they are
	// stored with the session. If zero, 16 KiB.
	MaxInitialize int
	// MaxCalls bounds the running calls of a session on one instance, and
	// separately its running notification handlers. If zero, 64 each.
	MaxCalls int
	// MaxSessionBytes bounds what is stored of all streams of a session, with 512
	// bytes for each; beyond it, streams that have ended are dropped, the first to end
	// first. If zero, 256 MiB.
	MaxSessionBytes int
	// MaxEvents and MaxEventBytes bound what is stored of one stream; beyond
	// them, the oldest events are dropped. If zero, 1,000 events and 16 MiB.
	MaxEvents, MaxEventBytes int
	// MaxQueue and MaxQueueBytes bound what is queued in memory for one slow
	// client. If zero, 256 messages and 4 MiB.
	MaxQueue, MaxQueueBytes int

	// DefaultLogLevel is the log level of a client that has not set one. If
	// empty, such a client gets no log messages, as with the SDK's handler.
	DefaultLogLevel mcp.LoggingLevel
}

// validate checks the options that this package itself uses. The session store and
// the node check theirs.
func (o Options) validate() error {
	return cmp.Or(
		options.NonNegative("StreamAfter", o.StreamAfter),
		options.NonNegative("KeepAlive", o.KeepAlive),
		options.NonNegative("WriteTimeout", o.WriteTimeout),
	)
}

func (o Options) withDefaults() Options {
	options.OrDefault(&o.StreamAfter, time.Second)
	options.OrDefault(&o.KeepAlive, 15*time.Second)
	options.OrDefault(&o.WriteTimeout, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) store() *sessionstore.Options {
	return &sessionstore.Options{
		Redis: o.Redis, Prefix: o.Prefix, SessionTTL: o.SessionTTL, SessionLifetime: o.SessionLifetime, SessionsPerUser: o.SessionsPerUser,
		CacheTTL: o.CacheTTL, MaxInitialize: o.MaxInitialize, RedisTimeout: o.RedisTimeout,
	}
}

func (o Options) node(store *sessionstore.Store) *node.Options {
	return &node.Options{
		Redis: o.Redis, Store: store, Prefix: o.Prefix,
		Log:      eventlog.Options{MaxEvents: o.MaxEvents, MaxEventBytes: o.MaxEventBytes, MaxSessionBytes: o.MaxSessionBytes, ResumeFor: o.ResumeFor},
		MaxQueue: o.MaxQueue, MaxQueueBytes: o.MaxQueueBytes, MaxCalls: o.MaxCalls,
		AnswerWithin: o.AnswerWithin, RunDetached: o.RunDetached, RedisTimeout: o.RedisTimeout,
		DefaultLogLevel: o.DefaultLogLevel, Logger: o.Logger,
		RequestEnded: errRequestEnded,
	}
}

// errRequestEnded is what a *mcp.ServerSession says that is used after its request
// has ended.
var errRequestEnded = fmt.Errorf("%w; any instance serves the session now: keep its ID and use Notify of a Node, not the *mcp.ServerSession", node.ErrRequestEnded)
