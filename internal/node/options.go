package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Options configure a [Node]. Redis and Store are required; the zero value of
// any other field means its default.
type Options struct {
	// Redis is the client that the node uses. The caller owns it and closes it
	// after [Node.Close].
	Redis rueidis.Client
	// Store has the sessions that the node serves.
	Store *sessionstore.Store
	// Prefix is the first part of every key. If empty, "mcp". All instances of a
	// fleet, and the session store, must have the same.
	Prefix string
	// Log bounds the logs of streams.
	Log eventlog.Options
	// MaxQueue and MaxQueueBytes bound what waits in memory for one open
	// stream. A client that reads more slowly gets the rest from the log, as
	// long as the log has it. If zero, 256 messages and 4 MiB.
	MaxQueue, MaxQueueBytes int
	// MaxCalls bounds the running calls of a session on this instance, and the
	// notifications whose handlers run. If zero, 64 each.
	MaxCalls int
	// MaxParked bounds the calls without a session that wait on this instance for their
	// clients' answers, and MaxParkedPerUser those of a user, or of a connection
	// without users. If zero, 1000 and 64.
	MaxParked, MaxParkedPerUser int
	// AnswerWithin is how long a request to the client (sampling, elicitation,
	// roots) waits for its response. If zero, 10 minutes.
	AnswerWithin time.Duration
	// RunDetached is how long a call may continue after its client has
	// disconnected. If zero, 5 minutes.
	RunDetached time.Duration
	// RedisTimeout bounds each call to Redis. If zero, 2 seconds.
	RedisTimeout time.Duration
	// DefaultLogLevel is the level of a session whose client has not set one.
	// If empty, such a session gets no log messages, as with the SDK's handler.
	DefaultLogLevel mcp.LoggingLevel
	// RequestEnded is what a *mcp.ServerSession says that is used after its
	// request has ended. It should wrap [ErrRequestEnded] and say what to use
	// instead. If nil, [ErrRequestEnded].
	RequestEnded error
	// Logger receives what an operator should know. If nil, nothing is logged.
	Logger *slog.Logger
}

func (o Options) validate() error {
	if o.Store == nil {
		return errors.New("Options.Store is nil")
	}
	if o.DefaultLogLevel != "" && !ValidLogLevel(o.DefaultLogLevel) {
		return fmt.Errorf("Options.DefaultLogLevel: %q is not a log level", o.DefaultLogLevel)
	}
	return cmp.Or(
		options.NonNegative("MaxEvents", o.Log.MaxEvents),
		options.NonNegative("MaxEventBytes", o.Log.MaxEventBytes),
		options.NonNegative("MaxSessionBytes", o.Log.MaxSessionBytes),
		options.NonNegative("ResumeFor", o.Log.ResumeFor),
		options.NonNegative("MaxQueue", o.MaxQueue),
		options.NonNegative("MaxQueueBytes", o.MaxQueueBytes),
		options.NonNegative("MaxCalls", o.MaxCalls),
		options.NonNegative("MaxParked", o.MaxParked),
		options.NonNegative("MaxParkedPerUser", o.MaxParkedPerUser),
		options.NonNegative("AnswerWithin", o.AnswerWithin),
		options.NonNegative("RunDetached", o.RunDetached),
		options.AtLeast("RedisTimeout", o.RedisTimeout, time.Millisecond),
	)
}

func (o Options) withDefaults() Options {
	options.OrDefault(&o.MaxQueue, 256)
	options.OrDefault(&o.MaxQueueBytes, 4<<20)
	options.OrDefault(&o.MaxCalls, 64)
	options.OrDefault(&o.MaxParked, 1000)
	options.OrDefault(&o.MaxParkedPerUser, 64)
	options.OrDefault(&o.AnswerWithin, 10*time.Minute)
	options.OrDefault(&o.RunDetached, 5*time.Minute)
	options.OrDefault(&o.RedisTimeout, redisx.DefaultTimeout)
	if o.RequestEnded == nil {
		o.RequestEnded = ErrRequestEnded
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// The times by which instances judge each other. A reader declares a writer
// dead after its inbox was absent in two checks, so the end of a dead writer's
// stream is at most inboxTTL + 2*checkEvery away.
const (
	inboxTTL   = 6 * time.Second
	renewEvery = 2 * time.Second
	checkEvery = 3 * time.Second
)
