package node

import (
	"context"
	"slices"
	"sync"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
)

// Redis names one connection as the reader of each stream. What makes it so may
// come late, or its outcome be unknown, so that Redis may name a connection that is
// not there while another one believes that it reads the stream. Whoever notices
// takes the name back, and the connection that is there takes the stream again.

// missing are the connections whose names are being taken back.
type missing struct {
	mu   sync.Mutex // guards refs
	refs map[string]bool
}

// add reports false if ref was there.
func (m *missing) add(ref string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refs[ref] {
		return false
	}
	if m.refs == nil {
		m.refs = map[string]bool{}
	}
	m.refs[ref] = true
	return true
}

func (m *missing) remove(ref string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.refs, ref)
}

// missingReader takes back that a connection reads a stream which is not here any
// more. It does not block.
func (n *Node) missingReader(stream eventlog.StreamID, ref string) {
	if !n.missing.add(ref) {
		return
	}
	n.background(func() {
		defer n.missing.remove(ref)
		ctx := context.Background() // of a message from the inbox; each call to Redis is bounded
		if err := n.log.DetachMissing(ctx, stream, ref); err != nil {
			n.logger.Warn("missing reader not detached", "error", err)
			return
		}
		_, readers := n.ofSession(stream.Session)
		n.checkReaders(ctx, slices.DeleteFunc(readers, func(r *Reader) bool { return r.stream != stream }))
	})
}

// dueReaders returns those readers here that are not checked in every round: of
// standalone streams, and of streams that calls here write. They are in two halves
// that take turns.
func (n *Node) dueReaders(round int) (readers []*Reader) {
	for _, r := range n.allReaders() {
		if int(r.id[len(r.id)-1])%2 == round%2 && (r.feed != nil || n.writes(r.stream)) {
			readers = append(readers, r)
		}
	}
	return readers
}

// checkedAtOnce is of how many streams Redis is asked in one go.
const checkedAtOnce = 500

// checkSubscriptions ends the sessions of readers whose subscriptions Redis has lost:
// their clients would wait for updates that do not come.
func (n *Node) checkSubscriptions(ctx context.Context, readers []*Reader) {
	var subscribed []string
	for _, r := range readers {
		if r.feed != nil && len(r.feed.URIs()) > 0 {
			subscribed = append(subscribed, r.stream.Session)
		}
	}
	for some := range slices.Chunk(subscribed, checkedAtOnce) {
		missing, err := n.store.MissSubscriptions(ctx, some)
		if err != nil {
			n.logger.Warn("subscriptions not checked", "error", err)
			return
		}
		for _, id := range missing {
			n.toucher.touch(ctx, id) // it finds out whether they are lost or were removed
		}
	}
}

// checkReaders finds those of the readers that Redis does not name as the readers
// of their streams, and what they have missed.
func (n *Node) checkReaders(ctx context.Context, readers []*Reader) {
	for some := range slices.Chunk(readers, checkedAtOnce) {
		checked, err := n.streamStates(ctx, some)
		for i := 0; i < len(some) && err == nil; i++ {
			err = n.checkReader(ctx, some[i], checked[i])
		}
		if err != nil {
			n.logger.Warn("readers not checked", "error", err)
			return
		}
	}
}

func (n *Node) checkReader(ctx context.Context, r *Reader, s checkedStream) error {
	if !r.wantsStream() {
		return nil
	}
	if s.from != unattached && !s.Attached && r.feed != nil {
		r.loseLog() // evicted, whether or not something was appended since: the client gets a new stream
		return nil
	}
	reads, err := n.reads(ctx, r, s)
	if reads {
		r.compareEnd(s.from, s.Next)
	}
	return err
}

// reads reports whether r is the reader of its stream, also if that is so only
// again. If another connection reads the stream r ends: the message that said so
// may have been lost.
func (n *Node) reads(ctx context.Context, r *Reader, s checkedStream) (bool, error) {
	if s.from == unattached || s.Reader == n.readerRef(r) {
		return true, nil
	}
	if instance, id := splitRef(s.Reader); s.Reader != "" && (instance != n.id || n.reader(id) != nil) {
		r.yield(s.from, s.Reader)
		return false, nil
	}
	if !r.wantsStream() || !s.Exists {
		return false, nil
	}
	claimed, err := n.log.Claim(ctx, r.stream, n.readerRef(r), s.Reader)
	if err != nil || !claimed {
		return false, err
	}
	n.logger.Info("stream read again by the connection that is there")
	// A subscription may have changed while there was nobody to be told.
	return true, n.reload(ctx, r.id)
}

// wantsStream reports whether nothing has ended the connection yet.
func (r *Reader) wantsStream() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed == nil && !r.released
}

// loseLog ends the connection because its stream's log is lost.
func (r *Reader) loseLog() {
	r.mu.Lock()
	r.closeLost()
	r.mu.Unlock()
	r.wake.Send()
}
