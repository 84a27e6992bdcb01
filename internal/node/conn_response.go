package node

import (
	"context"
	"errors"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A ResponseMode says where the messages of a request's handler go.
type ResponseMode int

const (
	// ResponseOwn is the HTTP response to the request: one JSON body, or a stream
	// once there is more to say than the response.
	ResponseOwn ResponseMode = iota
	// ResponseShared sends only the response there, in one JSON body; all
	// other messages go to the session's standalone stream. It is for the calls
	// of a batch, which share one HTTP response.
	ResponseShared
	// ResponseRelayed sends everything, including the response, to the session's
	// standalone stream. It is for sessions of the HTTP+SSE transport; see
	// [Node.Relay].
	ResponseRelayed
)

// usesStandalone reports whether what the handler sends besides the response goes
// to the session's standalone stream.
func (c *Conn) usesStandalone() bool { return c.req.ResponseMode != ResponseOwn }

// phase is how far the HTTP response to a call has come.
type phase int

const (
	phaseJSON   phase = iota // nothing has been sent: one JSON body will do
	phaseStream              // it is a stream
	phaseParked              // it has been asked for input, and the client has yet to send it
	phaseFront               // another request, which has brought the input, gets what is sent
	phaseDone                // it is complete
)

// A Response is what answers a call whose HTTP response is no stream.
type Response struct {
	Body []byte // a JSON-RPC response
	Code int64  // of the error that it is, if it is one
	Err  error  // why there is none, from OnResult
}

// complete completes the HTTP response with a JSON-RPC response, if it is not
// complete yet. c.out must be held.
func (c *Conn) complete(ctx context.Context, response []byte) { c.completeWith(ctx, response, 0) }

// completeWith is complete for a response that may be an error with a code of which
// the HTTP status depends.
func (c *Conn) completeWith(ctx context.Context, response []byte, code int64) {
	if c.phase == phaseJSON && c.usesStandalone() {
		c.withdrawServerRequests(ctx)
	}
	switch {
	case c.phase == phaseParked:
		s := saidOf(response)
		c.rounds.result = &s
	case c.phase == phaseFront:
		c.phase = phaseDone
		c.telling.Load().end(ctx, saidOf(response))
	case c.phase == phaseJSON && c.req.ResponseMode == ResponseRelayed:
		c.phase = phaseDone
		c.relayResponse(ctx, response)
	case c.phase == phaseJSON:
		// If the client has left meanwhile it has no event id to ask with, so
		// nobody will take the response out of the channel.
		c.phase = phaseDone
		c.response <- Response{Body: response, Code: code}
	case c.phase == phaseStream:
		c.withdrawServerRequests(ctx)
		c.endStream(ctx, response)
	}
}

// relayResponse sends the response on the stream of its SSE session. c.out must
// be held.
func (c *Conn) relayResponse(ctx context.Context, response []byte) {
	// After an error the response comes late, or its session is gone.
	_ = c.appendLast(ctx, eventlog.StandaloneOf(c.session), eventlog.Append{Nonce: eventlog.NewNonce(), Data: response, Last: true})
}

// emit sends a message of the handler on the request's stream.
func (c *Conn) emit(ctx context.Context, data []byte) error {
	c.out.Lock()
	defer c.out.Unlock()
	return c.emitLocked(ctx, data)
}

// emitLocked is emit with c.out held.
func (c *Conn) emitLocked(ctx context.Context, data []byte) error {
	switch c.phase {
	case phaseDone:
		return c.node.opts.RequestEnded
	case phaseParked:
		return c.hold(saidOf(data))
	case phaseFront:
		return c.telling.Load().tell(ctx, saidOf(data))
	}
	if c.usesStandalone() {
		return c.standalone(ctx, data)
	}
	if c.phase == phaseJSON {
		if err := c.open(ctx); err != nil {
			return c.notSent(err)
		}
	}
	return c.notSent(c.append(ctx, data))
}

// append adds a message to the stream of the response, and hands it to the
// stream's reader. c.out must be held. Should it fail, the message may be in the
// log; what is appended afterwards decides that.
func (c *Conn) append(ctx context.Context, data []byte) error {
	if c.live != nil {
		return c.live.push(ctx, data)
	}
	id := c.streamID()
	c.appended++
	e, reader, err := c.node.log.AppendRetried(ctx, id, eventlog.Append{Writer: c.node.id, Number: c.appended, Nonce: eventlog.NewNonce(), Data: data})
	if err == nil {
		c.node.deliver(ctx, id.Session, reader, e, false)
	}
	return err
}

// standalone sends a message that belongs to no call.
func (c *Conn) standalone(ctx context.Context, data []byte) error {
	switch {
	case c.req.ResponseOnly:
		return errNoSessionYet
	case c.req.Stateless:
		return errNoStandalone
	}
	return c.notSent(c.node.Standalone(ctx, c.session, data))
}

// notSent returns what a handler is told of err. Handlers pass on what they get,
// and Redis's own words are not for clients.
func (c *Conn) notSent(err error) error {
	if errors.Is(err, redisx.ErrUnavailable) {
		c.node.logger.Warn("message not sent", "error", err)
		return errStoreUnavailable
	}
	return err
}

// openStream turns the response into a stream now, unless it is complete.
func (c *Conn) openStream(ctx context.Context) error {
	c.out.Lock()
	defer c.out.Unlock()
	if c.phase != phaseJSON || c.usesStandalone() {
		return nil
	}
	return c.open(ctx)
}

// open begins the stream of the response. c.out must be held, and phase be
// phaseJSON.
func (c *Conn) open(ctx context.Context) error {
	switch {
	case !c.req.Message.IsCall(), c.req.ResponseOnly:
		return errNothingElse
	case !c.leftAt().IsZero():
		return errNoEventID
	case c.req.Stateless:
		c.openLive()
		return nil
	}
	if c.opening.Nonce == "" {
		c.opening = eventlog.Opening{
			Stream: eventlog.StreamID{Session: c.session, Stream: eventlog.NewCallStream(c.req.Message.ID)},
			Nonce:  eventlog.NewNonce(), Writer: c.node.id, Call: c.req.Message.ID,
		}
	}
	stream := c.opening.Stream
	reader, err := c.node.newReader(stream)
	if err != nil {
		return err
	}
	c.opening.Reader = c.node.readerRef(reader)
	first, err := c.node.log.Open(ctx, c.opening)
	if err != nil {
		reader.remove()
		if errors.Is(err, redisx.ErrUnavailable) {
			c.setStream(eventlog.StreamID{}, stream)
		}
		return err
	}
	reader.attach(eventlog.Attachment{Events: []eventlog.Event{first}, Next: 1, Writer: c.node.id, Call: c.req.Message.ID})
	c.phase, c.reader = phaseStream, reader
	c.setStream(stream, eventlog.StreamID{})
	c.stream <- reader
	if !c.leftAt().IsZero() {
		c.releaseUnserved(ctx)
	}
	return nil
}

// openLive is open for a stream without a log.
func (c *Conn) openLive() {
	live := newLiveStream(c)
	c.mu.Lock()
	c.live = live
	c.mu.Unlock()
	c.phase = phaseStream
	c.stream <- live
}

// setStream notes the stream of the response, or one that may have been opened
// by a try whose outcome is unknown.
func (c *Conn) setStream(opened, orphan eventlog.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened, c.orphan = opened, orphan
}

// streamID returns the stream of the response, zero if it is none.
func (c *Conn) streamID() eventlog.StreamID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// endStream ends the stream, with response as its last event unless it is nil.
// If Redis stays away, a client that is still there gets the response without
// an id. c.out must be held.
func (c *Conn) endStream(ctx context.Context, response []byte) {
	c.phase = phaseDone
	if c.live != nil {
		c.live.end(response)
		return
	}
	c.appended++
	a := eventlog.Append{Writer: c.node.id, Number: c.appended, Data: response, End: true}
	if response != nil {
		a.Nonce = eventlog.NewNonce()
	}
	switch err := c.appendLast(ctx, c.streamID(), a); {
	case errors.Is(err, redisx.ErrUnavailable):
		c.reader.deliverUnlogged(response)
	case err != nil:
		// The session is gone, or a reader took us for dead and ended the
		// stream; then the call has its one response.
		c.reader.readLogSoon()
	}
}

// outageBound is how long a finished call waits for Redis to take its response.
const outageBound = 30 * time.Second

// appendLast appends the last event of a call. While Redis is away it tries
// again; after outageBound it fails, and the event is appended when Redis is back.
// With any error but [redisx.ErrUnavailable] the event is not in the log and will
// not be. If the session may not store it, an error takes its place.
func (c *Conn) appendLast(ctx context.Context, id eventlog.StreamID, a eventlog.Append) (err error) {
	deadline, full := time.Now().Add(outageBound), false
	c.node.untilDone(50*time.Millisecond, func() bool {
		var e eventlog.Event
		var reader string
		e, reader, err = c.node.log.Append(ctx, id, a)
		if err == nil {
			c.node.deliver(ctx, id.Session, reader, e, a.End)
		}
		a.Again = a.Nonce != ""
		if errors.Is(err, eventlog.ErrFull) && !full {
			full = true
			a.Data = jsonrpcmsg.EncodeError(c.req.Message.ID, errNotStored)
			return false
		}
		return !errors.Is(err, redisx.ErrUnavailable) || time.Now().After(deadline)
	})
	if errors.Is(err, redisx.ErrUnavailable) {
		c.node.logger.Error("response not logged", "error", err)
		c.node.appendLate(id, a)
	}
	return err
}

// appendLate appends the last event of a call when Redis is back, for whoever
// reads the stream then: while its writer lives, nobody else ends it. If the
// instance leaves before, a reader finds the writer dead and ends the stream.
func (n *Node) appendLate(id eventlog.StreamID, a eventlog.Append) {
	ctx := context.Background() // nobody waits for this; each call to Redis is bounded
	n.background(func() {
		n.untilDone(time.Second, func() bool {
			e, reader, err := n.log.Append(ctx, id, a)
			if err == nil {
				n.deliver(ctx, id.Session, reader, e, a.End)
			}
			return !errors.Is(err, redisx.ErrUnavailable)
		})
	})
}
