package bodylimit

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

const timeout = 10 * time.Second

// An oneConn is a listener for the other end of one pipe.
type oneConn struct {
	conns chan net.Conn
}

func (l oneConn) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (oneConn) Close() error   { return nil }
func (oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// post sends what a request begins with, and returns what reads its response.
func post(t *testing.T, h http.HandlerFunc, sent string) *bufio.Reader {
	t.Helper()
	near, far := net.Pipe()
	l := oneConn{make(chan net.Conn, 1)}
	l.conns <- far
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = near.Close()
		close(l.conns)
		_ = server.Close()
	})
	if _, err := io.WriteString(near, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"+sent); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(near)
}

func TestABodyThatDoesNotArriveCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		res, err := http.ReadResponse(post(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(Within(w, r, timeout).Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		}, "bo"), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if took := time.Since(begun); res.StatusCode != http.StatusBadRequest || took != timeout || !res.Close {
			t.Errorf("status %d after %v, and the connection closes: %v; want 400 after %v, true", res.StatusCode, took, res.Close, timeout)
		}
	})
}

func TestARequestMayTakeLongerThanItsBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		res, err := http.ReadResponse(post(t, func(w http.ResponseWriter, r *http.Request) {
			var text bytes.Buffer
			_, _ = io.Copy(&text, Within(w, r, timeout).Body)
			r.Body = io.NopCloser(&text) // as middleware leaves it that has looked at it
			_, _ = io.Copy(w, Within(w, r, timeout).Body)
			select {
			case <-r.Context().Done():
				_, _ = io.WriteString(w, ", but its client seems to have gone")
			case <-time.After(10 * timeout):
			}
		}, "body"), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if err != nil || string(got) != "body" {
			t.Errorf("response %q, %v", got, err)
		}
	})
}
