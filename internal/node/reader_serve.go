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
	// Quiet returns a channel that receives each time that nothing has been
	// written for d.
	Quiet(d time.Duration) <-chan time.Time
	// ExtendDeadline is called before the response ends.
	ExtendDeadline()
}

// Serve sends the stream's events to w until the stream ends, the connection
// breaks or ctx ends. It returns nil only if the client was sent everything,
// and otherwise the reason for which the connection ended. w must have been
// started.
func (r *Reader) Serve(ctx context.Context, w EventWriter, opts ServeOptions) error {
	s := serving{Reader: r, w: w, opts: opts, position: r.Last().Position}
	quiet := w.Quiet(opts.KeepAlive)
	defer w.ExtendDeadline() // for what net/http writes at the end
	for {
		// Checked each time: on a busy stream the select below may never be reached.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		todo := r.take()
		if wrote, err := s.write(todo); wrote || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if done, err := s.finish(todo); done {
			return err
		}
		retry, err := r.catchUp(ctx, todo)
		if err != nil {
			return err
		}
		if todo.behind && retry == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-retry:
		case <-quiet:
			if err := s.keepAlive(); err != nil {
				return err
			}
		}
	}
}

// serving is a reader that sends its stream to a client.
type serving struct {
	*Reader
	w        EventWriter
	opts     ServeOptions
	position string // the last position on the bus that the client was sent
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
	return todo{r.queue.take(), r.queue.behind, r.queue.ended, r.last, r.closed}
}

// write sends what there is of the log and of the bus, and reports whether there
// was anything.
func (s *serving) write(t todo) (wrote bool, err error) {
	wrote, err = s.writeEvents(t.events)
	if err != nil || t.closed != nil {
		return wrote, err
	}
	changed, err := s.writeChanges()
	return wrote || changed, err
}

// writeEvents sends events of the log and reports whether there were any.
func (s *serving) writeEvents(events []eventlog.Event) (wrote bool, err error) {
	if len(events) == 0 {
		return false, nil
	}
	s.position = s.Last().Position
	out := make([]sse.Event, 0, len(events))
	for _, e := range events {
		if len(e.Data) > 0 || s.opts.Priming {
			e.ID.Position = s.position
			out = append(out, s.opts.event(e.ID, e.Data))
		}
	}
	if len(out) > 0 {
		if err := s.w.Write(out...); err != nil {
			return false, err
		}
	}
	last := events[len(events)-1].ID
	s.mu.Lock()
	s.sent, s.sentID = last.Offset+1, last
	s.mu.Unlock()
	return true, nil
}

// writeChanges sends what the client must hear of the bus, and reports whether
// that was anything.
func (s *serving) writeChanges() (wrote bool, err error) {
	if s.feed == nil {
		return false, nil
	}
	items, _ := s.feed.Take() // what was lost is replaced
	if len(items) > 0 {
		id := s.Last()
		out := make([]sse.Event, 0, len(items))
		for _, i := range items {
			id.Position = i.At.String()
			out = append(out, s.opts.event(id, i.Change.Message()))
		}
		if err := s.w.Write(out...); err != nil {
			return false, err
		}
		s.position = id.Position
	}
	if at, known := s.feed.Position(); known {
		s.mu.Lock()
		s.sentAt = &at
		s.mu.Unlock()
	}
	return len(items) > 0, nil
}

// keepAlive shows that the stream lives. If the bus went on without anything for
// the client, the client gets its new position: with the old one it would seem,
// when it resumes after a long time, to have missed more than the tail has.
func (s *serving) keepAlive() error {
	id := s.Last()
	if !s.opts.Priming || id.Position == s.position {
		return s.w.Comment("keep-alive")
	}
	s.position = id.Position
	return s.w.Write(sse.Event{ID: id.String()})
}

// finish ends the connection if there is a reason to.
func (s *serving) finish(t todo) (done bool, err error) {
	switch {
	case t.ended && !t.behind && (t.closed == nil || !t.closed.lost):
		return true, nil // a response in the log is the one that counts
	case t.last != nil:
		return true, s.w.Write(sse.Event{Data: t.last})
	case t.closed == nil:
		return false, nil
	case t.behind && !t.closed.lost && s.isSSESession():
		return false, nil // nobody can come back for the rest
	}
	if t.closed.retry > 0 && !s.isSSESession() {
		err = s.w.Write(s.farewell(t.closed.retry))
	}
	if t.closed.lost {
		return true, errors.Join(eventlog.ErrLost, err)
	}
	return true, errors.Join(errClosedByServer, err)
}

// farewell asks the client to come back, with its new position if there is one: a
// go-sdk client gives its session up after six connections without a new id.
func (s *serving) farewell(retry time.Duration) sse.Event {
	e := sse.Event{Retry: retry}
	if id := s.Last(); s.opts.Priming && id.Position != s.position {
		e.ID = id.String()
	}
	return e
}

// catchUp reads from the log what was not delivered, if there may be something.
// It fails if the log no longer has what the client needs next. While Redis is
// away it returns when to try again, unless the connection is to end.
func (r *Reader) catchUp(ctx context.Context, t todo) (retry <-chan time.Time, err error) {
	if !t.behind {
		return nil, nil
	}
	err = r.readLog(ctx)
	if errors.Is(err, redisx.ErrUnavailable) && t.closed == nil {
		r.node.logger.Warn("stream not read", "error", err)
		return time.After(time.Second), nil
	}
	return nil, err
}

func (r *Reader) readLog(ctx context.Context) error {
	r.mu.Lock()
	from, news := r.queue.next, r.queue.news
	r.mu.Unlock()
	events, next, ended, err := r.node.log.Read(ctx, r.stream, from)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.addLogged(events, next, ended, news)
	r.mu.Unlock()
	return nil
}
