package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A Node is one instance of the fleet: it has an inbox, follows the bus, and
// knows the calls that run and the streams that are open on this instance. It
// is safe for concurrent use. It runs four goroutines from [NewNode] to
// [Node.Close], whatever the number of sessions, calls and streams.
type Node struct {
	link
	registry

	id    string
	store *sessionstore.Store
	opts  Options

	seq     atomic.Int64 // of connections and readers
	renewed atomic.Int64 // when the inbox was last renewed, Unix ns
	steady  atomic.Int64 // since when the inbox has been renewed without a gap, Unix ns

	waiters waiters
	toucher toucher
	missing missing

	leaving chan struct{}      // closed by Close: what failed is not retried any more
	stop    context.CancelFunc // ends the four goroutines
	wg      sync.WaitGroup     // of the four goroutines and of what runs in the background
}

// NewNode joins the fleet: it creates the instance's inbox and starts to read
// it and the bus. It blocks for a few calls to Redis and fails if Redis is
// unavailable or lacks something a node needs. [Node.Close] must be called
// before the client is closed.
func NewNode(ctx context.Context, opts *Options) (*Node, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	o := opts.withDefaults()
	l, err := newLink(o)
	if err != nil {
		return nil, err
	}
	if err := l.rdb.CheckVersion(ctx); err != nil {
		return nil, err
	}
	n := &Node{
		link:     l,
		registry: newRegistry(),
		id:       strings.ToLower(rand.Text()[:16]),
		store:    o.Store,
		opts:     o,
		leaving:  make(chan struct{}),
	}
	n.toucher.init(n)
	if err := n.renewInbox(ctx, mail{"0-0", "0-0"}); err != nil {
		return nil, err
	}
	if err := n.bus.Join(ctx); err != nil {
		return nil, err
	}
	// The loops outlive the call to NewNode; Close ends them.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	n.wg.Go(func() { n.readInbox(run) })
	n.wg.Go(func() { n.readBus(run) })
	n.wg.Go(func() { n.monitor(run) })
	n.wg.Go(func() { n.toucher.run(run) })
	return n, nil
}

// ID returns the random name of the instance.
func (n *Node) ID() string { return n.id }

// Publisher returns a publisher for the fleet, with the node's Redis client.
func (n *Node) Publisher() *Publisher { return &Publisher{n.link} }

// Ready returns nil if Redis answers and the rest of the fleet sees this
// instance as alive.
func (n *Node) Ready(ctx context.Context) error {
	if err := n.rdb.Do(ctx, n.rdb.B().Ping().Build()).Error(); err != nil {
		return redisx.Unavailable("ping", err)
	}
	if !n.alive() {
		return errNotRenewed
	}
	return nil
}

func (n *Node) nextID() string { return strconv.FormatInt(n.seq.Add(1), 36) }

// readBus acts on every message of the bus until ctx ends.
func (n *Node) readBus(ctx context.Context) {
	n.bus.Run(ctx, bus.Handlers{
		SessionEnded:  func(m bus.SessionEnded) { n.endSession(m.Session) },
		CallCancelled: n.cancelCall,
	})
}

// End tells the fleet that a session has ended: its streams and calls end on
// every instance, and none serves it from its cache any more.
func (n *Node) End(ctx context.Context, session string) error {
	n.endSession(session)
	return n.bus.Publish(ctx, bus.SessionEnded{Session: session})
}

// endSession ends what runs of a session here, after the session has ended. It
// does not block.
func (n *Node) endSession(id string) {
	n.store.Forget(id)
	conns, readers := n.ofSession(id)
	for _, c := range conns {
		n.background(func() { c.abandon(sessionstore.ErrNotFound) })
	}
	for _, r := range readers {
		r.close(closing{})
	}
}

// Cancel tells the fleet that the client of a session has cancelled its request
// with the given raw id.
func (n *Node) Cancel(ctx context.Context, session string, id json.RawMessage) error {
	return n.bus.Publish(ctx, bus.CallCancelled{Session: session, ID: id})
}

// cancelCall cancels a call if it runs here. It does not block.
func (n *Node) cancelCall(m bus.CallCancelled) {
	if c := n.call(m.Session, m.ID); c != nil {
		n.background(c.cancel)
	}
}
