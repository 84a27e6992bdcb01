package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/signal"
)

// A toucher renews the time to live of sessions that are in use: each at most
// once in a quarter of it, and never while a request waits. It remembers only the
// sessions used in the last quarter. It also renews the secret of users' ids.
type toucher struct {
	node  *Node
	every time.Duration
	due   chan string
	all   signal.Wake // sent when all sessions that are present are due

	mu      sync.Mutex           // guards touched
	touched map[string]time.Time // when each session was last touched, or made due
}

func (t *toucher) init(n *Node) {
	t.node, t.every = n, n.store.TouchEvery()
	t.due = make(chan string, 1024)
	t.all = signal.NewWake()
	t.touched = map[string]time.Time{}
}

// Use records that a session is in use, so that it does not expire. It does not
// block.
func (n *Node) Use(session string) { n.toucher.use(session) }

// UseRecord is [Node.Use] for a session whose record has been loaded: one that has just
// begun need not be touched yet.
func (n *Node) UseRecord(rec sessionstore.Record) {
	if now := n.rdb.Clock.Now(); now > 0 { // it is known
		n.toucher.began(rec.ID, time.Duration(now-rec.Created.UnixMilli())*time.Millisecond)
	}
	n.Use(rec.ID)
}

func (t *toucher) use(id string) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fresh(id, now) {
		return
	}
	select {
	case t.due <- id:
		t.touched[id] = now
	default: // so much is due that the next use has to ask again
	}
}

// began notes how long ago a session has begun, which counts as a touch.
func (t *toucher) began(id string, age time.Duration) {
	if age >= t.every {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.touched[id]; !ok {
		t.touched[id] = time.Now().Add(-age)
	}
}

// fresh reports whether a session was touched, or made due, less than a quarter of
// its life ago. t.mu must be held.
func (t *toucher) fresh(id string, now time.Time) bool {
	last, ok := t.touched[id]
	return ok && now.Sub(last) < t.every
}

// reset makes the next use of a session count.
func (t *toucher) reset(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.touched, id)
}

// touchAll makes all sessions due of which something runs here.
func (t *toucher) touchAll() {
	t.mu.Lock()
	clear(t.touched)
	t.mu.Unlock()
	t.all.Send()
}

// run touches what is due until ctx ends. Open streams and running calls count
// as use.
func (t *toucher) run(ctx context.Context) {
	tick, secret := time.NewTicker(t.every/4), time.NewTicker(sessionstore.SecretEvery)
	defer tick.Stop()
	defer secret.Stop()
	for ctx.Err() == nil { // looked at each time: while Redis is away each touch takes its whole time
		select {
		case <-ctx.Done():
		case id := <-t.due:
			t.touch(ctx, id)
		case <-t.all:
			t.touchPresent(ctx)
		case <-tick.C:
			t.sweep(time.Now())
			t.touchPresent(ctx)
		case <-secret.C:
			if err := t.node.store.KeepSecret(ctx); err != nil {
				t.node.logger.Warn("the secret of users' ids is not renewed", "error", err)
			}
		}
	}
}

// touchesAtOnce is how many sessions are touched at once. Each touch waits for
// Redis, and all sessions with an open stream must be touched well within a
// quarter of their life.
const touchesAtOnce = 16

// touchPresent touches the sessions of which something runs here, if they are due.
func (t *toucher) touchPresent(ctx context.Context) {
	ids := make(chan string)
	var wg sync.WaitGroup
	for range touchesAtOnce {
		wg.Go(func() {
			for id := range ids {
				t.touch(ctx, id)
			}
		})
	}
	for _, id := range t.node.present() {
		if ctx.Err() != nil {
			break // Close waits, and while Redis is away each takes its whole time
		}
		if t.claim(id) {
			ids <- id
		}
	}
	close(ids)
	wg.Wait()
}

// claim reports whether a session is due, and if so takes it as touched.
func (t *toucher) claim(id string) bool {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fresh(id, now) {
		return false
	}
	t.touched[id] = now
	return true
}

func (t *toucher) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, last := range t.touched {
		if now.Sub(last) >= t.every {
			delete(t.touched, id)
		}
	}
}

func (t *toucher) touch(ctx context.Context, id string) {
	streams, standalone := t.node.streamsOf(id)
	var next int64
	if standalone != nil {
		next = standalone.nextOffset()
	}
	pulse, err := t.node.store.Touch(ctx, id, streams...)
	switch {
	case errors.Is(err, sessionstore.ErrNotFound):
		t.reset(id)
		t.node.endSession(id)
	case err != nil:
		t.reset(id)
		t.node.logger.Warn("session not renewed", "error", err)
	case standalone != nil && !standalone.yield(next, pulse.StandaloneReader):
		// An event may have been logged whose writer died before it could send
		// it, or one that was sent may have been lost in a failover.
		standalone.compareEnd(next, pulse.StandaloneNext)
		// Nor may the instance have learned of a subscription that was made
		// while it was cut off.
		if err := t.node.reload(ctx, standalone.id); err != nil {
			t.node.logger.Warn("subscriptions not loaded", "error", err)
		}
	}
}

// streamsOf returns the call streams of a session that are read or written
// here, and the reader of its standalone stream if that is here.
func (n *Node) streamsOf(id string) (streams []string, standalone *Reader) {
	conns, readers := n.ofSession(id)
	for _, c := range conns {
		if s := c.streamID().Stream; s != "" {
			streams = append(streams, s)
		}
	}
	for _, r := range readers {
		if eventlog.IsStandalone(r.stream.Stream) {
			standalone = r
		} else if !r.isEnded() {
			streams = append(streams, r.stream.Stream)
		}
	}
	return streams, standalone
}
