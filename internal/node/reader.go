package node

import (
	"context"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/signal"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// How long a client is asked to wait before it reconnects.
const (
	// reconnectLater is for a client that has a newer connection: the two must
	// not take the stream from each other in turns.
	reconnectLater = 3 * time.Second
	// reconnectSoon is for a client whose instance leaves.
	reconnectSoon = 100 * time.Millisecond
)

// A Reader is one open HTTP response that follows a stream. A stream has at
// most one at any time: a newer one takes over.
//
// It sends events in order and once: it knows the offset it needs next, drops
// duplicates, and reads the log if something is missing.
//
// [Reader.Serve] is called once; the other methods are safe for concurrent use.
type Reader struct {
	node   *Node
	id     string
	stream eventlog.StreamID

	wake  signal.Wake // sent when something below has changed
	feed  *bus.Feed   // of the bus; nil unless the stream is the standalone one
	loads loads       // of what the feed wants

	mu     sync.Mutex    // guards all fields below
	queue  logQueue      // of the stream's log
	sent   int64         // offset after the last event sent to the client
	sentID eventlog.ID   // of the last event sent to the client, or of where the log was joined
	sentAt *bus.Position // where on the bus the client is with what it was sent; nil if unknown
	closed *closing
	// released says that the connection is over.
	released bool
	last     []byte      // a message that is in no log, to send before the end
	writer   string      // instance that writes the stream; empty for the standalone stream
	call     []byte      // raw id of the stream's call
	sse      *sseSession // nil unless the stream is that of an SSE session
}

// closing says how a connection ends before its stream does.
type closing struct {
	retry time.Duration // the client's wait before it reconnects; not said if zero
	taken bool          // another connection reads the stream now
	lost  bool          // the log has lost what the client has
}

// newReader registers a reader of a stream, so that events find it from then
// on. It must be released with [Reader.Release].
func (n *Node) newReader(stream eventlog.StreamID) (*Reader, error) {
	r := &Reader{node: n, id: n.nextID(), stream: stream, wake: signal.NewWake(), queue: newLogQueue(n.opts)}
	if eventlog.IsStandalone(stream.Stream) {
		r.feed, r.loads.turn = n.bus.NewFeed(r.wake.Send), make(turn, 1)
	}
	return r, n.addReader(r)
}

// LostCall returns the event for a client that wants to resume a call's stream
// after id when the log no longer has it: an error response to the call, with an
// event id after which nothing follows.
func LostCall(id eventlog.ID, err error) sse.Event {
	return sse.Event{ID: eventlog.End(id.Stream).String(), Data: jsonrpcmsg.EncodeError(eventlog.CallOf(id.Stream), err)}
}

// A Resumption is a stream that is to be served to a client.
type Resumption struct {
	*Reader
	Empty bool // the stream has ended and the client has all of it
}

// Resume makes a new connection the reader of a session's stream: behind the
// last event that the client got or, for the standalone stream without such an
// event, behind what its last reader has sent. It fails with [eventlog.ErrLost] if
// the log does not have the client's event. The caller serves the stream with
// [Reader.Serve] and must release it.
func (n *Node) Resume(ctx context.Context, rec sessionstore.Record, after *eventlog.ID) (*Resumption, error) {
	stream := eventlog.StandaloneOf(rec.ID)
	if after != nil {
		if after.IsEnd() {
			return nil, eventlog.ErrLost
		}
		stream.Stream = after.Stream
	}
	r, err := n.newReader(stream)
	if err != nil {
		return nil, err
	}
	if rec.HTTPSSE {
		r.openSSESession()
	}
	a, err := n.log.Attach(ctx, stream, n.readerRef(r), after)
	if err != nil {
		r.remove()
		return nil, err
	}
	r.attach(a)
	if after != nil && after.HasOffset() {
		r.mu.Lock()
		r.sentID = *after
		r.mu.Unlock()
	}
	if a.Previous != "" {
		n.takeOver(ctx, a.Previous)
	}
	if r.feed != nil {
		if err := n.openFeed(ctx, r, rec, a.Position, a.Lost || after != nil && *after == eventlog.Anew()); err != nil {
			r.Release(ctx)
			return nil, err
		}
	}
	if a.Writer != "" && !a.Ended {
		n.background(func() { n.checkNew(r) })
	}
	return &Resumption{Reader: r, Empty: a.Ended && a.From == a.Next}, nil
}

func (r *Reader) attach(a eventlog.Attachment) {
	r.mu.Lock()
	r.queue.next, r.sent, r.writer, r.call = a.From, a.From, a.Writer, a.Call
	r.sentID = eventlog.ID{Stream: r.stream.Stream, Offset: a.From}
	r.addLogged(a.Events, a.Next, a.Ended, 0)
	r.mu.Unlock()
	r.wake.Send()
}

// addLogged queues what was read of the log since news. r.mu must be held.
func (r *Reader) addLogged(events []eventlog.Event, next int64, ended bool, news int) {
	if r.queue.add(events, next, ended, news) {
		r.closeLost()
	}
}

// deliver takes an event that was just appended, or with end the news that the
// stream has ended before or behind it.
func (r *Reader) deliver(e eventlog.Event, end bool) {
	r.mu.Lock()
	switch {
	case e.ID.Nonce == "":
	case r.closed != nil && r.sse == nil:
		r.queue.fallBehind() // it is for the client's next connection
	case r.queue.push(e):
		r.closeLost()
	}
	if end {
		r.queue.end(e.ID)
	}
	r.mu.Unlock()
	r.wake.Send()
}

// closeLost ends the connection of a client that has events which the log has
// lost. When it comes back with the id of one it is told so. r.mu must be held.
func (r *Reader) closeLost() {
	if r.closed == nil {
		r.closed = &closing{retry: reconnectSoon, lost: true}
	}
}

// deliverUnlogged takes the stream's last message when it cannot be logged.
func (r *Reader) deliverUnlogged(data []byte) {
	r.mu.Lock()
	r.last = data
	r.mu.Unlock()
	r.wake.Send()
}

// readLogSoon has the reader read its log: there may be something new.
func (r *Reader) readLogSoon() {
	r.mu.Lock()
	r.queue.fallBehind()
	r.mu.Unlock()
	r.wake.Send()
}

// close ends the connection, not the stream.
func (r *Reader) close(c closing) {
	r.mu.Lock()
	if r.closed == nil {
		r.closed = &c
	}
	r.mu.Unlock()
	r.wake.Send()
}

// isEnded reports whether the whole stream has been queued.
func (r *Reader) isEnded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queue.ended
}

