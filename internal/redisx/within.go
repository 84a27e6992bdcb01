package redisx

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// When a connection has broken, rueidis lets all calls wait for the one that makes it
// anew, without a look at their contexts: a call would wait for as long as another may
// take, and then for its own time. So who calls does not wait for rueidis, but for
// the reply or the end of its time, whichever comes first.

// A Result is what Redis replied to a command, or why it did not.
type Result struct {
	reply rueidis.RedisResult
	err   error // why there is no reply
}

// Error returns why there is no reply, or the error that is the reply.
func (r Result) Error() error {
	if r.err != nil {
		return r.err
	}
	return r.reply.Error()
}

// ToString returns a reply that is a string.
func (r Result) ToString() (string, error) { return as(r, rueidis.RedisResult.ToString) }

// AsBytes returns a reply that is a string.
func (r Result) AsBytes() ([]byte, error) { return as(r, rueidis.RedisResult.AsBytes) }

// AsInt64 returns a reply that is a number.
func (r Result) AsInt64() (int64, error) { return as(r, rueidis.RedisResult.AsInt64) }

// ToArray returns a reply that is an array.
func (r Result) ToArray() ([]rueidis.RedisMessage, error) {
	return as(r, rueidis.RedisResult.ToArray)
}

// AsStrMap returns a reply that is a map of strings.
func (r Result) AsStrMap() (map[string]string, error) { return as(r, rueidis.RedisResult.AsStrMap) }

// AsStrSlice is as that of a [rueidis.RedisResult].
func (r Result) AsStrSlice() ([]string, error) { return as(r, rueidis.RedisResult.AsStrSlice) }

// AsXRange returns a reply that is entries of a Redis Stream.
func (r Result) AsXRange() ([]rueidis.XRangeEntry, error) {
	return as(r, rueidis.RedisResult.AsXRange)
}

// ToMessage returns a reply of any kind.
func (r Result) ToMessage() (rueidis.RedisMessage, error) {
	return as(r, rueidis.RedisResult.ToMessage)
}

func as[T any](r Result, convert func(rueidis.RedisResult) (T, error)) (T, error) {
	if r.err != nil {
		var none T
		return none, r.err
	}
	return convert(r.reply)
}

// within makes a call to Redis, and returns its outcome or, when ctx has ended, that.
// Then the call goes on for as long as rueidis takes, which others' contexts end.
func within[T any](ctx context.Context, call func() T) (outcome T, err error) {
	done := make(chan T, 1)
	go func() { done <- call() }()
	select {
	case outcome = <-done:
		return outcome, nil
	case <-ctx.Done():
	}
	select {
	case outcome = <-done:
		return outcome, nil
	default:
		return outcome, ctx.Err()
	}
}

// A presence knows whether Redis seems to be there. It is safe for concurrent use.
type presence struct {
	waiting atomic.Int64 // calls that wait for a reply
	heard   atomic.Int64 // when Redis last replied, or the first of the waiting calls began, Unix ns
	silent  atomic.Bool  // the last call to end had no reply
}

// promptly is how soon Redis replies when nothing is wrong.
const promptly = 100 * time.Millisecond

func (p *presence) begin() {
	if p.waiting.Add(1) == 1 {
		p.heard.Store(time.Now().UnixNano())
	}
}

// end takes the outcome of a call.
func (p *presence) end(err error) {
	p.waiting.Add(-1)
	_, replied := rueidis.IsRedisErr(err)
	replied = replied || err == nil || rueidis.IsRedisNil(err)
	if replied {
		p.heard.Store(time.Now().UnixNano())
	}
	if p.silent.Load() == replied {
		p.silent.Store(!replied)
	}
}

// doubtful reports whether Redis may be away.
func (p *presence) doubtful() bool {
	return p.silent.Load() || p.waiting.Load() > 0 && time.Since(time.Unix(0, p.heard.Load())) > promptly
}
