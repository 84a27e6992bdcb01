package mcp_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// everyVerb uses a session in all ways: a JSON response, a stream with a server request,
// the standalone stream with a resume, and its end.
func everyVerb(t *testing.T, c *fleettest.Client) {
	t.Helper()
	wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
	q := asked(t, c, "form")
	accepts(t, c, responseTo(q.ID, " yes"))
	wantText(t, q.stream.Message(t), "accept yes")
	stream := c.Get(t, "")
	for i := range 2 {
		said := fmt.Sprint("aside ", i)
		wantText(t, c.CallTool(t, "aside", fmt.Sprintf(`{"text":%q}`, said)), "said")
		if m := stream.Message(t); !strings.Contains(string(m.Params), said) {
			t.Errorf("the standalone stream has %s, want %q", m.Params, said)
		}
		stream.Close()
		stream = c.Get(t, stream.Last)
	}
	if status := c.Delete(t); status != http.StatusNoContent {
		t.Errorf("DELETE: status %d", status)
	}
}

func TestBehindAnotherMux(t *testing.T) {
	t.Parallel()
	mux := func(h http.Handler) http.Handler {
		inner := http.NewServeMux()
		inner.Handle("/mcp", h)
		outer := http.NewServeMux()
		outer.Handle("/api/v1/", http.StripPrefix("/api/v1", inner))
		return outer
	}
	simulate(t, simulated{wrap: mux}, func(t *testing.T, s *simulation) {
		c := s.client(t)
		c.URL += "api/v1/mcp"
		c.Initialize(t, "2025-11-25", everyCapability)
		everyVerb(t, c)
	})
}

// A recorder is what middleware for logs and metrics puts around a ResponseWriter.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func TestBehindMiddlewareThatWrapsTheResponseWriter(t *testing.T) {
	t.Parallel()
	wrap := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&recorder{ResponseWriter: &recorder{ResponseWriter: w}}, r)
		})
	}
	simulate(t, simulated{wrap: wrap}, func(t *testing.T, s *simulation) { everyVerb(t, s.session(t)) })
}

func TestOverTLSAndHTTP2(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	f := fleettest.Start(t, fleettest.Config{Server: r.server})
	for _, i := range f.Instances {
		front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				t.Errorf("the request came over %s", r.Proto)
			}
			i.Handler.ServeHTTP(w, r)
		}))
		front.EnableHTTP2 = true
		front.StartTLS()
		t.Cleanup(front.Close)
		c := fleettest.NewClient(t, front.URL)
		c.HTTP = front.Client()
		c.Initialize(t, "2025-11-25", everyCapability)
		everyVerb(t, c)
	}
}

// The server's timeouts are meant for requests. What a call takes, and how long
// a stream is quiet, is not their business.
func TestTimeoutsOfTheHTTPServer(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			protocols := new(http.Protocols)
			protocols.SetHTTP1(protocol == "HTTP/1.1")
			protocols.SetUnencryptedHTTP2(protocol == "HTTP/2")
			serve := func(s *http.Server) {
				s.Protocols = protocols
				s.ReadTimeout, s.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
			}
			options := func(o *fleet.Options) { o.WriteTimeout, o.KeepAlive = time.Second, 20*time.Second }
			simulate(t, simulated{http: serve, options: options}, func(t *testing.T, s *simulation) {
				patient := s.join(t, simulated{http: serve, options: func(o *fleet.Options) { options(o); o.StreamAfter = time.Hour }})
				c := s.client(t)
				c.HTTP.Transport = &http.Transport{
					Protocols:   protocols,
					DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return s.dial(ctx, addr) },
				}
				t.Cleanup(c.HTTP.CloseIdleConnections)
				c.Initialize(t, "2025-11-25", everyCapability)
				standalone := messages(at(c, s.instances[0].url).Get(t, ""))
				for name, url := range map[string]string{"JSON": patient.url, "stream": s.instances[1].url} {
					called := make(chan response, 1)
					go func() {
						called <- read(t, at(c, url).Post(t, fleettest.Request(1, "tools/call", fmt.Sprintf(`{"name":"wait","arguments":{"name":%q}}`, name))))
					}()
					s.runs(t, name)
					time.Sleep(30 * time.Second)
					s.open(name)
					got := soon(t, called)
					if isStream := got.Type == "text/event-stream"; isStream != (name == "stream") || !strings.Contains(got.Body, "went on") {
						t.Errorf("%s: %+v", name, got)
					}
				}
				wantText(t, c.CallTool(t, "aside", `{"text":"after a minute"}`), "said")
				if m := soon(t, standalone); !strings.Contains(string(m.Data), "after a minute") {
					t.Errorf("the standalone stream has %q", m.Data)
				}
			})
		})
	}
}
