package redisx

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// A lazyBound is what [Client.bound] returns, made only when someone looks at
// it. A read that the cache answers does not: without it, the context would be
// two thirds of that read's cost. rueidis looks at the context before it sends
// a command, so that is also when the command must be pinned.
type lazyBound struct {
	parent   context.Context
	deadline time.Time // counts from the call: rueidis may have waited before it looks
	cmd      rueidis.Cacheable

	presence *presence

	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	begun  bool // a command was sent
}

func (l *lazyBound) get() context.Context {
	l.once.Do(func() {
		l.cmd.Pin()
		l.presence.begin()
		l.begun = true
		l.ctx, l.cancel = context.WithDeadline(context.WithoutCancel(l.parent), l.deadline)
	})
	return l.ctx
}

func (l *lazyBound) Deadline() (time.Time, bool) { return l.get().Deadline() }
func (l *lazyBound) Done() <-chan struct{}       { return l.get().Done() }
func (l *lazyBound) Err() error                  { return l.get().Err() }
func (l *lazyBound) Value(key any) any           { return l.get().Value(key) }

// release frees the timer, if there is one, when the read has ended. Who looks at the
// context only afterwards finds it done.
func (l *lazyBound) release(outcome error) {
	l.once.Do(func() { l.ctx, l.cancel = done, func() {} })
	l.cancel()
	if l.begun {
		l.presence.end(outcome)
	}
}

var done = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
