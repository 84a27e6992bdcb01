package node

import (
	"context"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
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

// rememberedNonces is how far back a reader notices that an event is another one
// than it had under the same offset.
const rememberedNonces = 64

// A Reader is one open HTTP response that follows a stream. A stream has at
// most one at any time: a newer one takes over.
//
// It sends events in order and once: it knows the offset it needs next, drops
// duplicates, and reads the log if something is missing.
type Reader struct {
	node   *Node
	id     string
	stream eventlog.StreamID

	wake  chan struct{} // has room for one: something below has changed
	feed  *bus.Feed     // of the bus; nil unless the stream is the standalone one
	loads loads         // of what the feed wants
	told  string        // the last position on the bus that the client was sent; for Serve alone

	mu      sync.Mutex
	queue   []eventlog.Event
	bytes   int                      // of the queue's data
	next    int64                    // offset of the next event to queue; unattached before Attach
	sent    int64                    // offset after the last event sent to the client
	sentID  eventlog.ID              // of the last event sent to the client, or its place if there is none
	sentAt  *bus.Position            // where on the bus the client is with what it was sent; nil if unknown
	behind  bool                     // the log may have events that are not queued
	news    int                      // how often behind was set, so that a look into the log knows what it missed
	nonces  [rememberedNonces]string // of the last events queued, by offset
	ended   bool                     // the event before next is the stream's last
	closed  *closing
	last    []byte // a message that is in no log, to send before the end
	writer  string // instance that writes the stream; empty for the standalone stream
	call    []byte // raw id of the stream's call
	missing int    // looks in a row that did not find what a legacy session waits for
	legacy  *legacy
}

const unattached = -1

// closing says how a connection ends before its stream does.
type closing struct {
	retry time.Duration // the client's wait before it reconnects; not said if zero
	taken bool          // another connection reads the stream now
	lost  bool          // the log has lost what the client has
}

// newReader registers a reader of a stream, so that events find it from then
// on. It must be released with [Reader.Release].
func (n *Node) newReader(stream eventlog.StreamID) (*Reader, error) {
	r := &Reader{node: n, id: n.nextID(), stream: stream, wake: make(chan struct{}, 1), next: unattached}
	if eventlog.IsStandalone(stream.Stream) {
		r.feed, r.loads.turn = n.bus.NewFeed(r.signal), make(turn, 1)
	}
	return r, n.addReader(r)
}

// LostCall returns what a client gets that wants to resume a call's stream after
// id when the log no longer has it: an error response to the call, with an event
// id after which nothing follows.
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
// event, behind what its last reader has sent. It fails with [eventlog.ErrLost] if the
// log does not have the client's event. The caller serves the stream with
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
	if rec.Legacy {
		r.carry()
	}
	a, err := n.log.Attach(ctx, stream, n.readerRef(r), after)
	if err != nil {
		n.removeReader(r)
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
		if err := n.openFeed(ctx, r, rec, a.Position, after != nil && *after == eventlog.Anew()); err != nil {
			r.Release(ctx)
			return nil, err
		}
	}
	if a.Writer != "" && !a.Ended {
		n.background(func() { n.lookAtNew(r) })
	}
	return &Resumption{Reader: r, Empty: a.Ended && a.From == a.Next}, nil
}

func (r *Reader) attach(a eventlog.Attachment) {
	r.mu.Lock()
	r.next, r.sent, r.writer, r.call = a.From, a.From, a.Writer, a.Call
	r.sentID = eventlog.ID{Stream: r.stream.Stream, Offset: a.From}
	r.logged(a.Events, a.Next, a.Ended, 0)
	r.mu.Unlock()
	r.signal()
}

// deliver takes an event that was just appended, or with end the news that the
// stream has ended before or behind it.
func (r *Reader) deliver(e eventlog.Event, end bool) {
	r.mu.Lock()
	switch {
	case e.ID.Nonce == "":
	case r.closed != nil && r.legacy == nil:
		r.fallBehind() // it is for the client's next connection
	default:
		r.push(e)
	}
	switch {
	case !end:
	case r.behind, r.next == unattached, e.ID.Nonce == "" && e.ID.Offset > r.next:
		r.fallBehind() // the log says where the end is
	default:
		r.ended = true
	}
	r.mu.Unlock()
	r.signal()
}

