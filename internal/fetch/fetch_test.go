package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

func TestADocumentIsFetched(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", "application/jwk-set+json"} {
		uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			fmt.Fprint(w, strings.Repeat("x", 1000))
		})
		doc, err := JSON(t.Context(), Trusted(), uri, 1000)
		if err != nil || len(doc.Body) != 1000 || doc.MaxAge != 0 {
			t.Errorf("%s: %d bytes, %v", contentType, len(doc.Body), err)
		}
	}
}

func TestWhatIsNoDocumentIsRefused(t *testing.T) {
	t.Parallel()
	respond := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				fmt.Fprint(w, body)
			}
		}
	}
	chunked := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 2000 {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		refused bool
	}{
		"201":                       {respond(201, "application/json", "{}"), true},
		"204":                       {respond(204, "application/json", ""), true},
		"206":                       {respond(206, "application/json", "{}"), true},
		"404":                       {respond(404, "application/json", "{}"), true},
		"410":                       {respond(410, "application/json", "{}"), true},
		"429":                       {respond(429, "application/json", "{}"), false},
		"500":                       {respond(500, "application/json", "{}"), false},
		"503":                       {respond(503, "application/json", "{}"), false},
		"text":                      {respond(200, "text/html", "{}"), true},
		"no type":                   {respond(200, "", "{}"), true},
		"too large":                 {respond(200, "application/json", strings.Repeat("x", 1001)), true},
		"too large, without length": {chunked, true},
		"a break": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		}, false},
	} {
		if _, err := JSON(t.Context(), Trusted(), serve(t, c.handler), 1000); err == nil || errors.Is(err, ErrRefused) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestT19_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", fmt.Sprintf("http://127.0.0.1:%d/", c.port))
			w.WriteHeader(status)
			fmt.Fprint(w, "{}")
		})
		if _, err := JSON(t.Context(), Trusted(), uri, 1000); !errors.Is(err, ErrRefused) {
			t.Errorf("%d: %v", status, err)
		}
	}
	if c.conns.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// pipes is a listener in memory, whose connections are fit for bubbles.
type pipes chan net.Conn

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p <- far
	return near, nil
}

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

func TestTheDeadlineCoversTheBody(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a slow body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := make(pipes)
				server := &http.Server{Handler: handler}
				go func() { _ = server.Serve(l) }()
				c := Trusted()
				c.Transport.(*http.Transport).DialContext = l.dial
				// That who asks has gone does not end it: others may wait.
				gone, cancel := context.WithCancel(t.Context())
				cancel()
				start := time.Now()
				_, err := JSON(gone, c, "http://some.example/", 1000)
				if err == nil || errors.Is(err, ErrRefused) || time.Since(start) != Timeout {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				close(l)
				server.Close()
				c.CloseIdleConnections()
				synctest.Wait()
			})
		})
	}
}

func TestHowLongADocumentMayBeKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		headers []string
		age     string
		want    time.Duration
	}{
		{nil, "", 0},
		{[]string{"max-age=300"}, "", 5 * time.Minute},
		{[]string{"public, Max-Age=\"300\""}, "", 5 * time.Minute},
		{[]string{"public", "max-age=300"}, "", 5 * time.Minute},
		{[]string{"max-age=300"}, "100", 200 * time.Second},
		{[]string{"max-age=300"}, "1000", 0},
		{[]string{"max-age=300, no-store"}, "", 0},
		{[]string{"no-cache, max-age=300"}, "", 0},
		{[]string{"max-age=-1"}, "", 0},
		{[]string{"max-age=soon"}, "", 0},
		{[]string{"max-age=99999999999999999999999"}, "", 365 * 24 * time.Hour},
	} {
		h := http.Header{"Cache-Control": c.headers}
		if c.age != "" {
			h.Set("Age", c.age)
		}
		if got := maxAge(h); got != c.want {
			t.Errorf("%v, age %q: %v, want %v", c.headers, c.age, got, c.want)
		}
	}
}
