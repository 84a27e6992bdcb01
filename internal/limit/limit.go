// Package limit bounds how often something happens in a whole fleet.
package limit

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

var (
	//go:embed limit.lua
	takeLua string
	take    = redisx.NewScript("take from a rate limit", takeLua)

	//go:embed limit_give_back.lua
	giveBackLua string
	giveBack    = redisx.NewScript("give back to a rate limit", giveBackLua)
)

// A Rate allows as many as Requests at once, and no more than that in every Per
// on average. The zero Rate allows everything.
type Rate struct {
	Requests int
	Per      time.Duration
}

func (r Rate) unlimited() bool { return r.Requests <= 0 || r.Per <= 0 }

// args returns the rate as scripts expect it.
func (r Rate) args() []string {
	return []string{strconv.Itoa(r.Requests), strconv.FormatInt(r.Per.Microseconds(), 10)}
}

// A Limiter counts requests in Redis. It is safe for concurrent use.
type Limiter struct {
	rdb  redisx.Client
	keys rediskeys.Space
}

// New returns a limiter that counts under the keys of space.
func New(rdb redisx.Client, space rediskeys.Space) *Limiter { return &Limiter{rdb, space} }

// A Verdict is whether a request may be served.
type Verdict struct {
	Allowed   bool
	Remaining int           // how many more may be served at once
	Reset     time.Duration // until the next may, if this may not; else until all may
}

// Take takes one request from the rate with that name, counted for who. It fails
// with [redisx.ErrUnavailable].
func (l *Limiter) Take(ctx context.Context, name, who string, r Rate) (Verdict, error) {
	return l.run(ctx, name, who, r, "1")
}

// Peek returns the verdict that Take would, and takes nothing.
func (l *Limiter) Peek(ctx context.Context, name, who string, r Rate) (Verdict, error) {
	return l.run(ctx, name, who, r, "0")
}

// A Count is what a request was counted under. It does not tell for whom, so it can
// be stored.
type Count string

// Count returns what Take counts requests under.
func (l *Limiter) Count(name, who string) Count { return Count(l.keys.Limit(who, name)) }

// GiveBack gives back what one Take has taken: the request has turned out to cost
// nothing. The caller sees to it that each is given back once. However long it
// has been taken, what was taken and not given back stays within the rate. It
// fails with [redisx.ErrUnavailable].
func (l *Limiter) GiveBack(ctx context.Context, count Count, r Rate) error {
	if r.unlimited() {
		return nil
	}
	_, err := giveBack.Exec(ctx, l.rdb, []string{string(count)}, r.args()...)
	return err
}

func (l *Limiter) run(ctx context.Context, name, who string, r Rate, cost string) (Verdict, error) {
	if r.unlimited() {
		return Verdict{Allowed: true}, nil
	}
	reply, err := take.Exec(ctx, l.rdb, []string{l.keys.Limit(who, name)}, append(r.args(), cost)...)
	if err != nil {
		return Verdict{}, err
	}
	n, err := reply.AsIntSlice()
	if err != nil || len(n) != 3 {
		return Verdict{}, fmt.Errorf("take from a rate limit: unexpected reply: %w", err)
	}
	return Verdict{Allowed: n[0] == 1, Remaining: int(n[1]), Reset: time.Duration(n[2]) * time.Microsecond}, nil
}
