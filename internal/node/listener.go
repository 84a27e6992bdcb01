package node

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/signal"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// A Filter is what a listener is to be notified of (specification 2026-07-28,
// "Subscriptions").
type Filter struct {
	Lists []bus.List
	URIs  []string
}

// UnmarshalJSON reads the form that the specification gives a filter.
func (f *Filter) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	*f = Filter{}
	for _, list := range bus.Lists {
		var wanted bool
		if raw, ok := fields[list.FilterField()]; ok {
			if err := json.Unmarshal(raw, &wanted); err != nil {
				return err
			}
		}
		if wanted {
			f.Lists = append(f.Lists, list)
		}
	}
	if raw, ok := fields["resourceSubscriptions"]; ok {
		return json.Unmarshal(raw, &f.URIs)
	}
	return nil
}

// Empty reports whether the filter lets no notification through.
func (f Filter) Empty() bool { return len(f.Lists) == 0 && len(f.URIs) == 0 }

func (f Filter) lists() map[bus.List]bool {
	wanted := make(map[bus.List]bool, len(f.Lists))
	for _, list := range f.Lists {
		wanted[list] = true
	}
	return wanted
}

func (f Filter) uris() map[string]bus.Position {
	wanted := make(map[string]bus.Position, len(f.URIs))
	for _, uri := range f.URIs {
		wanted[uri] = bus.Position{}
	}
	return wanted
}

// A Listener is one open subscriptions/listen stream. It gets every change that
// is made after it was opened, or ends. It has no log and cannot be resumed:
// 2026-07-28 has no resumption. [Listener.Serve], [Listener.Acknowledge] and
// [Listener.Complete] are for one goroutine; the other methods are safe for
// concurrent use.
type Listener struct {
	node  *Node
	id    json.RawMessage
	wake  signal.Wake
	feed  *bus.Feed
	done  chan struct{} // closed when the instance leaves
	ended sync.Once     // guards the closing of done
}

// Listen opens a listener for the request with the given raw id. It gets changes
// from now on, and must be closed. Listen does no I/O; it fails with [ErrClosed].
func (n *Node) Listen(id json.RawMessage, filter Filter) (*Listener, error) {
	l := &Listener{node: n, id: id, wake: signal.NewWake(), done: make(chan struct{})}
	if err := n.addListener(l); err != nil {
		return nil, err
	}
	l.feed = n.bus.NewFeed(l.wake.Send)
	l.feed.Open(n.bus.Position(), true, filter.uris(), filter.lists())
	return l, nil
}

// Close closes the listener. It must be called.
func (l *Listener) Close() {
	l.feed.Close()
	l.node.removeListener(l)
}

// end has the listener's request answered, once.
func (l *Listener) end() {
	l.ended.Do(func() { close(l.done) })
}

// Serve sends changes to w until ctx ends, the client is cut off because it
// reads too slowly, or the instance leaves the fleet. If the server ends the
// subscription, because it leaves or because ctx's deadline has passed (by its
// cause), the listener's request is answered and Serve returns nil.
func (l *Listener) Serve(ctx context.Context, w *sse.Writer, keepAlive time.Duration) error {
	quiet := w.Quiet(keepAlive)
	for {
		// Checked each time: on a busy bus the select below may never be reached.
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, context.DeadlineExceeded):
			return l.Complete(w)
		case cause != nil:
			return cause
		}
		items, lost := l.feed.Take()
		switch {
		case lost && l.feed.Slow():
			return errTooSlow
		case lost:
			return errBusLost
		}
		if len(items) > 0 {
			if err := l.write(w, items); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-l.done:
			return l.Complete(w)
		case <-l.wake:
		case <-quiet:
			if err := w.KeepAlive(); err != nil {
				return err
			}
		}
	}
}

func (l *Listener) write(w *sse.Writer, items []bus.Item) error {
	out := make([]sse.Event, 0, len(items))
	for _, i := range items {
		out = append(out, sse.Event{Data: i.Change.MessageFor(l.id)})
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
func (l *Listener) Restrict(accepted Filter) { l.feed.Restrict(accepted.uris(), accepted.lists()) }

// URIs returns the resources whose updates the listener gets, sorted.
func (l *Listener) URIs() []string { return l.feed.URIs() }

// Update notifies this one listener, if it listens to the resource, that the
// resource was updated. Several updates of a resource that wait to be sent are
// sent as one.
func (l *Listener) Update(uri string) { l.feed.Offer(uri) }
