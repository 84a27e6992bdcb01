package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// The times by which instances judge each other. A reader declares a writer
// dead after its inbox was absent in two looks, so the end of a dead writer's
// stream is at most inboxTTL + 2*lookEvery away.
const (
	inboxTTL   = 6 * time.Second
	renewEvery = 2 * time.Second
	lookEvery  = 3 * time.Second
	unreadTTL  = 30 * time.Second // of a server request on a stream that nobody reads
)

// A Node is one instance of the fleet: it has an inbox, follows the bus, and
// knows the calls that run and the streams that are open on this instance. It
// is safe for concurrent use. It runs four goroutines from [NewNode] to
// [Node.Close], whatever the number of sessions, calls and streams.
type Node struct {
	link

	id    string
	store *sessionstore.Store
	opts  Options

	seq     atomic.Int64 // of connections and readers
	renewed atomic.Int64 // when the inbox was last renewed, Unix ns
	steady  atomic.Int64 // since when the inbox has been renewed without a gap, Unix ns

	mu        sync.Mutex
	closed    bool
	conns     map[string]*Conn
	readers   map[string]*Reader
	listeners map[*Listener]struct{}
	sessions  map[string]*presence
	awaited   map[string]chan struct{} // what other instances are asked to do

	keeper keeper
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// presence is what runs of one session on this instance. It exists only while
// something does.
type presence struct {
	calls   map[string]*Conn // by idKey of the request
	conns   map[*Conn]struct{}
	readers map[*Reader]struct{}
}

// ErrClosed says that the node is closed and takes no more requests.
var ErrClosed = errors.New("instance is shutting down")

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
		link:      l,
		id:        strings.ToLower(rand.Text()[:16]),
		store:     o.Store,
		opts:      o,
		conns:     map[string]*Conn{},
		readers:   map[string]*Reader{},
		listeners: map[*Listener]struct{}{},
		sessions:  map[string]*presence{},
		awaited:   map[string]chan struct{}{},
	}
	n.keeper.init(n)
	if _, err := n.renew(ctx, "0"); err != nil {
		return nil, err
	}
	if err := n.bus.Join(ctx); err != nil {
		return nil, err
	}
	// The loops outlive the call to NewNode; Close ends them.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	n.wg.Go(func() { n.readInbox(run) })
	n.wg.Go(func() {
		n.bus.Run(run, bus.Handlers{
			SessionEnded:  func(m bus.SessionEnded) { n.endSession(m.Session) },
			CallCancelled: n.cancelCall,
		})
	})
	n.wg.Go(func() { n.look(run) })
	n.wg.Go(func() { n.keeper.run(run) })
	return n, nil
}

// ID returns the random name of the instance.
func (n *Node) ID() string { return n.id }

// Publisher returns a publisher for the fleet, with the node's Redis client.
func (n *Node) Publisher() *Publisher { return &Publisher{n.link} }

// Log returns the logs of the fleet's streams.
func (n *Node) Log() *eventlog.Log { return n.log }

// Ready returns nil if Redis answers and the rest of the fleet sees this
// instance as alive.
func (n *Node) Ready(ctx context.Context) error {
	if err := n.rdb.Do(ctx, n.rdb.B().Ping().Build()).Error(); err != nil {
		return redisx.Unavailable("ping", err)
	}
	if !n.alive() {
		return errors.New("the instance's inbox has not been renewed")
	}
	return nil
}

// alive reports whether the fleet has reason to think that this instance lives.
func (n *Node) alive() bool {
	return time.Since(time.Unix(0, n.renewed.Load())) < inboxTTL
}

// Idle waits until no request runs on this instance, or ctx ends. Then it ends
// each stream of an HTTP+SSE session that is open here as soon as no call of
// the session runs elsewhere, because such a stream cannot be resumed.
func (n *Node) Idle(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n.Calls() > 0 || !n.letGo() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (n *Node) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// Calls returns how many requests run on this instance.
func (n *Node) Calls() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

// Streams returns how many streams are open on this instance.
func (n *Node) Streams() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.readers) + len(n.listeners)
}

