package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// An SSE session is one of the HTTP+SSE transport of protocol 2024-11-05. It has
// one stream, its standalone one, on which the client gets everything that the
// server sends, responses included. The stream cannot be resumed: the session
// ends with the stream's connection.
//
// Any instance runs the calls of such a session and relays what they send to the
// instance that has the stream open, the stream owner. The owner knows which
// instances relay, and ends the stream if one of them dies: no client waits for a
// response that cannot come.

// sseSession is what the owner of an SSE session's stream knows of the session.
type sseSession struct {
	relays        map[string]string // instances of the calls that run elsewhere, by name of the call
	missed        int               // checks in a row that found such an instance dead
	initialized   chan struct{}     // closed when the client has sent notifications/initialized
	isInitialized bool              // initialized is closed
}

// openSSESession makes r the stream of an SSE session.
func (r *Reader) openSSESession() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sse = &sseSession{relays: map[string]string{}, initialized: make(chan struct{})}
}

// isSSESession reports whether r is the stream of an SSE session.
func (r *Reader) isSSESession() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sse != nil
}

// Initialized returns a channel that is closed when the SSE session whose stream
// r follows has been initialized. It is nil for other streams.
func (r *Reader) Initialized() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sse == nil {
		return nil
	}
	return r.sse.initialized
}

// setInitialized notes that the SSE session has been initialized.
func (r *Reader) setInitialized() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sse.isInitialized {
		r.sse.isInitialized = true
		close(r.sse.initialized)
	}
}

// A StreamOwner identifies the connection that has the stream of an SSE session
// open.
type StreamOwner struct{ ref string }

// StreamOwner returns the owner of an SSE session's stream. It fails with
// [sessionstore.ErrNotFound] if there is none: the session must then be ended. An
// instance is considered dead only after two checks, so StreamOwner may block for
// some seconds.
func (n *Node) StreamOwner(ctx context.Context, id string) (StreamOwner, error) {
	for checks := 1; ; checks++ {
		states, err := n.log.States(ctx, []eventlog.StreamID{eventlog.StandaloneOf(id)})
		if err != nil {
			return StreamOwner{}, err
		}
		instance, reader := splitRef(states[0].Reader)
		if instance == "" || instance == n.id && n.reader(reader) == nil {
			return StreamOwner{}, sessionstore.ErrNotFound
		}
		alive, err := n.living(ctx, []string{instance})
		if err != nil {
			return StreamOwner{}, err
		}
		if alive[instance] {
			return StreamOwner{states[0].Reader}, nil
		}
		if checks == 2 && !n.canJudge() {
			return StreamOwner{}, redisx.Unavailable("look for the owner of a stream", errOwnerSilent)
		}
		if checks == 2 {
			return StreamOwner{}, sessionstore.ErrNotFound
		}
		select {
		case <-time.After(checkEvery):
		case <-ctx.Done():
			return StreamOwner{}, ctx.Err()
		}
	}
}

// A relay names a call to the owner of its session's stream.
type relay struct {
	owner string // the owner's reader; empty if there is none to be told
	call  string
}

// Relay directs all messages of req's call to the stream of its SSE session. If
// another instance owns that stream, it is told that the call runs here, until
// the call ends. Relay fails with [sessionstore.ErrNotFound] if the owner is gone.
// Pass req to [Node.Accept] afterwards.
func (n *Node) Relay(ctx context.Context, owner StreamOwner, req *Request) error {
	req.ResponseMode = ResponseRelayed
	instance, reader := splitRef(owner.ref)
	if instance == n.id || !req.Message.IsCall() {
		return nil
	}
	r := relay{owner.ref, n.id + "." + n.nextID()}
	told, err := n.sendToKeep(ctx, instance, relayStarted{Reader: reader, Session: req.Session, Call: r.call, Instance: n.id})
	switch {
	case err != nil:
		return err
	case told == fateAway:
		_, err = n.StreamOwner(ctx, req.Session) // its inbox was there a moment ago
	case told == fateGone:
		err = sessionstore.ErrNotFound
	}
	if err != nil {
		n.endRelay(ctx, r)
		return err
	}
	req.relay = r
	return nil
}

// endRelay tells the owner that a call has ended. While Redis is away it tries
// again in the background: otherwise the session would end when this instance
// leaves.
func (n *Node) endRelay(ctx context.Context, r relay) {
	if r.owner == "" || n.tellRelayEnded(ctx, r) {
		return
	}
	n.background(func() {
		n.untilDone(time.Second, func() bool { return n.tellRelayEnded(ctx, r) })
	})
}

func (n *Node) tellRelayEnded(ctx context.Context, r relay) (told bool) {
	instance, reader := splitRef(r.owner)
	_, err := n.sendToKeep(ctx, instance, relayEnded{Reader: reader, Call: r.call, Instance: n.id})
	if err != nil {
		n.logger.Warn("owner of a stream not told", "error", err)
	}
	return err == nil
}

