package mcp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Options configure a [Handler]. Only Redis is required; the zero value of any
// other field means its default. All instances of a fleet must have the same
// options.
type Options struct {
	// Redis is a client of the Redis that the fleet shares, version 6.2 or newer:
	// standalone, Sentinel, Cluster or Valkey. The caller keeps ownership and
	// closes it after [Handler.Shutdown].
	Redis rueidis.Client
	// Prefix is the first part of every key, of letters, digits and _.:- only.
	// Handlers with different prefixes share nothing. If empty, "mcp".
	Prefix string
	// Logger receives what an operator should know, never tokens, message bodies
	// or whole session ids. If nil, nothing is logged.
	Logger *slog.Logger

	// SessionTTL is how long an idle session lives. Open streams and running
	// calls count as use. It is also how long the values of a user without sessions
	// live after their last use; see session.Values. If zero, 5 minutes.
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

	// AllowedHosts are the values of the Host header that are served, with or
	// without a port. If empty, every host is served, except that connections
	// to a loopback address are served for loopback hosts only.
	AllowedHosts []string
	// AllowedOrigins are the origins whose pages may call, besides those of
	// loopback hosts. They are written as browsers send them, in lower case and
	// without a default port: "https://app.example.com". Requests without an
	// Origin header do not come from a page of another origin and are not checked.
	AllowedOrigins []string

	// StreamAfter is how long a call may run before its response becomes an SSE
	// stream, even if there is nothing to send yet. If zero, 1 second.
	StreamAfter time.Duration
	// KeepAlive is how long a stream may be silent before a comment is sent on
	// it. If zero, 15 seconds.
	KeepAlive time.Duration
	// WriteTimeout is how long a client may take nothing of what is written to it,
	// in place of http.Server.WriteTimeout. If zero, 10 seconds.
	WriteTimeout time.Duration
	// MinWriteRate is how many bytes a second a client must take of a response or an
	// event that is so large that it takes longer than WriteTimeout. A slower client is
	// cut; where there is a stream, it can resume. If zero, 64 KiB.
	MinWriteRate int
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
	// DrainDelay is how long [Handler.Shutdown] goes on serving after it has begun
	// to fail [Handler.Ready]: as long as balancers need to notice. If zero, they
	// get no time.
	DrainDelay time.Duration

	// MaxBody bounds a request's body, in bytes. If zero, 4 MiB. A body
	// has 30 seconds to arrive. A larger response to a request of the server
	// fails that request.
	MaxBody int64
	// MaxBodies bounds, in bytes, what has arrived of the bodies that this instance
	// reads and decodes at once. A request beyond it is refused with 503 and Retry-After.
	// Bodies of up to 64 KiB count only while they arrive. A body costs up to about 25
	// times its size until the garbage collector has been there. It must not be less
	// than MaxBody. If zero, 16 times MaxBody.
	MaxBodies int64
	// MaxInitialize bounds what is stored of the parameters of initialize, in bytes.
	// If they have more than 16 KiB, they are stored without the client's icons. If
	// zero, 64 KiB.
	MaxInitialize int
	// MaxCalls bounds the running calls of a session on one instance, and
	// separately its running notification handlers. If zero, 64 each.
	MaxCalls int
	// MaxParked bounds the calls of protocol 2026-07-28 that have asked their clients
	// something and run still, on one instance, and MaxParkedPerUser those of one user,
	// or without authentication of one connection. Beyond it, what a handler asks fails.
	// They do not count for MaxCalls. If zero, 1,000 and 64.
	MaxParked, MaxParkedPerUser int
	// MaxSessionBytes bounds what is stored of all streams of a session, with 512
	// bytes for each; beyond it, streams that have ended are dropped, the first to
	// end first. If zero, 256 MiB. Each running call may have a stream.
	MaxSessionBytes int
	// MaxEvents and MaxEventBytes bound what is stored of one stream; beyond
	// them, the oldest events are dropped. If zero, 1,000 events and 16 MiB.
	MaxEvents, MaxEventBytes int
	// MaxQueue and MaxQueueBytes bound what is queued in memory for one slow
	// client. The same bounds what a call of protocol 2026-07-28 may ask at once, and
	// what it may say until it has its answers. If zero, 256 messages and 4 MiB.
	MaxQueue, MaxQueueBytes int

	// OnStream, if not nil, is called when the standalone stream of a session, or
	// a subscriptions/listen stream of protocol 2026-07-28, is opened on this
	// instance, on a goroutine of its own. Its context ends when the stream
	// leaves this instance; OnStream must then return.
	OnStream func(ctx context.Context, stream *Stream)

	// DefaultLogLevel is the log level of a client that has not set one. If
	// empty, such a client gets no log messages, as with the SDK's handler.
	DefaultLogLevel mcp.LoggingLevel

	// CrashOnPanic lets a panic in a handler of a server, or in OnStream, end the
	// process. By default, the request gets an internal error, the panic is logged
	// with its stack, and the instance goes on.
	CrashOnPanic bool
}

