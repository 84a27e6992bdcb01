package mcp

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/transport"
)

// metaVersion is the field of _meta that names a request's protocol version
// from 2026-07-28 on.
const metaVersion = "io.modelcontextprotocol/protocolVersion"

// isModern reports whether a message is of an era without sessions: its header
// or its _meta says so. What then is wrong between the two is answered in the
// forms of that era.
func isModern(r *http.Request, m *transport.Message) bool {
	if r.Header.Get(versionHeader) >= versionStateless {
		return true
	}
	if !m.IsCall() || !bytes.Contains(m.Params, []byte(metaVersion)) {
		return false
	}
	var params struct {
		Meta map[string]json.RawMessage `json:"_meta"`
	}
	var version string
	return json.Unmarshal(m.Params, &params) == nil && json.Unmarshal(params.Meta[metaVersion], &version) == nil &&
		version >= versionStateless
}

// newModern returns the SDK's handler for the era without sessions. It knows
// nothing of other instances and need not: there, one POST is one exchange.
// Closing the response is the cancellation.
func newModern(h *Handler) http.Handler {
	return mcp.NewStreamableHTTPHandler(h.getServer, &mcp.StreamableHTTPOptions{
		Stateless:                    true,
		PropagateRequestCancellation: true,
		MaxRequestBodyBytes:          h.opts.MaxBody,
		DisableLocalhostProtection:   true, // guard has checked the host
	})
}

// serveModern serves a message of the era without sessions.
func (h *Handler) serveModern(w http.ResponseWriter, r *http.Request, m *transport.Message, body []byte) {
	if h.draining.Load() {
		h.fail(w, r, m.ID, transport.ErrClosed)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if m.Method == "subscriptions/listen" && m.IsCall() {
		h.serveListen(w, r, m)
		return
	}
	h.running.Add(1)
	defer h.running.Add(-1)
	lively := &livelyWriter{ResponseWriter: w, quiet: h.opts.KeepAlive, timeout: h.opts.WriteTimeout}
	defer lively.stop()
	h.modern.ServeHTTP(lively, r)
}

// A livelyWriter adds to the SDK's responses what ours have: a deadline for each
// write, and comments while an event stream is quiet.
type livelyWriter struct {
	http.ResponseWriter
	quiet, timeout time.Duration

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func (l *livelyWriter) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *livelyWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extend()
	l.keepAlive()
	return l.ResponseWriter.Write(p)
}

// Flush implements [http.Flusher], which the SDK asks for.
func (l *livelyWriter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extend()
	l.keepAlive()
	_ = http.NewResponseController(l.ResponseWriter).Flush() // a client that has gone is noticed by its context
}

func (l *livelyWriter) extend() {
	_ = http.NewResponseController(l.ResponseWriter).SetWriteDeadline(time.Now().Add(l.timeout)) // not all have one
}

// keepAlive starts the wait for the next comment anew. l.mu must be held.
func (l *livelyWriter) keepAlive() {
	if l.Header().Get("Content-Type") != "text/event-stream" || l.stopped {
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(l.quiet, l.comment)
		return
	}
	l.timer.Reset(l.quiet)
}

func (l *livelyWriter) comment() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.extend()
	if _, err := io.WriteString(l.ResponseWriter, ": keep-alive\n\n"); err == nil {
		_ = http.NewResponseController(l.ResponseWriter).Flush() // as in Flush
	}
	l.keepAlive()
}

// stop makes sure that nothing is written after the handler has returned.
func (l *livelyWriter) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
