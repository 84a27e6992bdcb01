package authtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Stall posts to path a form of which all but the end arrives, and returns the
// answer and for how long the server kept the connection: a minute at most. It is
// for testing/synctest.
func Stall(t testing.TB, server *http.Server, path string) (answer string, held time.Duration) {
	t.Helper()
	near, far := net.Pipe()
	l := make(connections, 1)
	l <- far
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		near.Close()
		server.Close()
		<-served
	}()
	start := time.Now()
	if err := near.SetDeadline(start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	const head = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type="
	if _, err := fmt.Fprintf(near, head, path); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	_, _ = io.Copy(&text, near) // that it ends at all is for the caller to judge
	return text.String(), time.Since(start)
}

// connections is a listener in memory.
type connections chan net.Conn

func (c connections) Accept() (net.Conn, error) {
	if conn, ok := <-c; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (c connections) Close() error   { close(c); return nil } // net/http does it once
func (c connections) Addr() net.Addr { return &net.UnixAddr{} }