// Close leaves the fleet: no more requests are accepted, those that still run
// are answered with an error, open streams end so that clients resume them
// elsewhere, and the inbox is deleted. Close waits for the node's goroutines;
// it is idempotent.
func (n *Node) Close(ctx context.Context) {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	var abandoned sync.WaitGroup
	for _, c := range n.allConns() {
		abandoned.Go(func() { c.abandon(ErrClosed) })
	}
	abandoned.Wait()
	n.CloseStreams(reconnectSoon)
	n.waitForStreams()
	n.stop()
	n.wg.Wait()
	// An inbox that stays would have the fleet wait for a dead instance.
	if err := n.rdb.Do(ctx, n.rdb.B().Del().Key(n.keys.Inbox(n.id)).Build()).Error(); err != nil {
		n.logger.Warn("inbox not removed", "error", err)
	}
}

// waitForStreams gives the connections of closed streams the time to say how
// far their clients have come.
func (n *Node) waitForStreams() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * n.opts.RedisTimeout); n.Streams() > 0 && time.Now().Before(deadline); {
		<-tick.C
	}
}

// CloseStreams ends every stream that is open here with a hint to reconnect
// after retry. The streams go on: they can be resumed anywhere.
func (n *Node) CloseStreams(retry time.Duration) {
	n.mu.Lock()
	readers := make([]*Reader, 0, len(n.readers))
	for _, r := range n.readers {
		readers = append(readers, r)
	}
	for l := range n.listeners {
		l.end()
	}
	n.mu.Unlock()
	for _, r := range readers {
		r.close(closing{retry: retry})
	}
}

// background runs f, which may block for calls to Redis, apart from the loop
// that found it necessary. Close waits for it.
func (n *Node) background(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.wg.Go(f)
	}
}

func (n *Node) allConns() []*Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	conns := make([]*Conn, 0, len(n.conns))
	for _, c := range n.conns {
		conns = append(conns, c)
	}
	return conns
}

func (n *Node) nextID() string { return strconv.FormatInt(n.seq.Add(1), 36) }

// presence returns what runs of a session here, which it makes if nothing did.
// n.mu must be held.
func (n *Node) presence(session string) *presence {
	p := n.sessions[session]
	if p == nil {
		p = &presence{calls: map[string]*Conn{}, conns: map[*Conn]struct{}{}, readers: map[*Reader]struct{}{}}
		n.sessions[session] = p
	}
	return p
}

// release forgets a session of which nothing runs. n.mu must be held.
func (n *Node) release(session string) {
	if p := n.sessions[session]; p != nil && len(p.conns) == 0 && len(p.readers) == 0 {
		delete(n.sessions, session)
	}
}

func (n *Node) addReader(r *Reader) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	n.readers[r.id] = r
	n.presence(r.stream.Session).readers[r] = struct{}{}
	return nil
}

func (n *Node) removeReader(r *Reader) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.sessions[r.stream.Session]; p != nil {
		delete(p.readers, r)
	}
	delete(n.readers, r.id)
	n.release(r.stream.Session)
	if r.feed != nil {
		r.feed.Close()
	}
}

func (n *Node) reader(id string) *Reader {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.readers[id]
}

func (n *Node) conn(id string) *Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conns[id]
}

// End tells the fleet that a session has ended: its streams and calls end on
// every instance, and none serves it from its cache any more.
func (n *Node) End(ctx context.Context, session string) error {
	n.endSession(session)
	return n.bus.Publish(ctx, bus.SessionEnded{Session: session})
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

// call returns the call with the given id that runs here, or nil.
func (n *Node) call(session string, id json.RawMessage) *Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.sessions[session]; p != nil {
		return p.calls[jsonrpcmsg.IDKey(id)]
	}
	return nil
}

// endSession ends what runs of a session here, after the session has ended.
func (n *Node) endSession(id string) {
	n.store.Forget(id)
	n.mu.Lock()
	var conns []*Conn
	var readers []*Reader
	if p := n.sessions[id]; p != nil {
		for c := range p.conns {
			conns = append(conns, c)
		}
		for r := range p.readers {
			readers = append(readers, r)
		}
	}
	n.mu.Unlock()
	for _, c := range conns {
		n.background(func() { c.abandon(sessionstore.ErrNotFound) })
	}
	for _, r := range readers {
		r.close(closing{})
	}
}
