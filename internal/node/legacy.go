package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A legacy session is one of the HTTP+SSE transport of protocol 2024-11-05. It
// has one stream, its standalone one, which carries all that the server says,
// responses included, and cannot be resumed: the session ends with the stream's
// connection. Any instance runs its calls. The one that holds the stream, the
// holder, knows which run elsewhere, and ends the stream if their instance dies:
// no client waits for a response that cannot come.

// legacy is what the holder knows of a legacy session.
type legacy struct {
	calls map[string]string // instances of the calls that run elsewhere, by name
	begun chan struct{}     // closed when the client has sent notifications/initialized
	known bool              // begun is closed
}

// carry makes r the stream of a legacy session.
func (r *Reader) carry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.legacy = &legacy{calls: map[string]string{}, begun: make(chan struct{})}
}

// carries reports whether r is the stream of a legacy session.
func (r *Reader) carries() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.legacy != nil
}

// Begun returns a channel that is closed when the HTTP+SSE session whose stream
// r follows has been initialized. It is nil for other streams.
func (r *Reader) Begun() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.legacy == nil {
		return nil
	}
	return r.legacy.begun
}

// A Holder identifies the connection that has the stream of an HTTP+SSE session
// open.
type Holder struct{ ref string }

// Holder returns the holder of an HTTP+SSE session's stream. It fails with
// [sessionstore.ErrNotFound] if there is none: the session must then be ended. An
// instance is considered dead only after two checks, so Holder may block for
// some seconds.
func (n *Node) Holder(ctx context.Context, id string) (Holder, error) {
	for looks := 1; ; looks++ {
		states, err := n.log.States(ctx, []eventlog.StreamID{eventlog.StandaloneOf(id)})
		if err != nil {
			return Holder{}, err
		}
		instance, reader := splitRef(states[0].Reader)
		if instance == "" || instance == n.id && n.reader(reader) == nil {
			return Holder{}, sessionstore.ErrNotFound
		}
		alive, err := n.living(ctx, []string{instance})
		if err != nil {
			return Holder{}, err
		}
		if alive[instance] {
			return Holder{states[0].Reader}, nil
		}
		if looks == 2 {
			return Holder{}, sessionstore.ErrNotFound
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return Holder{}, ctx.Err()
		}
	}
}

// carriage names a call to the holder of its session's stream.
type carriage struct {
	holder string // empty if there is none to be told
	name   string
}

// Carry directs all messages of req's call to the stream of its HTTP+SSE
// session. If another instance holds that stream, it is told that the call runs
// here, until the call ends. Carry fails with [sessionstore.ErrNotFound] if the
// holder is gone. Pass req to [Node.Accept] afterwards.
func (n *Node) Carry(ctx context.Context, h Holder, req *Request) error {
	req.ResponseMode = ResponseRelayed
	instance, reader := splitRef(h.ref)
	if instance == n.id || !req.Message.IsCall() {
		return nil
	}
	c := carriage{h.ref, n.id + "." + n.nextID()}
	alive, err := n.send(ctx, instance, relayStarted{Reader: reader, Session: req.Session, Call: c.name, Instance: n.id})
	if err == nil && !alive {
		err = sessionstore.ErrNotFound
	}
	if err != nil {
		return err
	}
	req.carried = c
	return nil
}

// carriedOut tells the holder that a call has ended. While Redis is away it tries
// on, as EndLegacy does: the session would end with this instance.
func (n *Node) carriedOut(ctx context.Context, c carriage) {
	if c.holder == "" || n.tellRan(ctx, c) {
		return
	}
	n.background(func() {
		for !n.isClosed() && !n.tellRan(ctx, c) {
			time.Sleep(time.Second)
		}
	})
}

func (n *Node) tellRan(ctx context.Context, c carriage) (told bool) {
	instance, reader := splitRef(c.holder)
	_, err := n.send(ctx, instance, relayEnded{Reader: reader, Call: c.name, Instance: n.id})
	if err != nil {
		n.logger.Warn("holder of a stream not told", "error", err)
	}
	return err == nil
}

