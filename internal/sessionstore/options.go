package sessionstore

import (
	"cmp"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Options adjust a [Store]. Only Redis is required; the zero value of any other
// field means its default. All instances of a fleet should use the same.
type Options struct {
	// Redis is the client that the store uses. It must send its reads to
	// primaries. The caller owns it and closes it.
	Redis rueidis.Client
	// Prefix is the first part of every key. If empty, it is "mcp". Letters,
	// digits and _ . : - are allowed.
	Prefix string
	// SessionTTL is how long an unused session lives. If zero, it is 5 minutes.
	// Values under 1 second are an error.
	SessionTTL time.Duration
	// SessionLifetime ends a session this long after its creation, even if it is
	// in use. If zero, a session in use does not end. Values under 1 second are
	// an error.
	SessionLifetime time.Duration
	// SessionsPerUser bounds the sessions of one owner; sessions without an owner
	// are not counted. The bound is approximate: a crash between the two steps
	// of a creation leaves a place taken until the TTL has passed. If zero,
	// there is no bound and nothing is counted.
	SessionsPerUser int
	// CacheTTL bounds how stale a record from [Store.Load] may be. If zero, it
	// is 5 seconds. Values under 1 millisecond are an error. To read without a
	// cache, give the client rueidis.ClientOption.DisableCache.
	CacheTTL time.Duration
	// MaxInitialize bounds the initialize params in bytes. If zero, it is 64 KiB.
	MaxInitialize int
	// MaxValue bounds one of a session's [Values], as JSON, in bytes. If zero,
	// it is 64 KiB.
	MaxValue int
	// MaxValues bounds the number of a session's [Values]. If zero, it is 64.
	MaxValues int
	// MaxSubscriptions bounds the resources that a session is subscribed to. If
	// zero, it is 1,000.
	MaxSubscriptions int
	// RedisTimeout bounds one call to Redis. If zero, it is 2 seconds.
	RedisTimeout time.Duration
}

func (o Options) withDefaults() Options {
	options.OrDefault(&o.SessionTTL, 5*time.Minute)
	options.OrDefault(&o.CacheTTL, 5*time.Second)
	options.OrDefault(&o.MaxInitialize, 64<<10)
	options.OrDefault(&o.MaxValue, 64<<10)
	options.OrDefault(&o.MaxValues, 64)
	options.OrDefault(&o.MaxSubscriptions, 1000)
	options.OrDefault(&o.RedisTimeout, redisx.DefaultTimeout)
	return o
}

// validate does not check Prefix, which is checked where it is used.
func (o Options) validate() error {
	if o.Redis == nil {
		return errors.New("Options.Redis is nil")
	}
	return cmp.Or(
		options.AtLeast("SessionTTL", o.SessionTTL, time.Second),
		options.AtLeast("SessionLifetime", o.SessionLifetime, time.Second),
		options.NonNegative("SessionsPerUser", o.SessionsPerUser),
		options.AtLeast("CacheTTL", o.CacheTTL, time.Millisecond),
		options.NonNegative("MaxInitialize", o.MaxInitialize),
		options.NonNegative("MaxValue", o.MaxValue),
		options.NonNegative("MaxValues", o.MaxValues),
		options.NonNegative("MaxSubscriptions", o.MaxSubscriptions),
		options.AtLeast("RedisTimeout", o.RedisTimeout, time.Millisecond),
	)
}
