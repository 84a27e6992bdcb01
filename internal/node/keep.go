package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A keeper keeps sessions alive that are in use: each at most once in a quarter
// of its time to live, and never while a request waits. It remembers only the
// sessions used in the last quarter.
type keeper struct {
	node  *Node
	every time.Duration
	due   chan string
	all   chan struct{} // has room for one: all that are present are due

	mu   sync.Mutex
	kept map[string]time.Time
}

func (k *keeper) init(n *Node) {
	k.node, k.every = n, n.store.TouchEvery()
	k.due = make(chan string, 1024)
	k.all = make(chan struct{}, 1)
	k.kept = map[string]time.Time{}
}

// Use records that a session is in use, so that it does not expire. It does not
// block.
func (n *Node) Use(session string) { n.keeper.use(session) }

func (k *keeper) use(id string) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if last, ok := k.kept[id]; ok && now.Sub(last) < k.every {
		return
	}
	select {
	case k.due <- id:
		k.kept[id] = now
	default: // so much is due that the next use has to ask again
	}
}

// forget makes the next use of a session count.
func (k *keeper) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.kept, id)
}

// touchAll makes all sessions due of which something runs here.
func (k *keeper) touchAll() {
	k.mu.Lock()
	clear(k.kept)
	k.mu.Unlock()
	select {
	case k.all <- struct{}{}:
	default:
	}
}

// run touches what is due until ctx ends. Open streams and running calls count
// as use.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(k.every / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-k.due:
			k.touch(ctx, id)
		case <-k.all:
			k.touchPresent(ctx)
		case <-tick.C:
			k.sweep(time.Now())
			k.touchPresent(ctx)
		}
	}
}

// touchers is how many sessions are touched at once. Each waits for Redis, and
// all that have an open stream must be done well within a quarter of their life.
const touchers = 16

// touchPresent touches the sessions of which something runs here, if they are due.
func (k *keeper) touchPresent(ctx context.Context) {
	ids := make(chan string)
	var wg sync.WaitGroup
	for range touchers {
		wg.Go(func() {
			for id := range ids {
				k.touch(ctx, id)
			}
		})
	}
	for _, id := range k.node.present() {
		if ctx.Err() != nil {
			break // Close waits, and while Redis is away each takes its whole time
		}
		if k.claim(id) {
			ids <- id
		}
	}
	close(ids)
	wg.Wait()
}

// claim reports whether a session is due, and if so takes it as touched.
func (k *keeper) claim(id string) bool {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if last, ok := k.kept[id]; ok && now.Sub(last) < k.every {
		return false
	}
	k.kept[id] = now
	return true
}

func (k *keeper) sweep(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, last := range k.kept {
		if now.Sub(last) >= k.every {
			delete(k.kept, id)
		}
	}
}

func (k *keeper) touch(ctx context.Context, id string) {
	streams, standalone := k.node.streamsOf(id)
	var position int64
	if standalone != nil {
		position = standalone.position()
	}
	pulse, err := k.node.store.Touch(ctx, id, streams...)
	switch {
	case errors.Is(err, sessionstore.ErrNotFound):
		k.forget(id)
		k.node.endSession(id)
	case err != nil:
		k.forget(id)
		k.node.logger.Warn("session not kept", "error", err)
	case standalone != nil && !standalone.yield(position, pulse.StandaloneReader):
		// An event may have been logged whose writer died before it could send
		// it, or one that was sent may have been lost in a failover.
		standalone.check(position, pulse.StandaloneNext)
		// Nor may the instance have learned of a subscription that was made
		// while it was cut off.
		if err := k.node.reload(ctx, standalone.id); err != nil {
			k.node.logger.Warn("subscriptions not loaded", "error", err)
		}
	}
}

// present returns the sessions of which something runs here.
func (n *Node) present() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := make([]string, 0, len(n.sessions))
	for id := range n.sessions {
		ids = append(ids, id)
	}
	return ids
}

// streamsOf returns the call streams of a session that are read or written
// here, and the reader of its standalone stream if that is here.
func (n *Node) streamsOf(id string) (streams []string, standalone *Reader) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.sessions[id]
	if p == nil {
		return nil, nil
	}
	for c := range p.conns {
		if s := c.streamID().Stream; s != "" {
			streams = append(streams, s)
		}
	}
	for r := range p.readers {
		if eventlog.IsStandalone(r.stream.Stream) {
			standalone = r
		} else if !r.isEnded() {
			streams = append(streams, r.stream.Stream)
		}
	}
	return streams, standalone
}
