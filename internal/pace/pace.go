// Package pace writes responses to clients that read slowly: one that reads gets
// all of a large response, and one that does not is cut.
package pace

import (
	"net/http"
	"sync"
	"time"
)

const (
	// chunk is how many bytes are written under one deadline.
	chunk = 64 << 10
	// buffered is how much may wait in the buffers of the network. Linux reports the
	// client's progress in steps of up to a third of a send buffer, which grows to 4
	// MiB or more.
	buffered = 2 << 20
)

// Limits are how slow a client may be.
type Limits struct {
	// Timeout is how long a client may take nothing.
	Timeout time.Duration
	// MinRate is how many bytes a second a client must take of a message that cannot
	// be sent within Timeout. If zero, Timeout is for all of a message.
	MinRate int
}

// time returns how long a client of MinRate reads n bytes.
func (l Limits) time(n int) time.Duration {
	if l.MinRate == 0 {
		return 0
	}
	return time.Duration(n) * time.Second / time.Duration(l.MinRate)
}

// A Writer writes a response under deadlines, whatever http.Server.WriteTimeout
// says. But for [Writer.Hurry] it is not safe for concurrent use.
type Writer struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	limits Limits
	due    time.Time // when a client of MinRate has read the last large message

	mu   sync.Mutex // guards last, and that no deadline is set behind it
	last time.Time  // the last deadline there may be; none if zero
}

// NewWriter returns a writer to w, which need not have deadlines: without them, as
// in a test's recorder, it writes all the same.
func NewWriter(w http.ResponseWriter, limits Limits) *Writer {
	return &Writer{w: w, rc: http.NewResponseController(w), limits: limits}
}

// Write writes one message. It blocks until the client's machine has taken it, or the
// client is too slow. After it there is a deadline for what net/http still has to
// write.
func (w *Writer) Write(message []byte) (n int, err error) {
	w.Extend()
	for {
		written, err := w.w.Write(message[n:min(n+chunk, len(message))])
		n += written
		if err != nil {
			return n, err
		}
		if len(message) <= chunk {
			return n, nil // Timeout is enough for a small one, however many there are
		}
		w.due = w.due.Add(w.limits.time(written))
		if n == len(message) {
			w.Extend()
			return n, nil
		}
		w.extend()
	}
}

// Flush sends what was written, and lifts the deadline until the next write: HTTP/2
// resets a stream whose deadline passes, although nothing waits to be written.
func (w *Writer) Flush() error {
	w.Extend()
	err := w.rc.Flush()
	w.set(time.Time{})
	return err
}

// Extend sets the deadline for what is written next, by this writer or by net/http.
func (w *Writer) Extend() {
	if now := time.Now(); w.due.Before(now) {
		w.due = now
	}
	w.extend()
}

// extend sets the deadline for the next part of a message.
func (w *Writer) extend() {
	if most := time.Now().Add(w.limits.time(buffered)); w.due.After(most) {
		w.due = most
	}
	w.set(w.due.Add(w.limits.Timeout))
}

// Hurry bounds what is being written to Timeout from now.
func (w *Writer) Hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now().Add(w.limits.Timeout)
	_ = w.rc.SetWriteDeadline(w.last) // not every writer has deadlines
}

func (w *Writer) set(deadline time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.IsZero() && (deadline.IsZero() || deadline.After(w.last)) {
		deadline = w.last
	}
	_ = w.rc.SetWriteDeadline(deadline) // not every writer has deadlines
}
