package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

const eventStream = "text/event-stream"

// A statelessCall is a running stateless request, and the
// [http.ResponseWriter] on which the SDK responds to it. It adds what our own
// responses have: a deadline for each write, a stream that begins although
// there is nothing to send yet, comments while it is quiet, and an error in
// place of the response that Shutdown does not wait for.
type statelessCall struct {
	w      http.ResponseWriter
	out    *pace.Writer
	header http.Header // for the SDK, which changes it without a lock
	id     json.RawMessage
	alias  bool // the SDK knows the request by another id
	opts   *Options
	cancel context.CancelFunc

	mu        slowMutex   // guards the fields below, and the writing to w
	timer     *time.Timer // until the stream begins, then until the next comment; nil for a notification
	begun     bool        // the status has been sent
	stream    bool        // and it was that of an event stream
	bare      bool        // what is written is a message without the form of an event
	responded bool
	over      bool // nothing may be written any more
}

// A slowMutex is a mutex that is held while a client reads. Unlike at a sync.Mutex,
// time passes in synctest's bubbles while goroutines wait for it.
type slowMutex chan struct{}

func (m slowMutex) Lock()   { m <- struct{}{} }
func (m slowMutex) Unlock() { <-m }

func (m slowMutex) TryLock() bool {
	select {
	case m <- struct{}{}:
		return true
	default:
		return false
	}
}

func newStatelessCall(h *Handler, w http.ResponseWriter, m *jsonrpcmsg.Message, cancel context.CancelFunc) *statelessCall {
	c := &statelessCall{
		w: w, out: pace.NewWriter(w, h.opts.pace()), header: http.Header{}, id: m.ID, alias: needsAlias(m.ID),
		opts: &h.opts, cancel: cancel, mu: make(slowMutex, 1),
	}
	if m.IsCall() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timer = time.AfterFunc(h.opts.StreamAfter, c.showLife)
	}
	return c
}

// Header implements [http.ResponseWriter].
func (c *statelessCall) Header() http.Header { return c.header }

// WriteHeader implements [http.ResponseWriter].
func (c *statelessCall) WriteHeader(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendStatus(status)
}

// sendStatus sends the status. If a stream has begun it is too late for another
// one: then what follows is sent on the stream. c.mu must be held.
func (c *statelessCall) sendStatus(status int) {
	isStream := c.header.Get("Content-Type") == eventStream
	switch {
	case c.over:
	case c.begun:
		c.bare = c.stream && !isStream
	default:
		c.header.Del("Connection") // the SDK would keep it alive, whatever guard says
		maps.Copy(c.w.Header(), c.header)
		switch {
		case isStream:
			c.w.Header().Set("Cache-Control", sse.CacheControl) // the SDK's may be stored
			c.w.Header().Set("X-Accel-Buffering", "no")
		case status >= http.StatusBadRequest:
			c.w.Header().Set("Content-Type", "application/json")
		}
		c.begun, c.stream = true, isStream
		c.w.WriteHeader(status)
	}
}

// Write implements [http.ResponseWriter]. The SDK writes one message at a time.
func (c *statelessCall) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return 0, node.ErrClosed
	}
	if !c.begun {
		c.sendStatus(http.StatusOK)
	}
	data := p
	if c.stream && !c.bare {
		data = eventData(p)
	}
	c.responded = c.responded || isResponse(data)
	if c.alias {
		data = unaliased(data, c.id)
	}
	out := p
	switch {
	case !c.stream:
		out = asMessage(data, c.id)
	case c.bare:
		out = sse.Append(nil, sse.Event{Data: asMessage(data, c.id)})
	case c.alias:
		out = sse.Append(nil, sse.Event{Data: data})
	}
	if _, err := c.out.Write(out); err != nil {
		return 0, err
	}
	if c.bare {
		c.flush()
	}
	return len(p), nil
}

