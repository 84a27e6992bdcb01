package transport

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/session"
)

// Position returns how far this instance has heard the bus. Whoever subscribes
// from there on misses no update that is made after it was confirmed.
func (n *Node) Position() string { return n.tail.position().String() }

// Subscribe subscribes a session to a resource, from a position on the bus on,
// and tells the instance that holds the session's standalone stream.
func (n *Node) Subscribe(ctx context.Context, session, uri, position string) error {
	reader, err := n.store.Subscribe(ctx, session, uri, position)
	if err == nil {
		n.resubscribe(ctx, reader)
	}
	return err
}

// Unsubscribe ends a session's subscription to a resource.
func (n *Node) Unsubscribe(ctx context.Context, session, uri string) error {
	reader, err := n.store.Unsubscribe(ctx, session, uri)
	if err == nil {
		n.resubscribe(ctx, reader)
	}
	return err
}

// resubscribe has a reader load its session's subscriptions again.
func (n *Node) resubscribe(ctx context.Context, ref string) {
	switch instance, id := splitRef(ref); instance {
	case "":
	case n.id:
		n.background(func() { n.reloadSubscriptions(id) })
	default:
		if _, err := n.send(ctx, instance, "k", kindSubscriptions, "r", id); err != nil {
			n.opts.Logger.Warn("reader not told of its subscriptions", "error", err)
		}
	}
}

func (n *Node) reloadSubscriptions(reader string) {
	r := n.reader(reader)
	if r == nil || r.feed == nil {
		return
	}
	ctx := context.Background() // of a message from the inbox; each call to Redis is bounded
	if err := n.learn(ctx, r); err != nil {
		n.opts.Logger.Warn("session not loaded", "error", err)
	}
	subs, err := n.subscriptions(ctx, r.stream.Session)
	if err != nil {
		n.opts.Logger.Warn("subscriptions not loaded", "error", err)
		return
	}
	// From here on what is heard of them is marked; what was heard before is
	// looked for.
	n.feeds.expect(r.feed, subs)
	r.feed.subscribe(subs)
	n.listFeed(r)
	r.signal()
}

// listFeed lists a reader's feed under what it wants, unless the reader has
// been released.
func (n *Node) listFeed(r *Reader) {
	n.feeds.add(r.feed)
	if n.reader(r.id) == nil {
		n.feeds.remove(r.feed)
	}
}

func (n *Node) subscriptions(ctx context.Context, session string) (map[string]position, error) {
	stored, err := n.store.Subscriptions(ctx, session)
	if err != nil {
		return nil, err
	}
	subs := make(map[string]position, len(stored))
	for uri, from := range stored {
		// A position that cannot be read is the beginning: too many updates
		// are better than too few.
		subs[uri], _ = parsePosition(from)
	}
	return subs, nil
}

// openFeed begins what a standalone stream gets of the bus: behind where its
// client says it is, else where the last reader was, else where the session
// began.
func (n *Node) openFeed(ctx context.Context, r *Reader, rec session.Record, a Attachment, after *EventID) error {
	at := a.Position
	switch {
	case after != nil:
		at = after.Position
	case at == "":
		at = rec.Position
	}
	f := r.feed
	f.lists = announced(rec.ServerCapabilities)
	if f.at, f.known = parsePosition(at); f.known {
		r.mu.Lock()
		r.sentAt = at
		r.mu.Unlock()
	}
	// Listed before the subscriptions are loaded: from now on a subscription
	// that changes is loaded again.
	subs, err := n.subscriptions(ctx, rec.ID)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.uris = subs
	f.mu.Unlock()
	n.listFeed(r)
	// What was heard while the feed was not listed was not marked.
	f.mark()
	return nil
}

// announced returns the lists whose changes a server announces.
func announced(capabilities json.RawMessage) map[string]bool {
	var caps mcp.ServerCapabilities
	wanted := map[string]bool{}
	if json.Unmarshal(capabilities, &caps) != nil {
		return wanted
	}
	wanted["tools"] = caps.Tools != nil && caps.Tools.ListChanged
	wanted["prompts"] = caps.Prompts != nil && caps.Prompts.ListChanged
	wanted["resources"] = caps.Resources != nil && caps.Resources.ListChanged
	maps.DeleteFunc(wanted, func(_ string, announces bool) bool { return !announces })
	return wanted
}
