package transport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// An SSE is one server-sent event (WHATWG HTML, "Server-sent events").
type SSE struct {
	ID    string
	Name  string        // "message" if empty
	Retry time.Duration // how long the client waits before it reconnects; none if zero
	Data  []byte
}

// MaxSSE is the size in bytes of the largest event that [ReadSSE] accepts.
const MaxSSE = 16 << 20

// AppendSSE appends the wire form of e to b. An event with an id or data always
// has a data line, because browsers ignore the id of an event without one.
func AppendSSE(b []byte, e SSE) []byte {
	if e.Name != "" {
		b = append(append(append(b, "event: "...), e.Name...), '\n')
	}
	if e.ID != "" {
		b = append(append(append(b, "id: "...), e.ID...), '\n')
	}
	if e.Retry > 0 {
		b = strconv.AppendInt(append(b, "retry: "...), e.Retry.Milliseconds(), 10)
		b = append(b, '\n')
	}
	if e.ID == "" && len(e.Data) == 0 {
		return append(b, '\n')
	}
	for line := range lines(e.Data) {
		b = append(append(append(b, "data: "...), line...), '\n')
	}
	return append(b, '\n')
}

// lines yields the lines of data, whichever way they end: JSON may contain
// line ends between its tokens, and an event's data may not.
func lines(data []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for {
			i := bytes.IndexAny(data, "\r\n")
			if i < 0 {
				yield(data)
				return
			}
			if !yield(data[:i]) {
				return
			}
			data = data[i+1:]
		}
	}
}

// ReadSSE reads the next event of a stream. It skips comments and events
// without any field. It returns io.EOF at the end of the stream, and drops an
// event that the end cuts short, as the standard requires.
func ReadSSE(r *bufio.Reader) (SSE, error) {
	var e SSE
	var seen bool
	var hasData bool
	size := 0
	for {
		line, err := r.ReadSlice('\n')
		var long []byte
		for errors.Is(err, bufio.ErrBufferFull) && size+len(long) <= MaxSSE {
			long = append(long, line...)
			line, err = r.ReadSlice('\n')
		}
		if long != nil {
			line = append(long, line...)
		}
		if size += len(line); size > MaxSSE {
			return SSE{}, fmt.Errorf("event longer than %d bytes", MaxSSE)
		}
		if err != nil {
			return SSE{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if seen {
				return e, nil
			}
			size = 0
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			e.ID, seen = string(value), true
		case "event":
			e.Name, seen = string(value), true
		case "retry":
			if ms, err := strconv.ParseInt(string(value), 10, 64); err == nil {
				e.Retry, seen = time.Duration(ms)*time.Millisecond, true
			}
		case "data":
			if hasData {
				e.Data = append(e.Data, '\n')
			}
			e.Data, hasData, seen = append(e.Data, value...), true, true
		}
	}
}

// An SSEWriter writes events to an HTTP response. It is not safe for
// concurrent use.
type SSEWriter struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	buf     []byte
}

// ErrNoFlush says that a ResponseWriter cannot flush, so that no event would
// reach the client before the response ends.
var ErrNoFlush = errors.New("the http.ResponseWriter cannot flush: a middleware hides http.Flusher")

// NewSSEWriter returns a writer of events to w. Each write must be accepted by
// the client's machine within timeout, whatever http.Server.WriteTimeout says.
func NewSSEWriter(w http.ResponseWriter, timeout time.Duration) *SSEWriter {
	return &SSEWriter{w: w, rc: http.NewResponseController(w), timeout: timeout}
}

// CanFlush reports whether w can flush, without flushing.
func CanFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// CacheControl is the value of the Cache-Control header of every stream: it
// must not be stored, nor transformed on its way.
const CacheControl = "no-store, no-transform"

// Start sends the response's status and headers.
func (s *SSEWriter) Start() error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", CacheControl)
	// nginx buffers proxied responses unless told otherwise.
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	return s.flush()
}

// Write sends events in one go.
func (s *SSEWriter) Write(events ...SSE) error {
	s.buf = s.buf[:0]
	for _, e := range events {
		s.buf = AppendSSE(s.buf, e)
	}
	return s.send()
}

// Comment sends a comment, which tells proxies and the client that the
// connection lives.
func (s *SSEWriter) Comment(text string) error {
	s.buf = append(append(append(s.buf[:0], ": "...), text...), "\n\n"...)
	return s.send()
}

func (s *SSEWriter) send() error {
	s.extendDeadline()
	_, err := s.w.Write(s.buf)
	if cap(s.buf) > 64<<10 {
		s.buf = nil // one large event must not keep its memory for the life of the stream
	}
	if err != nil {
		return err
	}
	return s.flush()
}

func (s *SSEWriter) flush() error {
	s.extendDeadline()
	err := s.rc.Flush()
	// Until the next write there is no deadline: HTTP/2 resets a stream whose
	// deadline passes, although nothing waits to be written.
	_ = s.rc.SetWriteDeadline(time.Time{})
	return err
}

// extendDeadline moves the deadline of writes. A ResponseWriter without
// deadlines (a test's recorder) is written to without one.
func (s *SSEWriter) extendDeadline() {
	_ = s.rc.SetWriteDeadline(time.Now().Add(s.timeout))
}
