// Package body bounds how long the body of a request may take.
package body

import (
	"io"
	"net/http"
	"time"
)

// Timeout is how long a body may take to arrive. Without it, a client that stops
// in the middle would keep its connection, and what it has sent, for ever.
// http.Server.ReadTimeout is no help: it also ends streams.
const Timeout = 30 * time.Second

// InTime returns r with a body that cannot be read after [Timeout], from now.
func InTime(w http.ResponseWriter, r *http.Request) *http.Request {
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(Timeout)) != nil {
		return r // not all have one
	}
	r = r.WithContext(r.Context()) // a copy: net/http still needs the body as it was
	r.Body = &timed{r.Body, rc}
	return r
}

type timed struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		// Behind the body net/http reads on, and would take a deadline that passes
		// for a client that has gone.
		_ = t.rc.SetReadDeadline(time.Time{}) // it could be set
	}
	return n, err
}
