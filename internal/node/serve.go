package node

import (
	"context"
	"errors"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// ServeOptions say how a stream is sent to its client.
type ServeOptions struct {
	// Priming sends events without data: they give the client an id to resume
	// from (protocol 2025-11-25 and later).
	Priming bool
	// Named gives messages the event name "message", and no id: clients of the
	// HTTP+SSE transport of protocol 2024-11-05 know the one and not the other.
	Named bool
	// KeepAlive is how long a stream is silent before a comment is sent.
	KeepAlive time.Duration
}

func (o ServeOptions) event(id eventlog.ID, data []byte) sse.Event {
	if o.Named {
		return sse.Event{Name: "message", Data: data}
	}
	return sse.Event{ID: id.String(), Data: data}
}

// An EventWriter takes the events of a stream to its client. A [sse.Writer] is
// one.
type EventWriter interface {
	Write(events ...sse.Event) error
	// Comment shows that the stream lives.
	Comment(text string) error
	// ExtendDeadline is called before the response ends.
	ExtendDeadline()
}

// Serve sends the stream's events to w until the stream ends, the connection
// breaks or ctx ends. It returns nil only if the client was sent everything,
// and otherwise the reason for which the connection ended. w must have been
// started.
func (r *Reader) Serve(ctx context.Context, w EventWriter, opts ServeOptions) error {
	quiet := time.NewTimer(opts.KeepAlive)
	defer quiet.Stop()
	defer w.ExtendDeadline() // for what net/http writes at the end
	for {
		// Looked at each time: there may always be something to send.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		todo := r.take()
		wrote, err := r.write(w, todo.events, opts)
		if err == nil && todo.closed == nil {
			var more bool
			more, err = r.writeChanges(w, opts)
			wrote = wrote || more
		}
		if err != nil {
			return err
		}
		if wrote {
			quiet.Reset(opts.KeepAlive)
			continue
		}
		if done, err := r.finish(w, todo); done {
			return err
		}
		var retry <-chan time.Time
		if todo.behind {
			err := r.catchUp(ctx)
			if err == nil {
				continue
			}
			if !errors.Is(err, redisx.ErrUnavailable) || todo.closed != nil {
				return err
			}
			r.node.logger.Warn("stream not read", "error", err)
			retry = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-retry:
		case <-quiet.C:
			if err := r.keepAlive(w, opts); err != nil {
				return err
			}
			quiet.Reset(opts.KeepAlive)
		}
	}
}

// keepAlive shows that the stream lives. If the bus went on without anything for
// the client, it is told where it is: back after a long quiet time it would seem
// to have missed more than is known.
func (r *Reader) keepAlive(w EventWriter, opts ServeOptions) error {
	id := r.Last()
	if !opts.Priming || id.Position == r.told {
		return w.Comment("keep-alive")
	}
	r.told = id.Position
	return w.Write(sse.Event{ID: id.String()})
}

// todo is what a reader has to do next.
type todo struct {
	events []eventlog.Event
	behind bool
	ended  bool
	last   []byte
	closed *closing
}

func (r *Reader) take() todo {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := todo{r.queue, r.behind, r.ended, r.last, r.closed}
	r.queue, r.bytes = nil, 0
	return t
}

// write sends events of the log and reports whether there were any.
func (r *Reader) write(w EventWriter, events []eventlog.Event, opts ServeOptions) (wrote bool, err error) {
	if len(events) == 0 {
		return false, nil
	}
	r.told = r.Last().Position
	out := make([]sse.Event, 0, len(events))
	for _, e := range events {
		if len(e.Data) > 0 || opts.Priming {
			e.ID.Position = r.told
			out = append(out, opts.event(e.ID, e.Data))
		}
	}
	if len(out) > 0 {
		if err := w.Write(out...); err != nil {
			return false, err
		}
	}
	last := events[len(events)-1].ID
	r.mu.Lock()
	r.sent, r.sentID = last.Offset+1, last
	r.mu.Unlock()
	return true, nil
}

// writeChanges sends what the stream has to hear of the bus, and reports
// whether that was anything.
func (r *Reader) writeChanges(w EventWriter, opts ServeOptions) (wrote bool, err error) {
	if r.feed == nil {
		return false, nil
	}
	items, _ := r.feed.Take() // what was lost is replaced
	if len(items) > 0 {
		id := r.Last()
		out := make([]sse.Event, 0, len(items))
		for _, i := range items {
			id.Position = i.At.String()
			out = append(out, opts.event(id, i.Change.Message()))
		}
		if err := w.Write(out...); err != nil {
			return false, err
		}
		r.told = id.Position
	}
	if at, known := r.feed.Position(); known {
		r.mu.Lock()
		r.sentAt = &at
		r.mu.Unlock()
	}
	return len(items) > 0, nil
}

// errClosed is why a connection ended whose stream goes on elsewhere.
var errClosed = errors.New("stream closed by the server")

// finish ends the connection if there is a reason to.
func (r *Reader) finish(w EventWriter, t todo) (done bool, err error) {
	switch {
	case t.ended && !t.behind && (t.closed == nil || !t.closed.lost):
		return true, nil // a response in the log is the one that counts
	case t.last != nil:
		return true, w.Write(sse.Event{Data: t.last})
	case t.closed != nil && t.behind && !t.closed.lost && r.carries():
		return false, nil // nobody can come back for the rest
	case t.closed != nil:
		if t.closed.retry > 0 && !r.carries() {
			err = w.Write(sse.Event{Retry: t.closed.retry})
		}
		if t.closed.lost {
			return true, errors.Join(eventlog.ErrLost, err)
		}
		return true, errors.Join(errClosed, err)
	default:
		return false, nil
	}
}

// catchUp reads from the log what was not delivered. It fails if the log no
// longer has what the client needs next.
func (r *Reader) catchUp(ctx context.Context) error {
	r.mu.Lock()
	from, news := r.next, r.news
	r.mu.Unlock()
	events, next, ended, err := r.node.log.Read(ctx, r.stream, from)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.logged(events, next, ended, news)
	r.mu.Unlock()
	return nil
}
