package transport

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// A Response is what a client gets in response to a message, or of a stream that
// it resumes. Exactly one of WriteHTTP and Send must be called, once and soon.
type Response struct {
	node    *Node
	id      json.RawMessage // of the call
	session func() string   // of initialize; otherwise nil
	content content
}

// Session returns the id of the session that initialize has begun. It is empty
// until the response has been sent, and for anything but initialize.
func (r *Response) Session() string {
	if r.session == nil {
		return ""
	}
	return r.session()
}

// WriteHTTP writes the response to an HTTP request. It blocks until all of it has
// been written, the client's connection breaks or req's context ends. The
// Mcp-Session-Id header is set if a session has begun.
//
// A call goes on when its client has gone: what it sends can be resumed if the
// client has had an event with an id. w must be able to flush.
func (r *Response) WriteHTTP(w http.ResponseWriter, req *http.Request) {
	to := &httpClient{w: w, rc: http.NewResponseController(w), response: r, ctx: req.Context()}
	// No deadline until something is written: calls may take long, and streams be
	// quiet. Not every writer has deadlines.
	_ = to.rc.SetWriteDeadline(time.Time{})
	_ = r.content.send(req.Context(), r.node.opts, to) // a client that has gone gets the rest when it resumes
}

// An Event is one message of a [Response].
type Event struct {
	// ID is what the client resumes the stream from, with [Node.Resume], when it
	// has this event. It is empty if the message is on no stream.
	ID string
	// Message is a JSON-RPC message. It is empty if the event only gives the
	// client an ID.
	Message json.RawMessage
}

// Send calls send with each message of the response, in order, until all have
// been sent, send fails, or ctx ends. It returns nil if the client has all of the
// response, which may be nothing; with any other error than send's own, nothing
// more comes on this instance. The client then resumes the stream if it has had
// an event with an ID, and otherwise gets the error; see [EncodeError].
func (r *Response) Send(ctx context.Context, send func(Event) error) error {
	return r.content.send(ctx, r.node.opts, &funcClient{response: r, ctx: ctx, send: send})
}

// A client is where a response goes: one of these methods is called, once.
type client interface {
	// none says that there is nothing to send.
	none(status int) error
	// body sends the one message that is the response.
	body(message []byte) error
	// stream begins a stream.
	stream() (node.EventWriter, error)
	// fail says that there is no response. It returns an error.
	fail(err error) error
}

// An httpClient is at the other end of an HTTP response.
type httpClient struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	response *Response
	ctx      context.Context
}

// timed bounds the writing of a response, from now.
func (c *httpClient) timed() {
	pace.NewWriter(c.w, c.response.node.opts.pace()).Extend()
}

func (c *httpClient) none(status int) error {
	c.timed()
	c.w.WriteHeader(status)
	return nil
}

func (c *httpClient) body(message []byte) error {
	if id := c.response.Session(); id != "" {
		c.w.Header().Set("Mcp-Session-Id", id)
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, err := pace.NewWriter(c.w, c.response.node.opts.pace()).Write(message)
	return err
}

func (c *httpClient) stream() (node.EventWriter, error) {
	if !sse.CanFlush(c.w) {
		return nil, c.fail(sse.ErrNoFlush)
	}
	events := sse.NewWriter(c.w, c.response.node.opts.pace())
	return events, events.Start()
}

func (c *httpClient) fail(err error) error {
	c.timed()
	err = c.response.node.failed(c.ctx, c.response.id, err)
	WriteError(c.w, err)
	return err
}

// A funcClient gets the response through the function given to [Response.Send].
type funcClient struct {
	sse.Silence

	response *Response
	ctx      context.Context
	send     func(Event) error
}

func (c *funcClient) none(int) error { return nil }

func (c *funcClient) body(message []byte) error { return c.send(Event{Message: message}) }

func (c *funcClient) stream() (node.EventWriter, error) { return c, nil }

func (c *funcClient) fail(err error) error {
	return c.response.node.failed(c.ctx, c.response.id, err)
}

// Write implements [node.EventWriter].
func (c *funcClient) Write(events ...sse.Event) error {
	c.Break()
	for _, e := range events {
		if e.ID == "" && len(e.Data) == 0 {
			continue // it only says how long to wait before reconnecting, which is for HTTP
		}
		if err := c.send(Event{ID: e.ID, Message: e.Data}); err != nil {
			return err
		}
	}
	return nil
}

// Comment implements [node.EventWriter].
func (c *funcClient) Comment(string) error {
	c.Break()
	return nil
}

// ExtendDeadline implements [node.EventWriter].
func (c *funcClient) ExtendDeadline() {}
