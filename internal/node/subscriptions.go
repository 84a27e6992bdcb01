package node

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Position returns the position on the bus up to which this instance has read.
// A subscription from there on misses no update that is made after it was
// confirmed.
func (n *Node) Position() string { return n.bus.Position().String() }

// Subscribe subscribes a session to a resource, from a position on the bus on.
// When it returns nil the session's standalone stream, if it is open, gets every
// update made from then on. It blocks until the instance that has the stream open
// confirms that, and fails with [sessionstore.ErrUnavailable] if that instance
// does not answer; then the session may be subscribed.
func (n *Node) Subscribe(ctx context.Context, session, uri, position string) error {
	subscribe := func() (string, error) { return n.store.Subscribe(ctx, session, uri, position) }
	reader, err := subscribe()
	if err != nil {
		return err
	}
	switch instance, id := splitRef(reader); instance {
	case "":
		return nil
	case n.id:
		return n.reload(ctx, id)
	default:
		return n.reloadElsewhere(ctx, reader, subscribe)
	}
}

// Unsubscribe ends a session's subscription to a resource.
func (n *Node) Unsubscribe(ctx context.Context, session, uri string) error {
	reader, err := n.store.Unsubscribe(ctx, session, uri)
	if err == nil {
		n.reloadSoon(ctx, reader)
	}
	return err
}

// reloadSoon has a reader, wherever it is, load its session's subscriptions again.
// It does not wait for it.
func (n *Node) reloadSoon(ctx context.Context, ref string) {
	switch instance, id := splitRef(ref); instance {
	case "":
	case n.id:
		n.background(func() { n.reloadSubscriptions(subscriptionsChanged{Reader: id}) })
	default:
		n.tell(ctx, instance, subscriptionsChanged{Reader: id})
	}
}

// askAgain is how often it is asked who reads a stream whose instance does not
// answer.
const askAgain = 250 * time.Millisecond

// reloadElsewhere has a reader on another instance load its session's
// subscriptions, and waits until it has, or until current returns another reader:
// whoever attached later has loaded them since. An instance whose inbox is gone may
// have lost it: it is asked again while it may live. It is taken for dead as the
// monitor does; should it live, it loads them before it sends anything more.
func (n *Node) reloadElsewhere(ctx context.Context, ref string, current func() (ref string, err error)) error {
	waiter, done := n.waiters.add()
	defer n.waiters.remove(waiter)
	instance, id := splitRef(ref)
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	asked, began := false, time.Now()
	for {
		if !asked {
			var err error
			if asked, err = n.send(ctx, instance, subscriptionsChanged{Reader: id, Instance: n.id, Waiter: waiter}); err != nil {
				return err
			}
		}
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
		if reader, err := current(); err != nil || reader != ref {
			return err
		}
		waited := time.Since(began)
		switch {
		case asked && waited >= n.opts.RedisTimeout:
			return redisx.Unavailable("subscribe", errOwnerSilent)
		case !asked && waited >= missingIsDead && n.canJudge():
			return nil
		case !asked && waited >= missingIsDead:
			return redisx.Unavailable("subscribe", errOwnerSilent)
		}
	}
}

// waiters wait here for what other instances were asked to do.
type waiters struct {
	mu    sync.Mutex // guards all fields below
	last  int64
	names map[string]chan struct{}
}

// add returns the name of a new waiter, and a channel that is closed when what it
// waits for has happened.
func (w *waiters) add() (name string, happened chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names == nil {
		w.names = map[string]chan struct{}{}
	}
	w.last++
	name, happened = strconv.FormatInt(w.last, 36), make(chan struct{})
	w.names[name] = happened
	return name, happened
}

func (w *waiters) remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.names, name)
}

// wake wakes the waiter with that name, if there is one.
func (w *waiters) wake(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if happened, ok := w.names[name]; ok {
		delete(w.names, name)
		close(happened)
	}
}

// reloadSubscriptions is reload for another instance, which may wait for it.
func (n *Node) reloadSubscriptions(m subscriptionsChanged) {
	ctx := context.Background() // of a message from the inbox; each call to Redis is bounded
	err := n.reload(ctx, m.Reader)
	if err == nil && m.Waiter != "" {
		_, err = n.send(ctx, m.Instance, subscriptionsLoaded{Waiter: m.Waiter})
	}
	if err != nil {
		n.logger.Warn("subscriptions not loaded", "error", err)
	}
}

// reload has a reader here load its session's subscriptions again.
func (n *Node) reload(ctx context.Context, reader string) error {
	r := n.reader(reader)
	if r == nil || r.feed == nil {
		return nil
	}
	return r.loads.do(func() error {
		if err := n.loadAgreement(ctx, r); err != nil {
			return err
		}
		subs, err := n.subscriptions(ctx, r.stream.Session)
		if err != nil {
			return err
		}
		r.feed.Subscribe(subs)
		r.wake.Send()
		return nil
	})
}

// loads lets many that ask at once share one load. One load runs at a time, so
// nothing newer is replaced by something older.
type loads struct {
	asked  atomic.Int64
	turn   turn  // guards loaded, also during the calls to Redis
	loaded int64 // how many of those that asked have been served
}

// do returns when what load brings is no older than the call of do.
func (l *loads) do(load func() error) error {
	number := l.asked.Add(1)
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.loaded >= number {
		return nil
	}
	return l.run(load)
}

// doFirst is do for a load that no other can replace.
func (l *loads) doFirst(load func() error) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	return l.run(load)
}

// run loads for all that have asked so far. l.turn must be held.
func (l *loads) run(load func() error) error {
	asked := l.asked.Load()
	err := load()
	if err == nil {
		l.loaded = asked
	}
	return err
}

func (n *Node) subscriptions(ctx context.Context, session string) (map[string]bus.Position, error) {
	stored, err := n.store.Subscriptions(ctx, session)
	if err != nil {
		return nil, err
	}
	subs := make(map[string]bus.Position, len(stored))
	for uri, from := range stored {
		// A position that cannot be read is the beginning: too many updates
		// are better than too few.
		subs[uri], _ = bus.ParsePosition(from)
	}
	return subs, nil
}

// openFeed begins what a standalone stream gets of the bus: behind a position,
// or if that is empty from where the session began. Of a client that begins
// anew nothing is known: it is notified of everything that it wants.
func (n *Node) openFeed(ctx context.Context, r *Reader, rec sessionstore.Record, position string, anew bool) error {
	switch {
	case anew:
		position = ""
	case position == "":
		position = rec.Position
	}
	at, known := bus.ParsePosition(position)
	if known {
		r.mu.Lock()
		r.sentAt = &at
		r.mu.Unlock()
		n.bus.Reach(ctx, at)
	}
	return r.loads.doFirst(func() error {
		// The reader is known to Redis: from now on a subscription that changes
		// is loaded again.
		subs, err := n.subscriptions(ctx, rec.ID)
		if err != nil {
			return err
		}
		r.feed.Open(at, known, subs, announced(rec.ServerCapabilities))
		return nil
	})
}

// announced returns the lists whose changes a server announces.
func announced(capabilities json.RawMessage) map[bus.List]bool {
	var declared map[string]json.RawMessage
	announced := map[bus.List]bool{}
	if json.Unmarshal(capabilities, &declared) != nil {
		return announced
	}
	for _, list := range bus.Lists {
		var of struct {
			ListChanged bool `json:"listChanged"`
		}
		if json.Unmarshal(declared[list.Capability()], &of) == nil && of.ListChanged {
			announced[list] = true
		}
	}
	return announced
}
