package mcp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// drainDelay is how long the simulated instances serve on.
const drainDelay = 5 * time.Second

func withDrainDelay(o *fleet.Options) { o.DrainDelay = drainDelay }

// keepAlive returns a client like c that uses its connections again.
func (s *simulation) keepAlive(t testing.TB, c *fleettest.Client) *fleettest.Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return s.dial(ctx, addr) }}
	t.Cleanup(transport.CloseIdleConnections)
	d := *c
	d.HTTP = &http.Client{Transport: transport, Timeout: time.Hour}
	return &d
}

// A balancer needs time to notice that an instance is not ready. Until then
// everything is served, in every protocol, and asks to close the connection.
func TestShutdownServesOnForItsDelay(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: withDrainDelay, wrap: withSSE}, func(t *testing.T, s *simulation) {
		leaver := s.instances[0]
		c := s.keepAlive(t, at(s.session(t), leaver.url))
		fresh := s.keepAlive(t, at(s.client(t), leaver.url))
		recent := *fresh
		recent.Version = statelessVersion
		sse := *fresh
		sse.URL += "sse"
		began := time.Now()
		requests := map[string]func() *http.Response{
			"initialize": func() *http.Response { return fresh.Post(t, initializeBody) },
			"a call":     func() *http.Response { return c.Post(t, fleettest.Request(1, "ping", "{}")) },
			"notification": func() *http.Response {
				return c.Post(t, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
			},
			"a stream": func() *http.Response { return c.Get(t, "").Response },
			"2026-07-28": func() *http.Response {
				return recent.Post(t, statelessBody(1, "tools/list", "{}"), named("tools/list", ""))
			},
			"a listener": func() *http.Response { return listen(t, &recent, "1", allNews).Response },
			"HTTP+SSE":   func() *http.Response { return sse.Get(t, "").Response },
		}
		for name, request := range requests {
			if res := request(); res.StatusCode >= 300 || res.Close {
				t.Errorf("%s before Shutdown: %s, to be closed: %t", name, res.Status, res.Close)
			}
		}
		outcome := shutdown(t, leaver, time.Minute)
		for ; time.Since(began) < drainDelay-time.Second; time.Sleep(time.Second) {
			if diff := cmp.Diff(unhealthy, health(leaver.handler.Readyz())); diff != "" {
				t.Errorf("readyz: (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(healthy, health(leaver.handler.Livez())); diff != "" {
				t.Errorf("livez: (-want +got)\n%s", diff)
			}
			for name, request := range requests {
				if res := request(); res.StatusCode >= 300 || !res.Close {
					t.Errorf("%s while it serves on: %s, to be closed: %t", name, res.Status, res.Close)
				}
			}
		}
		select {
		case err := <-outcome:
			t.Fatalf("Shutdown returned %v before its delay was over", err)
		default:
		}
		if err := soon(t, outcome); err != nil || time.Since(began) < drainDelay {
			t.Errorf("Shutdown returned %v after %v", err, time.Since(began))
		}
		if diff := cmp.Diff(leaving, read(t, c.Post(t, fleettest.Request(1, "ping", "{}")))); diff != "" {
			t.Errorf("a call after Shutdown: (-want +got)\n%s", diff)
		}
	})
}

// Who gives Shutdown less time than its delay gets it back in time.
func TestDrainDelayEndsWithTheContext(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: withDrainDelay}, func(t *testing.T, s *simulation) {
		c := at(s.session(t), s.instances[0].url)
		responses := make(chan response, 1)
		go func() {
			responses <- read(t, c.Post(t, fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
		}()
		s.runs(t, "w")
		began := time.Now()
		if err := soon(t, shutdown(t, s.instances[0], 500*time.Millisecond)); err != context.DeadlineExceeded {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		if got := soon(t, responses); got.Status != http.StatusOK {
			t.Errorf("the call that was cut short: %+v", got)
		}
	})
}

// As the documentation of Shutdown has it for balancers that do not check
// readiness: when the first 503 is sent, the listener has been closed for a
// second, and what came in by open connections was served.
func TestListenerClosesBeforeTheFirst503(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: withDrainDelay}, func(t *testing.T, s *simulation) {
		leaver := s.instances[0]
		c := at(s.session(t), leaver.url)
		outcome := shutdown(t, leaver, time.Minute)
		time.Sleep(drainDelay - time.Second - time.Millisecond)
		open, err := leaver.listener.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		_ = leaver.listener.Close() // it does not fail
		if _, err := leaver.listener.dial(t.Context()); err != errRefused {
			t.Errorf("another connection: %v", err)
		}
		time.Sleep(time.Second / 2)
		body := fleettest.Request(1, "ping", "{}")
		go fmt.Fprintf(open, "POST / HTTP/1.1\r\nHost: 0.test\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
			"Mcp-Session-Id: %s\r\nContent-Length: %d\r\n\r\n%s", c.Session, len(body), body)
		res, err := http.ReadResponse(bufio.NewReader(open), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !res.Close {
			t.Errorf("on the connection that was open: %s, %s, %v, to be closed: %t", res.Status, got, err, res.Close)
		}
		if err := soon(t, outcome); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := leaver.server.Shutdown(t.Context()); err != nil {
			t.Errorf("the server's Shutdown: %v", err)
		}
	})
}