// receiveRelayStarted takes the news that another instance runs a call of an SSE
// session whose stream is here. It must not block.
func (n *Node) receiveRelayStarted(m relayStarted) {
	if r := n.reader(m.Reader); r != nil {
		r.startRelay(m.Call, m.Instance)
		return
	}
	// The stream has ended here and the session, for want of Redis, has not.
	n.background(func() { n.EndSSESession(context.Background(), m.Session) }) // each call to Redis is bounded
}

// receiveRelayEnded takes the news that such a call has ended.
func (n *Node) receiveRelayEnded(m relayEnded) {
	if r := n.reader(m.Reader); r != nil {
		r.endRelay(m.Call)
		n.ended.Send()
	}
}

func (r *Reader) startRelay(call, instance string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sse != nil {
		r.sse.relays[call] = instance
	}
}

func (r *Reader) endRelay(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sse != nil {
		delete(r.sse.relays, call)
	}
}

// relaying returns the instances that run calls of the SSE session whose open
// stream r is. It is not ok if r is none.
func (r *Reader) relaying() (instances []string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sse == nil || r.closed != nil {
		return nil, false
	}
	return slices.Collect(maps.Values(r.sse.relays)), true
}

// checkedRelays notes whether the instances that run calls of the SSE session
// were found alive, and returns how often in a row they were not.
func (r *Reader) checkedRelays(alive bool) (missed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sse.missed++; alive {
		r.sse.missed = 0
	}
	return r.sse.missed
}

// EndSSESession ends an SSE session. While Redis is unavailable it retries in the
// background, until this instance leaves the fleet.
func (n *Node) EndSSESession(ctx context.Context, id string) {
	if n.endSSESession(ctx, id) == nil {
		return
	}
	n.background(func() {
		n.untilDone(time.Second, func() bool { return n.endSSESession(context.WithoutCancel(ctx), id) == nil })
	})
}

func (n *Node) endSSESession(ctx context.Context, id string) error {
	err := n.store.Delete(ctx, id)
	if err == nil || errors.Is(err, sessionstore.ErrNotFound) {
		err = n.End(ctx, id)
	}
	if err != nil {
		n.logger.WarnContext(ctx, "session not ended", "error", err)
	}
	return err
}

// Negotiate stores the outcome of the initialize of an SSE session, and tells the
// owner of its stream.
func (n *Node) Negotiate(ctx context.Context, owner StreamOwner, id string, a sessionstore.Agreement) error {
	err := n.store.Negotiate(ctx, id, a)
	if err == nil {
		n.reloadSoon(ctx, owner.ref)
	}
	return err
}

// TellInitialized tells the owner of an SSE session's stream that the session has
// been initialized.
func (n *Node) TellInitialized(ctx context.Context, owner StreamOwner) { n.reloadSoon(ctx, owner.ref) }

// loadAgreement takes from the record of an SSE session what its stream has to
// know, and what was not there when the stream began.
func (n *Node) loadAgreement(ctx context.Context, r *Reader) error {
	if !r.isSSESession() {
		return nil
	}
	rec, err := n.store.LoadFresh(ctx, r.stream.Session)
	if err != nil {
		return err
	}
	from, _ := bus.ParsePosition(rec.Position)
	r.feed.Announce(announced(rec.ServerCapabilities), from)
	if rec.Initialized {
		r.setInitialized()
	}
	return nil
}

// sseReaders returns the open streams of SSE sessions here, with the instances
// that run calls of each.
func (n *Node) sseReaders() map[*Reader][]string {
	readers := map[*Reader][]string{}
	for _, r := range n.allReaders() {
		if instances, ok := r.relaying(); ok {
			readers[r] = instances
		}
	}
	return readers
}

// checkRelays ends the streams of SSE sessions that wait for a response of a dead
// instance.
func (n *Node) checkRelays(ctx context.Context) {
	readers := n.sseReaders()
	var instances []string
	for _, relaying := range readers {
		instances = append(instances, relaying...)
	}
	alive, err := n.living(ctx, instances)
	if err != nil {
		n.logger.Warn("streams not checked", "error", err)
	}
	canJudge := err == nil && n.canJudge()
	for r, relaying := range readers {
		dead := slices.ContainsFunc(relaying, func(instance string) bool { return !alive[instance] })
		if r.checkedRelays(!dead || !canJudge) >= 2 {
			n.logger.Warn("ended a session that waits for a dead instance")
			r.close(closing{})
		}
	}
}

// closeIdle ends the streams of SSE sessions that have no call running elsewhere,
// and reports whether there are no others.
func (n *Node) closeIdle() bool {
	all := true
	for r, relaying := range n.sseReaders() {
		if len(relaying) > 0 {
			all = false
			continue
		}
		r.close(closing{})
	}
	return all
}
