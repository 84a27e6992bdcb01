package node

import (
	"context"
	"errors"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/signal"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// A ResponseStream is the response to a call when it is a stream.
type ResponseStream interface {
	// Serve sends the stream to w, which must have been started, until the stream
	// ends, the connection breaks or ctx ends. It returns nil only if the client was
	// sent everything.
	Serve(ctx context.Context, w EventWriter, opts ServeOptions) error
	// Release gives the stream up. It must be called once.
	Release(ctx context.Context)
}

// A liveStream is the response to a call of a protocol without sessions: nobody can
// resume it, so there is no log of it. A handler that sends more than its client
// reads waits.
type liveStream struct {
	call *Conn
	wake signal.Wake // sent when there is something to write
	room signal.Wake // sent when something has been written

	mu    sync.Mutex // guards all fields below
	queue [][]byte
	bytes int
	ended bool // nothing comes after what is queued
	left  bool // nobody reads any more, or nobody waits for what the handler says
}

var errClientGone = errors.New("the client has gone")

func newLiveStream(c *Conn) *liveStream {
	return &liveStream{call: c, wake: signal.NewWake(), room: signal.NewWake()}
}

// push queues a message of the handler, and waits while the queue is full.
func (s *liveStream) push(ctx context.Context, data []byte) error {
	for {
		if queued, err := s.offer(data); queued || err != nil {
			return err
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *liveStream) offer(data []byte) (queued bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opts := s.call.node.opts
	switch {
	case s.left || s.ended:
		return false, errClientGone
	case len(s.queue) > 0 && (len(s.queue) >= opts.MaxQueue || s.bytes+len(data) > opts.MaxQueueBytes):
		return false, nil
	}
	s.put(data)
	return true, nil
}

// put queues a message. s.mu must be held.
func (s *liveStream) put(data []byte) {
	s.queue, s.bytes = append(s.queue, data), s.bytes+len(data)
	s.wake.Send()
}

// end queues the response, and ends the stream.
func (s *liveStream) end(response []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	if response != nil {
		s.put(response)
	}
	s.wake.Send()
}

// interrupt has the handler wait for the client no longer.
func (s *liveStream) interrupt() {
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	s.room.Send()
}

func (s *liveStream) take() (messages [][]byte, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages, s.queue, s.bytes = s.queue, nil, 0
	s.room.Send()
	return messages, s.ended
}

func (s *liveStream) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Serve implements [ResponseStream]. A client that closes its connection cancels the
// call (specification 2026-07-28, "Streamable HTTP", "Cancellation"). One that is
// still there when ctx ends gets an error.
func (s *liveStream) Serve(ctx context.Context, w EventWriter, opts ServeOptions) error {
	quiet := w.Quiet(opts.KeepAlive)
	defer w.ExtendDeadline() // for what net/http writes at the end
	for {
		messages, ended := s.take()
		if len(messages) > 0 {
			events := make([]sse.Event, len(messages))
			for i, m := range messages {
				events[i].Data = m
			}
			if err := w.Write(events...); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		select {
		case <-s.wake:
		case <-quiet:
			if err := w.Comment("keep-alive"); err != nil {
				return err
			}
		case <-ctx.Done():
			if s.isEnded() {
				continue // it has its response
			}
			return errors.Join(context.Cause(ctx), w.Write(sse.Event{Data: jsonrpcmsg.EncodeError(s.call.req.Message.ID, errGivenUp)}))
		}
	}
}

// Release implements [ResponseStream].
func (s *liveStream) Release(context.Context) {
	s.interrupt()
	if !s.isEnded() {
		s.call.giveUp()
	}
}

var errGivenUp = &jsonrpc.Error{Code: -32000, Message: "the request was ended; its outcome is unknown"}
