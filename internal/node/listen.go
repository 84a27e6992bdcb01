package node

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// A Filter is what a listener is to be notified of (specification 2026-07-28,
// "Subscriptions").
type Filter struct {
	Tools     bool     `json:"toolsListChanged,omitempty"`
	Prompts   bool     `json:"promptsListChanged,omitempty"`
	Resources bool     `json:"resourcesListChanged,omitempty"`
	URIs      []string `json:"resourceSubscriptions,omitempty"`
}

// Empty reports whether the filter lets no notification through.
func (f Filter) Empty() bool { return !f.Tools && !f.Prompts && !f.Resources && len(f.URIs) == 0 }

func (f Filter) lists() map[string]bool {
	wanted := map[string]bool{"tools": f.Tools, "prompts": f.Prompts, "resources": f.Resources}
	maps.DeleteFunc(wanted, func(_ string, wants bool) bool { return !wants })
	return wanted
}

func (f Filter) uris() map[string]position {
	wanted := make(map[string]position, len(f.URIs))
	for _, uri := range f.URIs {
		wanted[uri] = position{}
	}
	return wanted
}

// A Listener is one open subscriptions/listen stream. It gets every change that
// is made after it was opened, or ends. It has no log and cannot be resumed:
// 2026-07-28 has no resumption.
type Listener struct {
	node *Node
	id   json.RawMessage
	wake chan struct{}
	feed *feed
	done chan struct{} // closed when the instance leaves
}

// Listen opens a listener for the request with the given raw id. It gets
// changes from now on; it must be closed.
func (n *Node) Listen(id json.RawMessage, filter Filter) (*Listener, error) {
	l := &Listener{node: n, id: id, wake: make(chan struct{}, 1), done: make(chan struct{})}
	l.feed = &feed{tail: &n.tail, wake: l.signal}
	l.feed.open(n.tail.position(), true, filter.uris(), filter.lists())
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	n.listeners[l] = struct{}{}
	n.feeds.add(l.feed)
	return l, nil
}

func (l *Listener) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close closes the listener. It must be called.
func (l *Listener) Close() {
	l.node.mu.Lock()
	delete(l.node.listeners, l)
	l.node.mu.Unlock()
	l.node.feeds.remove(l.feed)
}

// end has the listener's request answered, once.
func (l *Listener) end() {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
}

// ErrTooSlow says that a listener has fallen so far behind that changes it
// should get are no longer known.
var ErrTooSlow = errors.New("the listener is too slow")

// Serve sends changes to w until ctx ends, the client is cut off because it
// reads too slowly, or the instance leaves the fleet. If the server ends the
// subscription, because it leaves or because ctx's deadline has passed, the
// listener's request is answered and Serve returns nil.
func (l *Listener) Serve(ctx context.Context, w *sse.Writer, keepAlive time.Duration) error {
	quiet := time.NewTimer(keepAlive)
	defer quiet.Stop()
	for {
		// Looked at each time: there may always be something to send.
		switch err := ctx.Err(); {
		case errors.Is(err, context.DeadlineExceeded):
			return l.Complete(w)
		case err != nil:
			return context.Cause(ctx)
		}
		items, lost := l.feed.take()
		if lost {
			return ErrTooSlow
		}
		if len(items) > 0 {
			if err := l.write(w, items); err != nil {
				return err
			}
			quiet.Reset(keepAlive)
			continue
		}
		select {
		case <-ctx.Done():
		case <-l.done:
			return l.Complete(w)
		case <-l.wake:
		case <-quiet.C:
			if err := w.Comment("keep-alive"); err != nil {
				return err
			}
			quiet.Reset(keepAlive)
		}
	}
}

func (l *Listener) write(w *sse.Writer, items []item) error {
	out := make([]sse.Event, 0, len(items))
	for _, i := range items {
		out = append(out, sse.Event{Data: i.change.forListener(l.id)})
	}
	return w.Write(out...)
}

// Acknowledge tells the client which part of its filter was accepted.
func (l *Listener) Acknowledge(w *sse.Writer, accepted json.RawMessage) error {
	return w.Write(sse.Event{Data: slices.Concat(
		[]byte(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":`), l.id,
		[]byte(`},"notifications":`), accepted, []byte(`}}`))})
}

// Complete sends the response to the listener's request: the server has ended
// the subscription.
func (l *Listener) Complete(w *sse.Writer) error {
	result := `{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":` + string(l.id) + `}}`
	return w.Write(sse.Event{Data: jsonrpcmsg.EncodeResult(l.id, json.RawMessage(result))})
}

// Restrict narrows the listener to the accepted part of its filter.
func (l *Listener) Restrict(accepted Filter) {
	l.feed.mu.Lock()
	l.feed.uris, l.feed.lists = accepted.uris(), accepted.lists()
	l.feed.mu.Unlock()
	l.node.feeds.add(l.feed)
}

// URIs returns the resources whose updates the listener gets, sorted.
func (l *Listener) URIs() []string {
	l.feed.mu.Lock()
	defer l.feed.mu.Unlock()
	return slices.Sorted(maps.Keys(l.feed.uris))
}

// Update notifies this one listener, if it listens to the resource, that the
// resource was updated. Several updates of a resource that wait to be sent are
// sent as one.
func (l *Listener) Update(uri string) {
	l.feed.mu.Lock()
	waits := slices.ContainsFunc(l.feed.extra, func(i item) bool { return i.change.uri == uri })
	if _, ok := l.feed.uris[uri]; ok && !waits {
		l.feed.extra = append(l.feed.extra, item{newUpdate(l.feed.at, uri), l.feed.at})
	}
	l.feed.mu.Unlock()
	l.signal()
}
