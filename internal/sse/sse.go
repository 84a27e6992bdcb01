// Package sse reads and writes server-sent events (WHATWG HTML, "Server-sent
// events").
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/pace"
)

// An Event is one server-sent event (WHATWG HTML, "Server-sent events").
type Event struct {
	ID    string
	Name  string        // "message" if empty
	Retry time.Duration // how long the client waits before it reconnects; none if zero
	Data  []byte
}

// maxEvent is the size in bytes of the largest event that [Read] accepts.
const maxEvent = 16 << 20

// Append appends the wire form of e to b. An event with an id or data always
// has a data line, because browsers ignore the id of an event without one.
func Append(b []byte, e Event) []byte {
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

// Read reads the next event of a stream. It skips comments and events
// without any field. It returns io.EOF at the end of the stream, and drops an
// event that the end cuts short, as the standard requires.
func Read(r *bufio.Reader) (Event, error) {
	var e Event
	var seen bool
	var hasData bool
	size := 0
	for {
		line, err := r.ReadSlice('\n')
		var long []byte
		for errors.Is(err, bufio.ErrBufferFull) && size+len(long) <= maxEvent {
			long = append(long, line...)
			line, err = r.ReadSlice('\n')
		}
		if long != nil {
			line = append(long, line...)
		}
		if size += len(line); size > maxEvent {
			return Event{}, fmt.Errorf("event longer than %d bytes", maxEvent)
		}
		if err != nil {
			return Event{}, err
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

// A Writer writes events to an HTTP response. It is not safe for
// concurrent use.
type Writer struct {
	w   http.ResponseWriter
	out *pace.Writer
	buf []byte

	Silence
}

// ErrNoFlush says that a ResponseWriter cannot flush, so that no event would
// reach the client before the response ends.
var ErrNoFlush = errors.New("the http.ResponseWriter cannot flush: a middleware hides http.Flusher")

// NewWriter returns a writer of events to w, for a client that may be as slow as
// limits say, whatever http.Server.WriteTimeout says.
func NewWriter(w http.ResponseWriter, limits pace.Limits) *Writer {
	return &Writer{w: w, out: pace.NewWriter(w, limits)}
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

// Opening is the comment with which every stream begins. Some proxies, nginx with
// HTTP/2 to the client among them, hold the headers back until the first byte of
// the body.
const Opening = ": open\n\n"

// Start sends the response's status and headers, and a comment.
func (s *Writer) Start() error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", CacheControl)
	// nginx buffers proxied responses unless told otherwise.
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	s.buf = append(s.buf[:0], Opening...)
	return s.send()
}

// Write sends events with one write and one flush. It blocks until the client's
// machine has accepted them, or the client is too slow.
func (s *Writer) Write(events ...Event) error {
	s.buf = s.buf[:0]
	for _, e := range events {
		s.buf = Append(s.buf, e)
	}
	return s.send()
}

// Comment sends a comment, which tells proxies and the client that the
// connection lives.
func (s *Writer) Comment(text string) error {
	s.buf = append(append(append(s.buf[:0], ": "...), text...), "\n\n"...)
	return s.send()
}

// KeepAlive sends the comment that is due after a silence.
func (s *Writer) KeepAlive() error { return s.Comment("keep-alive") }

func (s *Writer) send() error {
	s.Break()
	_, err := s.out.Write(s.buf)
	if cap(s.buf) > 64<<10 {
		s.buf = nil // one large event must not keep its memory for the life of the stream
	}
	if err != nil {
		return err
	}
	s.Break() // a large event may have taken long
	return s.out.Flush()
}

// ExtendDeadline sets the deadline for what net/http writes at the end.
func (s *Writer) ExtendDeadline() { s.out.Extend() }
