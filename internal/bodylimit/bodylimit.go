// Package bodylimit bounds how long the body of a request may take to arrive, and
// what it may be.
package bodylimit

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// IsEncoded reports whether a request's body has a content coding (RFC 9110, section
// 8.4), which nobody here decodes. Its response gets the header that says so (section
// 15.5.16), and should have the status 415.
func IsEncoded(w http.ResponseWriter, r *http.Request) bool {
	for _, value := range r.Header.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				w.Header().Set("Accept-Encoding", "identity")
				return true
			}
		}
	}
	return false
}

const (
	// MessageTime is how long a client of MCP has to send a message.
	MessageTime = 30 * time.Second
	// FormTime is how long a client or a browser has to send a form or another
	// small body to an endpoint that does not ask for a login.
	FormTime = 10 * time.Second
)

// Within returns r with a body that cannot be read once d has passed, neither by
// the handler nor by net/http, which reads what a handler leaves of it. Without
// it, a client that stops in the middle keeps its connection, and what it has
// sent, for ever. The handler may take as long as it likes.
//
// A writer that has no read deadline is left as it is.
func Within(w http.ResponseWriter, r *http.Request, d time.Duration) *http.Request {
	body := Body(w, r, d)
	r = r.WithContext(r.Context()) // a copy: net/http still needs the body as it was
	r.Body = body
	return r
}

// Body is [Within] for who needs nothing but the body.
func Body(w http.ResponseWriter, r *http.Request, d time.Duration) io.ReadCloser {
	rc := http.NewResponseController(w)
	if !bound(rc, r, d) {
		return r.Body
	}
	return &timed{r.Body, rc}
}

// Unread is [Within] for a request whose body nobody reads but net/http.
func Unread(w http.ResponseWriter, r *http.Request, d time.Duration) {
	bound(http.NewResponseController(w), r, d)
}

// bound bounds the reading of a body, and reports whether it could.
func bound(rc *http.ResponseController, r *http.Request, d time.Duration) bool {
	return r.ContentLength != 0 && rc.SetReadDeadline(time.Now().Add(d)) == nil
}

type timed struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err == io.EOF {
		// Behind the body net/http reads on, and would take a deadline that passes
		// for a client that has gone. Itself it drops the deadline only at the end
		// of its own body, which middleware may have read before.
		_ = t.rc.SetReadDeadline(time.Time{}) // it could be set
	}
	return n, err
}
