package transport

import (
	"context"
	"errors"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// The content of a response is what is to be sent.
type content interface {
	send(ctx context.Context, opts Options, to client) error
}

// nothing is no message at all, under an HTTP status.
type nothing int

func (status nothing) send(_ context.Context, _ Options, to client) error {
	return to.none(int(status))
}

// A call is the response to a running call.
type call struct {
	conn    *node.Conn
	version string
}

func (c call) send(ctx context.Context, opts Options, to client) error {
	resp, opened, err := c.conn.Wait(ctx, opts.StreamAfter)
	switch {
	case err != nil:
		return to.fail(errors.Join(httperror.ErrGivenUp, err))
	case resp.Err != nil:
		return to.fail(resp.Err)
	case opened == nil:
		return to.body(resp.Body)
	}
	err = stream{opened.(*node.Reader), c.version, false}.send(ctx, opts, to)
	if err != nil {
		c.conn.Leave(ctx)
	}
	return err
}

// A stream is the rest of a stream. A client that resumes one, and the client of
// a standalone stream, gets a place to resume from first: if its connection broke
// before the next event, it would come back without one, or give the call up.
type stream struct {
	reader  *node.Reader
	version string
	resumed bool
}

func (s stream) send(ctx context.Context, opts Options, to client) error {
	defer s.reader.Release(ctx)
	events, err := to.stream()
	if err == nil && s.version >= runner.VersionPriming && (s.resumed || s.reader.Standalone()) {
		err = events.Write(sse.Event{ID: s.reader.Last().String()})
	}
	if err != nil {
		return err
	}
	return s.reader.Serve(ctx, events, node.ServeOptions{Priming: s.version >= runner.VersionPriming, KeepAlive: opts.KeepAlive})
}

// lost is an error in place of the rest of a call's stream. Any HTTP error would
// end the client's whole session, so it is told within a stream.
type lost struct{ after eventlog.ID }

func (l lost) send(_ context.Context, _ Options, to client) error {
	events, err := to.stream()
	if err != nil {
		return err
	}
	return events.Write(node.LostCall(l.after, httperror.ErrLost))
}

// elsewhere asks a client to come back in a moment, when the balancer has noticed
// that this instance has left. An HTTP error would end the client's whole
// session.
type elsewhere struct {
	version string
	after   *eventlog.ID
}

func (e elsewhere) send(_ context.Context, _ Options, to client) error {
	events, err := to.stream()
	if err == nil && e.after != nil && e.version >= runner.VersionPriming {
		err = events.Write(sse.Event{ID: e.after.String()})
	}
	if err == nil {
		err = events.Write(sse.Event{Retry: time.Second})
	}
	return errors.Join(ErrClosed, err)
}
