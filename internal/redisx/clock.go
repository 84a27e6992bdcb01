package redisx

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// A Clock estimates what Redis's clock shows, from answers that say it. Between
// them it goes with this process's own clock, which is not set. It follows when
// Redis's clock is set, or a failover brings another one. It is safe for
// concurrent use.
type Clock struct {
	start  time.Time
	asking chan struct{} // held by the one that asks for the time

	mu sync.Mutex // guards all fields below
	// Redis's clock shows between low and high more than has passed since start.
	low, high time.Duration
	observed  time.Time // when Redis last said the time; zero if never
}

// NewClock returns a clock that has yet to observe the time.
func NewClock() *Clock { return &Clock{start: time.Now(), asking: make(chan struct{}, 1)} }

// observedFor is how long an answer counts. An instance of the fleet observes the time
// with each renewal of its inbox; a process without one asks once in this time.
const observedFor = time.Minute

// Observe takes Redis's time, in ms since 1970, from the answer to a command that
// was sent at a given time and has just been answered.
func (c *Clock) Observe(sent time.Time, ms int64) {
	now := time.Now()
	shown := time.Duration(ms) * time.Millisecond
	low, high := shown-now.Sub(c.start), shown+time.Millisecond-sent.Sub(c.start)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.observed.IsZero() && low <= c.high && c.low <= high {
		low, high = max(low, c.low), min(high, c.high)
	}
	c.low, c.high, c.observed = low, high, now
}

// Now returns what Redis's clock shows at least, in ms since 1970, zero if that is
// not known.
func (c *Clock) Now() int64 { return c.at(time.Now()) }

// at is [Clock.Now] for another time.
func (c *Clock) at(t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.observed.IsZero() {
		return 0
	}
	return (c.low + t.Sub(c.start)).Milliseconds()
}

// isSet reports whether Redis has said the time recently.
func (c *Clock) isSet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.observed.IsZero() && time.Since(c.observed) < observedFor
}

var askTime = rueidis.NewLuaScriptRetryable(`return redis.call('TIME')`)

// setClock asks the Redis that has a key for the time, unless it has said it
// recently. Many that ask at once share one question.
func (c Client) setClock(ctx context.Context, key string) error {
	if c.Clock.isSet() {
		return nil
	}
	select {
	case c.Clock.asking <- struct{}{}:
		defer func() { <-c.Clock.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.Clock.isSet() {
		return nil
	}
	sent := time.Now()
	reply := c.within(ctx, func() rueidis.RedisResult { return askTime.Exec(ctx, pinning{c.Client}, []string{key}, nil) })
	parts, err := reply.AsStrSlice()
	if err != nil || len(parts) != 2 {
		return fmt.Errorf("unexpected reply to TIME: %v, %w", parts, err)
	}
	s, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return err
	}
	us, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return err
	}
	c.Clock.Observe(sent, s*1000+us/1000)
	return nil
}