// compareEnd compares what has been queued with where the log ended, at next, when
// r was known to have read up to at least from.
func (r *Reader) compareEnd(from, next int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.queue.next == unattached:
	case next > r.queue.next:
		r.queue.fallBehind()
	case next < from:
		r.closeLost()
	default:
		return
	}
	r.wake.Send()
}

// yield ends the connection if another one reads the stream: the message that
// said so may have been lost. from is what r had read before Redis was asked for
// reader; unattached if r had not been made the reader yet.
func (r *Reader) yield(from int64, reader string) (yielded bool) {
	if from == unattached || reader == "" || reader == r.node.readerRef(r) {
		return false
	}
	r.close(closing{retry: reconnectLater, taken: true})
	return true
}

// nextOffset returns the offset of the next event to queue.
func (r *Reader) nextOffset() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queue.next
}

func (r *Reader) callID() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.call
}

func (r *Reader) writtenBy() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writer
}

// Session returns the id of the stream's session.
func (r *Reader) Session() string { return r.stream.Session }

// Standalone reports whether the stream belongs to no call.
func (r *Reader) Standalone() bool { return r.feed != nil }

// Last returns the event id from which the client can resume, given what it has
// been sent.
func (r *Reader) Last() eventlog.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.sentID
	id.Position = ""
	if r.sentAt != nil {
		id.Position = r.sentAt.String()
	}
	return id
}

// remove unregisters the reader: no event finds it from then on.
func (r *Reader) remove() {
	r.node.removeReader(r)
	if r.feed != nil {
		r.feed.Close()
	}
}

// Release gives up the stream. It blocks for one call to Redis, which records
// how far the client has come.
func (r *Reader) Release(ctx context.Context) {
	defer r.remove() // until Redis knows how far the client has come, r is not missing
	r.mu.Lock()
	r.released = true
	sent, taken := r.sent, r.closed != nil && r.closed.taken
	r.mu.Unlock()
	position := r.Last().Position
	r.node.Use(r.stream.Session) // the session was in use until now
	if taken {
		return
	}
	if err := r.node.log.Detach(ctx, r.stream, r.node.readerRef(r), sent, position); err != nil {
		r.node.logger.Warn("stream not detached", "error", err)
	}
}
