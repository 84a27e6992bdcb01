// Package signal wakes goroutines when something has changed, so that they need not
// ask again and again.
package signal

import (
	"context"
	"sync"
)

// A Broadcast wakes all goroutines that wait for a change. Its zero value is ready
// to use. It is safe for concurrent use; [Broadcast.Send] costs next to nothing
// while nobody waits.
type Broadcast struct {
	mu   sync.Mutex    // guards next
	next chan struct{} // closed by the next Send; nil if nobody waits for it
}

// Send wakes everyone who waits.
func (b *Broadcast) Send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Wait returns a channel that the next Send closes. To miss nothing, call Wait
// before looking at what may change.
func (b *Broadcast) Wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Until waits until done reports true, which it is asked at once and after each
// Send, or until ctx ends, whose error it then returns.
func (b *Broadcast) Until(ctx context.Context, done func() bool) error {
	for {
		changed := b.Wait()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
