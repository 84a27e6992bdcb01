//go:build unix

package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/balance"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/nginxtest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

const rollingClients = 12

// rollingRounds is how often every process is replaced while clients call; 0 means a
// part of one round.
func rollingRounds(t *testing.T) int { return repetitions(t, "TEST_ROLLING", 0) }

// nginx does not check readiness, and passes a 503 on: what it takes for a
// reason to try the next process is a connection that is refused. It does not use
// that process again for ten seconds.
func TestRollingRestartBehindNginx(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3, "DRAIN_DELAY=2s")
	front := startNginx(t, f)
	callers := startCallers(t, front+"/mcp")
	n := rollingRounds(t)
	for range n {
		for i := range 3 {
			f.restart(t, i)
			time.Sleep(15 * time.Second)
		}
	}
	if n == 0 {
		f.restart(t, 0)
		f.restart(t, 1)
	}
	callers.stop(t)
}

// A balancer that checks readiness each second needs no refused connection, and
// no pause between two processes. It keeps its connections open.
func TestRollingRestartBehindABalancerThatChecksReadiness(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3, "DRAIN_DELAY=4s")
	callers := startCallers(t, startChecking(t, f)+"/mcp")
	for range max(1, rollingRounds(t)) {
		for i := range 3 {
			f.restart(t, i)
		}
	}
	callers.stop(t)
}

// restart replaces the i-th process by one at the same address.
func (f *fleet) restart(t *testing.T, i int) {
	t.Helper()
	old := f.process(i)
	old.terminate()
	if status, err := old.wait(); status != 0 || err != nil {
		t.Fatalf("process %d ended with status %d, %v", i, status, err)
	}
	p := startProcess(f.t, f.program, append(f.env, "PORT="+old.base.Port()))
	if p.err != nil {
		t.Fatal(p.err)
	}
	f.mu.Lock()
	f.processes[i] = p
	f.mu.Unlock()
}

// callers are go-sdk clients, half of them with sessions and half of 2026-07-28,
// that call without a pause.
type callers struct {
	end    context.CancelFunc
	close  []func() error
	over   atomic.Bool // requests that are given up do not count
	calls  atomic.Int64
	failed chan error
	wg     sync.WaitGroup
}

func startCallers(t *testing.T, url string) *callers {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	c := &callers{end: end, failed: make(chan error, 1000)}
	t.Cleanup(end)
	for n := range rollingClients {
		base := http.DefaultTransport.(*http.Transport).Clone()
		t.Cleanup(base.CloseIdleConnections)
		era := fleettest.WithSessions
		if n%2 == 1 {
			era = nil // the newest
		}
		client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
		cs := connect(t, client, &mcp.StreamableClientTransport{
			Endpoint: url, HTTPClient: &http.Client{Transport: strict{base, c}},
		}, era)
		c.close = append(c.close, cs.Close)
		c.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := echo(t, cs, fmt.Sprint(n, "/", i)); err != nil {
					c.fail(fmt.Errorf("client %d, call %d: %w", n, i, err))
					return
				}
				c.calls.Add(1)
			}
		})
	}
	return c
}

func (c *callers) fail(err error) {
	if c.over.Load() {
		return
	}
	select {
	case c.failed <- err:
	default:
	}
}

// stop fails the test if any request has failed.
func (c *callers) stop(t *testing.T) {
	t.Helper()
	c.end()
	c.wg.Wait()
	c.over.Store(true) // a stream may come back after its session has ended
	for _, end := range c.close {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d calls", c.calls.Load())
	for {
		select {
		case err := <-c.failed:
			t.Error(err)
		default:
			return
		}
	}
}

// strict is a RoundTripper that takes every refusal for a failure, also those
// that a client would try again after.
type strict struct {
	http.RoundTripper
	callers *callers
}

func (s strict) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := s.RoundTripper.RoundTrip(req)
	switch {
	case req.Context().Err() != nil:
	case err != nil:
		s.callers.fail(err)
	case res.StatusCode >= http.StatusBadRequest:
		s.callers.fail(fmt.Errorf("%s: %s", req.Method, res.Status))
	}
	return res, err
}

// startNginx runs an nginx in front of the fleet's addresses, with its defaults
// but for buffering and the Host header, and returns its URL.
func startNginx(t *testing.T, f *fleet) string {
	t.Helper()
	program := nginxtest.Find(t)
	var upstreams strings.Builder
	for i := range f.processes {
		fmt.Fprintf(&upstreams, "server %s; ", f.process(i).base.Host)
	}
	dir, addr := t.TempDir(), freeAddress(t)
	config := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	upstream fleet { %s }
	server {
		listen %s;
		location / {
			proxy_pass http://fleet;
			proxy_buffering off;
			proxy_set_header Host $http_host;
		}
	}
}
`, upstreams.String(), addr), 0o600))
	cmd := exec.Command(program, "-p", dir, "-c", config)
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	must(t, redistest.StartChild(cmd))
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended by itself otherwise
		_ = cmd.Wait()
	})
	front := "http://" + addr
	until(t, "nginx serves", func() bool { return ready(front) })
	return front
}

// freeAddress returns an address at which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

func ready(base string) bool {
	res, err := http.Get(base + "/readyz")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection can be used again
	return res.StatusCode == http.StatusOK
}

// startChecking runs a balancer in front of the fleet's addresses that checks
// each second which of them are ready, and returns its URL. A request goes to one
// process, and nowhere else if that fails.
func startChecking(t *testing.T, f *fleet) string {
	t.Helper()
	type backend struct {
		base     string
		balancer *balance.Balancer
	}
	var backends []backend
	for i := range f.processes {
		base := f.process(i).base
		backends = append(backends, backend{base.String(), balance.New(balance.Random, base)})
	}
	var eligible atomic.Pointer[[]backend]
	check := func() {
		var good []backend
		for _, b := range backends {
			if ready(b.base) {
				good = append(good, b)
			}
		}
		eligible.Store(&good)
	}
	check()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		good := *eligible.Load()
		if len(good) == 0 {
			http.Error(w, "no process is ready", http.StatusBadGateway)
			return
		}
		good[rand.IntN(len(good))].balancer.ServeHTTP(w, r)
	}))
	ctx, stop := context.WithCancel(t.Context())
	var checking sync.WaitGroup
	checking.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				check()
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	t.Cleanup(func() {
		stop()
		checking.Wait()
		front.CloseClientConnections()
		front.Close()
		for _, b := range backends {
			b.balancer.Close()
		}
	})
	return front.URL
}