// validate checks the options that this package itself uses. The session store and
// the node check theirs.
func (o Options) validate() error {
	return cmp.Or(
		options.NonNegative("StreamAfter", o.StreamAfter),
		options.NonNegative("KeepAlive", o.KeepAlive),
		options.NonNegative("WriteTimeout", o.WriteTimeout),
		options.NonNegative("DrainDelay", o.DrainDelay),
		options.NonNegative("MinWriteRate", o.MinWriteRate),
		options.NonNegative("MaxBody", o.MaxBody),
		options.NonNegative("MaxBodies", o.MaxBodies),
		checkHosts(o.AllowedHosts),
		checkOrigins(o.AllowedOrigins),
	)
}

func checkHosts(hosts []string) error {
	for _, host := range hosts {
		if host == "" || strings.ContainsAny(host, "/ *") {
			return fmt.Errorf("Options.AllowedHosts: %q is not a host", host)
		}
	}
	return nil
}

func checkOrigins(origins []string) error {
	for _, origin := range origins {
		if !isOrigin(origin) {
			return fmt.Errorf("Options.AllowedOrigins: %q is not an origin like https://app.example.com", origin)
		}
	}
	return nil
}

// isOrigin reports whether a browser could send the origin: in lower case, and
// without a default port. Origins are compared as they are, so patterns would
// match nothing.
func isOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || strings.ToLower(u.Scheme+"://"+u.Host) != origin {
		return false
	}
	if strings.Contains(origin, "*") || strings.HasSuffix(origin, ":") {
		return false
	}
	return u.Port() == "" || u.Port() != defaultPort(u.Scheme)
}

// defaultPort returns the port that origins of a scheme leave out.
func defaultPort(scheme string) string {
	return map[string]string{"http": "80", "https": "443"}[scheme]
}

func (o Options) withDefaults() Options {
	o.Logger = options.Logger(o.Logger, o.CrashOnPanic)
	options.OrDefault(&o.StreamAfter, time.Second)
	options.OrDefault(&o.KeepAlive, 15*time.Second)
	options.OrDefault(&o.WriteTimeout, 10*time.Second)
	options.OrDefault(&o.MinWriteRate, 64<<10)
	options.OrDefault(&o.MaxBody, 4<<20)
	options.OrDefault(&o.MaxBodies, 16*o.MaxBody)
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
		Log: eventlog.Options{
			MaxEvents: o.MaxEvents, MaxEventBytes: o.MaxEventBytes, MaxSessionBytes: o.MaxSessionBytes, ResumeFor: o.ResumeFor,
		},
		MaxQueue: o.MaxQueue, MaxQueueBytes: o.MaxQueueBytes, MaxCalls: o.MaxCalls,
		MaxParked: o.MaxParked, MaxParkedPerUser: o.MaxParkedPerUser,
		AnswerWithin: o.AnswerWithin, RunDetached: o.RunDetached, RedisTimeout: o.RedisTimeout,
		DefaultLogLevel: o.DefaultLogLevel, Logger: o.Logger,
		RequestEnded: errRequestEnded,
	}
}

// errRequestEnded is what a *mcp.ServerSession says that is used after its request
// has ended.
var errRequestEnded = fmt.Errorf("%w; any instance serves the session now: keep its ID and use Notify of fleet.Handler or fleet.Notifier, not the *mcp.ServerSession", node.ErrRequestEnded)

func (o *Options) pace() pace.Limits {
	return pace.Limits{Timeout: o.WriteTimeout, MinRate: o.MinWriteRate}
}