// eventData returns the message in an event of the SDK.
func eventData(event []byte) []byte {
	_, data, _ := bytes.Cut(event, []byte("data: "))
	return bytes.TrimRight(data, "\n")
}

// asMessage returns a refusal of the SDK as clients get it. Some are plain text,
// which clients would take for those of an older server.
func asMessage(data []byte, id json.RawMessage) []byte {
	if json.Valid(data) {
		return sdkcompat.WithoutGoTypes(data)
	}
	return jsonrpcmsg.EncodeError(id, &httperror.Refuse(http.StatusBadRequest, "%s", bytes.TrimSpace(data)).Wire)
}

// isResponse reports whether a message is a response. It reads no further than
// to what tells: results may be large.
func isResponse(message []byte) bool {
	d := json.NewDecoder(bytes.NewReader(message))
	if _, err := d.Token(); err != nil {
		return false
	}
	for {
		switch field, err := d.Token(); {
		case err != nil || field == "method":
			return false
		case field == "result" || field == "error":
			return true
		}
		if _, err := d.Token(); err != nil { // the version, or the id
			return false
		}
	}
}

// Flush implements [http.Flusher], which the SDK asks for.
func (c *statelessCall) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.flush()
	}
}

// flush sends what was written. c.mu must be held.
func (c *statelessCall) flush() {
	_ = c.out.Flush() // a client that has gone is noticed by its context
	if c.timer != nil {
		c.timer.Reset(c.opts.KeepAlive)
	}
}

// showLife begins the stream, or sends a comment on it.
func (c *statelessCall) showLife() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.responded || c.begun && !c.stream {
		return
	}
	comment := ": keep-alive\n\n"
	if !c.begun {
		h := c.w.Header()
		h.Set("Content-Type", eventStream)
		h.Set("Cache-Control", sse.CacheControl)
		h.Set("X-Accel-Buffering", "no")
		c.begun, c.stream = true, true
		c.w.WriteHeader(http.StatusOK)
		comment = sse.Opening
	}
	_, _ = c.out.Write([]byte(comment)) // a client that has gone is noticed by its context
	c.flush()
}

// cut responds to a call with an error, unless it has its response, and ends it.
func (c *statelessCall) cut(refused *httperror.Error) {
	defer c.cancel()
	if !c.mu.TryLock() {
		c.out.Hurry() // a client that reads a large response slowly
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.over || c.responded || c.id == nil {
		return
	}
	body := jsonrpcmsg.EncodeError(c.id, &refused.Wire)
	c.out.Extend()
	switch {
	case !c.begun:
		// With its length, the error is complete for the client although the
		// handler may keep the response open.
		c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		refused.Write(c.w, c.id)
	case c.stream:
		_, _ = c.out.Write(sse.Append(nil, sse.Event{Data: body})) // a client that has gone is noticed by its context
	}
	c.over = true
	c.flush()
}

// stop makes sure that nothing is written after the SDK's handler has returned.
func (c *statelessCall) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.out.Extend() // for what net/http writes at the end
	if c.timer != nil {
		c.timer.Stop()
	}
}

// statelessCalls are the running stateless requests.
type statelessCalls struct {
	running gauge

	mu     sync.Mutex // guards the fields below
	closed bool
	calls  map[*statelessCall]struct{}
}

// add reports whether the call may run.
func (cs *statelessCalls) add(c *statelessCall) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed {
		return false
	}
	if cs.calls == nil {
		cs.calls = map[*statelessCall]struct{}{}
	}
	cs.calls[c] = struct{}{}
	cs.running.add()
	return true
}

func (cs *statelessCalls) remove(c *statelessCall) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.calls, c)
	cs.running.remove()
}

// close takes no more calls.
func (cs *statelessCalls) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
}

// cut ends all running calls, side by side: a client may be slow.
func (cs *statelessCalls) cut(refused *httperror.Error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var wg sync.WaitGroup
	for c := range cs.calls {
		wg.Go(func() { c.cut(refused) })
	}
	wg.Wait()
}