// receiveRelayStarted takes the news that another instance runs a call of an SSE
// session whose stream is here. It must not block.
func (n *Node) receiveRelayStarted(m relayStarted) {
	if r := n.reader(m.Reader); r != nil {
		r.relayStarted(m)
		return
	}
	// The stream has ended here and the session, for want of Redis, has not.
	n.background(func() { n.EndLegacy(context.Background(), m.Session) }) // each call to Redis is bounded
}

// receiveRelayEnded takes the news that such a call has ended.
func (n *Node) receiveRelayEnded(m relayEnded) {
	if r := n.reader(m.Reader); r != nil {
		r.relayEnded(m)
	}
}

func (r *Reader) relayStarted(m relayStarted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.legacy != nil {
		r.legacy.calls[m.Call] = m.Instance
	}
}

func (r *Reader) relayEnded(m relayEnded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.legacy != nil {
		delete(r.legacy.calls, m.Call)
	}
}

// EndLegacy ends an HTTP+SSE session. While Redis is unavailable it retries in
// the background, until this instance leaves the fleet.
func (n *Node) EndLegacy(ctx context.Context, id string) {
	if n.endLegacy(ctx, id) == nil {
		return
	}
	n.background(func() {
		for !n.isClosed() && n.endLegacy(context.WithoutCancel(ctx), id) != nil {
			time.Sleep(time.Second)
		}
	})
}

func (n *Node) endLegacy(ctx context.Context, id string) error {
	err := n.store.Delete(ctx, id)
	if err == nil || errors.Is(err, sessionstore.ErrNotFound) {
		err = n.End(ctx, id)
	}
	if err != nil {
		n.logger.WarnContext(ctx, "session not ended", "error", err)
	}
	return err
}

// Negotiate stores the outcome of the initialize of an HTTP+SSE session, and
// tells the holder of its stream.
func (n *Node) Negotiate(ctx context.Context, h Holder, id string, a sessionstore.Agreement) error {
	err := n.store.Negotiate(ctx, id, a)
	if err == nil {
		n.resubscribe(ctx, h.ref)
	}
	return err
}

// Begin tells the holder of an HTTP+SSE session's stream that the session has
// been initialized.
func (n *Node) Begin(ctx context.Context, h Holder) { n.resubscribe(ctx, h.ref) }

// learn takes from the record of a legacy session what its stream's feed has to
// know, which was not there when the stream began.
func (n *Node) learn(ctx context.Context, r *Reader) error {
	if !r.carries() {
		return nil
	}
	rec, err := n.store.LoadFresh(ctx, r.stream.Session)
	if err != nil {
		return err
	}
	from, _ := bus.ParsePosition(rec.Position)
	r.feed.Announce(announced(rec.ServerCapabilities), from)
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec.Initialized && !r.legacy.known {
		r.legacy.known = true
		close(r.legacy.begun)
	}
	return nil
}

// carriers returns the streams of legacy sessions that are open here, with the
// instances that run calls of each.
func (n *Node) carriers() map[*Reader][]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	carriers := map[*Reader][]string{}
	for _, r := range n.readers {
		r.mu.Lock()
		if r.legacy != nil && r.closed == nil {
			carriers[r] = slices.Collect(maps.Values(r.legacy.calls))
		}
		r.mu.Unlock()
	}
	return carriers
}

// lookAfterCarried ends the streams of legacy sessions that wait for a response
// of a dead instance.
func (n *Node) lookAfterCarried(ctx context.Context) {
	carriers := n.carriers()
	var instances []string
	for _, run := range carriers {
		instances = append(instances, run...)
	}
	alive, err := n.living(ctx, instances)
	if err != nil {
		n.logger.Warn("streams not looked after", "error", err)
	}
	canJudge := err == nil && n.canJudge()
	for r, run := range carriers {
		living := true
		for _, instance := range run {
			living = living && alive[instance]
		}
		if r.sawWriter(living || !canJudge) >= 2 {
			n.logger.Warn("ended a session that waits for a dead instance")
			r.close(closing{})
		}
	}
}

// letGo ends the streams of legacy sessions that have no call running
// elsewhere, and reports whether there are no others.
func (n *Node) letGo() bool {
	all := true
	for r, run := range n.carriers() {
		if len(run) > 0 {
			all = false
			continue
		}
		r.close(closing{})
	}
	return all
}
