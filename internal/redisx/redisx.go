// Package redisx is how mcpfleet calls Redis: every call has a deadline of its
// own, and every failure of Redis is one error.
package redisx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// DefaultTimeout bounds one call to Redis unless the caller chose another bound.
const DefaultTimeout = 2 * time.Second

// ErrUnavailable says that Redis did not do what was asked: it was not reached
// in time, or it refused. What was asked may nevertheless have happened; a script
// that has not run by then does not run any more.
var ErrUnavailable = errors.New("redis is unavailable")

// A Client is a rueidis client with a bound on every call. It is safe for
// concurrent use. The rueidis client stays its owner's.
type Client struct {
	rueidis.Client
	Timeout time.Duration
	// Clock is Redis's. Clients of one Redis may share it.
	Clock    *Clock
	presence *presence
}

// New returns a Client that bounds each call by timeout, or by [DefaultTimeout]
// if timeout is not positive.
func New(c rueidis.Client, timeout time.Duration) Client {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return Client{Client: c, Timeout: timeout, Clock: NewClock(), presence: &presence{}}
}

// bound returns a context for one call. It keeps ctx's values but not its
// cancellation: a write abandoned half-way because a client hung up would leave
// its outcome unknown for no gain.
func (c Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.Timeout)
}

// Do runs one command.
func (c Client) Do(ctx context.Context, cmd rueidis.Completed) Result {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return c.within(ctx, func() rueidis.RedisResult { return c.Client.Do(ctx, pin(cmd)) })
}

// within is within for one reply.
func (c Client) within(ctx context.Context, call func() rueidis.RedisResult) Result {
	c.presence.begin()
	reply, err := within(ctx, call)
	result := Result{reply, err}
	c.presence.end(result.Error())
	return result
}

// DoMulti runs several commands in one go; with a cluster they need not share a slot.
func (c Client) DoMulti(ctx context.Context, cmds ...rueidis.Completed) []Result {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	for _, cmd := range cmds {
		pin(cmd)
	}
	c.presence.begin()
	replies, err := within(ctx, func() []rueidis.RedisResult { return c.Client.DoMulti(ctx, cmds...) })
	results := make([]Result, len(cmds))
	for i := range results {
		results[i].err = err
		if err == nil {
			results[i].reply = replies[i]
		}
	}
	c.presence.end(results[0].Error())
	return results
}

// DoCache runs one read through rueidis client-side caching.
func (c Client) DoCache(ctx context.Context, cmd rueidis.Cacheable, ttl time.Duration) Result {
	if c.presence.doubtful() {
		ctx, cancel := c.bound(ctx)
		defer cancel()
		cmd.Pin()
		return c.within(ctx, func() rueidis.RedisResult { return c.Client.DoCache(ctx, cmd, ttl) })
	}
	bound := &lazyBound{parent: ctx, deadline: time.Now().Add(c.Timeout), cmd: cmd, presence: c.presence}
	reply := c.Client.DoCache(bound, cmd, ttl)
	bound.release(reply.Error())
	return Result{reply: reply}
}

// Unavailable wraps a failure of Redis so that [ErrUnavailable] is found in it;
// doing says what was tried.
func Unavailable(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}

// The oldest Redis that has what mcpfleet uses: XTRIM MINID.
const minMajor, minMinor = 6, 2

// CheckVersion fails if Redis cannot be reached or is older than 6.2. A server
// that does not say how old it is passes.
func (c Client) CheckVersion(ctx context.Context) error {
	info, err := c.Do(ctx, c.B().Info().Section("server").Build()).ToString()
	if _, refused := rueidis.IsRedisErr(err); refused {
		return nil // INFO is denied, or unknown: what is missing will show when it is used
	}
	if err != nil {
		return Unavailable("ask for the version", err)
	}
	_, version, _ := strings.Cut(info, "redis_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return nil
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		return fmt.Errorf("redis %s is too old: %d.%d is needed", version, minMajor, minMinor)
	}
	return nil
}