// push queues the next event. What is not the next, or does not fit, is left in
// the log. r.mu must be held.
func (r *Reader) push(e eventlog.Event) {
	switch {
	case r.next != unattached && e.ID.Offset < r.next:
		r.compare(e.ID)
	case e.ID.Offset > r.next || r.next == unattached,
		len(r.queue) >= r.node.opts.MaxQueue,
		len(r.queue) > 0 && r.bytes+len(e.Data) > r.node.opts.MaxQueueBytes:
		r.fallBehind()
	default:
		r.queue = append(r.queue, e)
		r.bytes += len(e.Data)
		r.nonces[r.next%rememberedNonces] = e.ID.Nonce
		r.next++
	}
}

// compare looks at an event whose offset has been queued before. It is the same
// event, come twice, or Redis has lost the end of the log in a failover and this
// is what took its place. r.mu must be held.
func (r *Reader) compare(id eventlog.ID) {
	if id.Offset < r.next-rememberedNonces {
		return
	}
	if had := r.nonces[id.Offset%rememberedNonces]; had != "" && had != id.Nonce {
		r.loseTail()
	}
}

// loseTail ends the connection of a client that has events which the log has
// lost. When it comes back with the id of one it is told so. r.mu must be held.
func (r *Reader) loseTail() {
	if r.closed == nil {
		r.closed = &closing{retry: reconnectSoon, lost: true}
	}
}

// fallBehind notes that the log has to be read. r.mu must be held.
func (r *Reader) fallBehind() {
	r.behind = true
	r.news++
}

// logged takes what a look into the log found: events, where the log ends, and
// whether the stream has ended. What happened since news may have been missed.
// r.mu must be held.
func (r *Reader) logged(events []eventlog.Event, next int64, ended bool, news int) {
	for _, e := range events {
		r.push(e)
	}
	r.behind = next > r.next || r.news != news
	r.ended = r.ended || ended && !r.behind
}

// deliverUnlogged takes the stream's last message when no log can be had.
func (r *Reader) deliverUnlogged(data []byte) {
	r.mu.Lock()
	r.last = data
	r.mu.Unlock()
	r.signal()
}

// lookInLog has the reader read its log: there may be something new.
func (r *Reader) lookInLog() {
	r.mu.Lock()
	r.fallBehind()
	r.mu.Unlock()
	r.signal()
}

// close ends the connection, not the stream.
func (r *Reader) close(c closing) {
	r.mu.Lock()
	if r.closed == nil {
		r.closed = &c
	}
	r.mu.Unlock()
	r.signal()
}

// isEnded reports whether the whole stream has been queued.
func (r *Reader) isEnded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// check compares what has been queued with where the log ended, at next, when
// r was known to have read up to at least from.
func (r *Reader) check(from, next int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.next == unattached:
	case next > r.next:
		r.fallBehind()
	case next < from:
		r.loseTail()
	default:
		return
	}
	r.signal()
}

// yield ends the connection if another one reads the stream: the message that
// said so may have been lost. r was known to have read up to at least from before
// reader was asked for.
func (r *Reader) yield(from int64, reader string) (yielded bool) {
	if from == unattached || reader == "" || reader == r.node.readerRef(r) {
		return false
	}
	r.close(closing{retry: reconnectLater, taken: true})
	return true
}

// position returns the offset of the next event to queue.
func (r *Reader) position() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
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

// sawWriter notes whether the instances that run a legacy session's calls were
// found alive, and returns how often in a row they were not.
func (r *Reader) sawWriter(alive bool) (missing int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missing++; alive {
		r.missing = 0
	}
	return r.missing
}

func (r *Reader) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
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

// Release gives up the stream. It blocks for one call to Redis, which records
// how far the client has come.
func (r *Reader) Release(ctx context.Context) {
	r.node.removeReader(r)
	r.mu.Lock()
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
