package node

import (
	"context"
	"sync"
	"time"
)

// Idle waits until no request runs on this instance, or ctx ends. Then it ends
// each stream of an SSE session that is open here as soon as no call of the
// session runs elsewhere, because such a stream cannot be resumed.
func (n *Node) Idle(ctx context.Context) error {
	return n.ended.Until(ctx, func() bool { return n.Calls() == 0 && n.closeIdle() })
}

// Close leaves the fleet: no more requests are accepted, those that still run
// are answered with an error, open streams end so that clients resume them
// elsewhere, and the inbox is deleted. Close waits for the node's goroutines;
// it is idempotent.
func (n *Node) Close(ctx context.Context) {
	if n.registry.close() {
		close(n.leaving)
	}
	var abandoned sync.WaitGroup
	for _, c := range n.allConns() {
		abandoned.Go(func() { c.abandon(ErrClosed) })
	}
	abandoned.Wait()
	n.closeStreams(reconnectSoon)
	n.waitForStreams(ctx)
	n.stop()
	n.wg.Wait()
	// An inbox that stays would have the fleet wait for a dead instance.
	if err := n.rdb.Do(ctx, n.rdb.B().Del().Key(n.mailKeys()...).Build()).Error(); err != nil {
		n.logger.Warn("inbox not removed", "error", err)
	}
}

// waitForStreams gives the connections of closed streams the time to say how
// far their clients have come.
func (n *Node) waitForStreams(ctx context.Context) {
	// It has a bound of its own: an expired ctx must not leave it undone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*n.opts.RedisTimeout)
	defer cancel()
	_ = n.ended.Until(ctx, func() bool { return n.Streams() == 0 }) // those that have not said it by then never will
}

// closeStreams ends every stream that is open here with a hint to reconnect
// after retry. The streams go on: they can be resumed anywhere.
func (n *Node) closeStreams(retry time.Duration) {
	for _, l := range n.allListeners() {
		l.end()
	}
	for _, r := range n.allReaders() {
		r.close(closing{retry: retry})
	}
}

// background runs f, which may block for calls to Redis, on a goroutine that Close
// waits for. Once the node is closed it does nothing, and returns false.
func (n *Node) background(f func()) (runs bool) {
	n.unlessClosed(func() {
		n.wg.Go(f)
		runs = true
	})
	return runs
}

// untilDone calls do until it reports true, with pauses that grow from first to a
// second. It gives up when the node is closed, and then returns false.
func (n *Node) untilDone(first time.Duration, do func() bool) bool {
	for pause := first; !do(); pause = min(2*pause, time.Second) {
		select {
		case <-n.leaving:
			return false
		case <-time.After(pause):
		}
	}
	return true
}
