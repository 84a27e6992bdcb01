package mcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/node"
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
	// WriteTimeout bounds each write to a client, in place of
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

	// MaxBody bounds a request's body, in bytes. If zero, 4 MiB. A body
	// has 30 seconds to arrive.
	MaxBody int64
	// MaxInitialize bounds the parameters of initialize, in bytes; they are
	// stored with the session. If zero, 16 KiB.
	MaxInitialize int
	// MaxCalls bounds the running calls of a session on one instance, and
	// separately its running notification handlers. If zero, 64 each.
	MaxCalls int
	// MaxStreams bounds the open call streams of a session. If zero, 16.
	MaxStreams int
	// MaxEvents and MaxEventBytes bound what is stored of one stream; beyond
	// them, the oldest events are dropped. If zero, 1,000 events and 16 MiB.
	MaxEvents, MaxEventBytes int
	// MaxQueue and MaxQueueBytes bound what is queued in memory for one slow
	// client. If zero, 256 messages and 4 MiB.
	MaxQueue, MaxQueueBytes int

	// OnStream, if not nil, is called when the standalone stream of a session, or
	// a subscriptions/listen stream of protocol 2026-07-28, is opened on this
	// instance, on a goroutine of its own. Its context ends when the stream
	// leaves this instance; OnStream must then return.
	OnStream func(ctx context.Context, stream *Stream)

	// DefaultLogLevel is the log level of a client that has not set one. If
	// empty, such a client gets no log messages, as with the SDK's handler.
	DefaultLogLevel mcp.LoggingLevel
}

// maxHeld bounds the GET requests that wait for Redis to come back, and hold
// how long each does.
const (
	maxHeld = 256
	hold    = 30 * time.Second
)

func (o Options) withDefaults() (Options, error) {
	if o.Redis == nil {
		return o, errors.New("Options.Redis is nil: a fleet needs a Redis client")
	}
	for name, v := range map[string]int64{
		"SessionTTL": int64(o.SessionTTL), "SessionLifetime": int64(o.SessionLifetime), "SessionsPerUser": int64(o.SessionsPerUser),
		"CacheTTL": int64(o.CacheTTL), "StreamAfter": int64(o.StreamAfter), "KeepAlive": int64(o.KeepAlive),
		"WriteTimeout": int64(o.WriteTimeout), "ResumeFor": int64(o.ResumeFor), "AnswerWithin": int64(o.AnswerWithin),
		"RunDetached": int64(o.RunDetached), "RedisTimeout": int64(o.RedisTimeout), "MaxBody": o.MaxBody,
		"MaxInitialize": int64(o.MaxInitialize), "MaxCalls": int64(o.MaxCalls), "MaxStreams": int64(o.MaxStreams),
		"MaxEvents": int64(o.MaxEvents), "MaxEventBytes": int64(o.MaxEventBytes),
		"MaxQueue": int64(o.MaxQueue), "MaxQueueBytes": int64(o.MaxQueueBytes),
	} {
		if v < 0 {
			return o, fmt.Errorf("Options.%s is negative", name)
		}
	}
	for _, f := range []struct {
		name    string
		is, min time.Duration
	}{
		{"SessionTTL", o.SessionTTL, time.Second}, {"SessionLifetime", o.SessionLifetime, time.Second},
		{"CacheTTL", o.CacheTTL, time.Millisecond}, {"RedisTimeout", o.RedisTimeout, time.Millisecond},
	} {
		if f.is != 0 && f.is < f.min {
			return o, fmt.Errorf("Options.%s is %v, under %v", f.name, f.is, f.min)
		}
	}
	if o.DefaultLogLevel != "" && !node.ValidLogLevel(o.DefaultLogLevel) {
		return o, fmt.Errorf("Options.DefaultLogLevel: %q is not a log level", o.DefaultLogLevel)
	}
	for _, host := range o.AllowedHosts {
		if host == "" || strings.ContainsAny(host, "/ *") {
			return o, fmt.Errorf("Options.AllowedHosts: %q is not a host", host)
		}
	}
	for _, origin := range o.AllowedOrigins {
		// Browsers send origins in lower case and without a default port, and nobody
		// matches patterns.
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || strings.ToLower(u.Scheme+"://"+u.Host) != origin || strings.Contains(origin, "*") ||
			strings.HasSuffix(origin, ":") || u.Port() == defaultPort(u.Scheme) && u.Port() != "" {
			return o, fmt.Errorf("Options.AllowedOrigins: %q is not an origin like https://app.example.com", origin)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.StreamAfter, time.Second)
	setDefault(&o.KeepAlive, 15*time.Second)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.MaxBody, 4<<20)
	return o, nil
}

// defaultPort returns the port that origins of a scheme leave out.
func defaultPort(scheme string) string {
	return map[string]string{"http": "80", "https": "443"}[scheme]
}

func setDefault[T int64 | time.Duration](p *T, def T) {
	if *p == 0 {
		*p = def
	}
}

func (o Options) store() *sessionstore.Options {
	return &sessionstore.Options{
		Prefix: o.Prefix, TTL: o.SessionTTL, MaxLifetime: o.SessionLifetime, MaxPerOwner: o.SessionsPerUser,
		CacheTTL: o.CacheTTL, MaxParams: o.MaxInitialize, Timeout: o.RedisTimeout,
	}
}

func (o Options) node() *node.Options {
	return &node.Options{
		Prefix:   o.Prefix,
		Log:      eventlog.Options{MaxEvents: o.MaxEvents, MaxBytes: o.MaxEventBytes, MaxStreams: o.MaxStreams, ResumeFor: o.ResumeFor},
		MaxQueue: o.MaxQueue, MaxQueueBytes: o.MaxQueueBytes, MaxCalls: o.MaxCalls,
		AnswerWithin: o.AnswerWithin, RunDetached: o.RunDetached, Timeout: o.RedisTimeout,
		DefaultLogLevel: o.DefaultLogLevel, Logger: o.Logger,
		RequestEnded: errRequestEnded,
	}
}

// errRequestEnded is what a *mcp.ServerSession says that is used after its request
// has ended.
var errRequestEnded = fmt.Errorf("%w; any instance serves the session now: keep its ID and use Notify of fleet.Handler or fleet.Notifier, not the *mcp.ServerSession", node.ErrRequestEnded)

// isLoopback reports whether host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
