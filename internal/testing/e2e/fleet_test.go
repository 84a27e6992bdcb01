//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/balance"
	"github.com/mcpfleet/mcpfleet/internal/testing/demotest"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	mcpfleet "github.com/mcpfleet/mcpfleet/mcp"
)

func TestMain(m *testing.M) {
	// What the tests do is wait, for processes to start, to be missed and to
	// end, so many wait side by side. The command line may say otherwise.
	_ = flag.Set("test.parallel", "8")
	os.Exit(run(m))
}

func run(m *testing.M) int {
	defer func() {
		if binaries.dir != "" {
			os.RemoveAll(binaries.dir)
		}
	}()
	return redistest.Main(m)
}

// binaries are the demo programs, built once for all tests of the process, and
// with the race detector if the tests have it.
var binaries struct {
	once sync.Once
	dir  string
	err  error
}

// The programs.
const (
	everything  = "everything"
	conformance = "conformance"
	client      = "client"
)

func build(t testing.TB, program string) (path string) {
	t.Helper()
	binaries.once.Do(func() {
		if binaries.dir, binaries.err = os.MkdirTemp("", "e2e"); binaries.err != nil {
			return
		}
		binaries.err = demotest.Build(binaries.dir, everything, conformance, client)
	})
	if binaries.err != nil {
		t.Fatal(binaries.err)
	}
	return filepath.Join(binaries.dir, program)
}

// A fleet is several processes of one program on one Redis, behind a balancer
// that sends each request to any of them.
type fleet struct {
	// URL is the MCP endpoint behind the balancer, SSE the one for clients of
	// protocol 2024-11-05.
	URL, SSE string

	t       testing.TB
	program string
	redis   *redistest.Server
	prefix  string
	env     []string

	mu        sync.Mutex // guards processes and pinned
	processes []*process
	pinned    *process

	balancer atomic.Pointer[balance.Balancer]
}

// startFleet runs n processes, which are gone when the test has ended. Extra
// settings are like "SESSION_TTL=1m".
func startFleet(t testing.TB, program string, n int, env ...string) *fleet {
	t.Helper()
	return startFleetOn(t, redistest.Real(t), program, n, env...)
}

// startFleetOn is startFleet on another Redis than the one that the tests share.
func startFleetOn(t testing.TB, redis *redistest.Server, program string, n int, env ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, program: build(t, program), redis: redis, prefix: redistest.NewPrefix()}
	base := f.open()
	f.env = slices.Concat([]string{
		"PORT=0", "AUTH_MODE=none", "BASE_URI=" + base, "REDIS_URL=redis://" + f.redis.Addr(), "REDIS_PREFIX=" + f.prefix,
		"DRAIN_DELAY=0s",
		"GORACE=atexit_sleep_ms=10", // a second, unless told otherwise
	}, env)
	var wg sync.WaitGroup
	f.processes = make([]*process, n)
	for i := range f.processes {
		wg.Go(func() { f.processes[i] = startProcess(t, f.program, f.env) })
	}
	wg.Wait()
	for i, p := range f.processes {
		if p.err != nil {
			t.Fatalf("process %d: %v", i, p.err)
		}
	}
	f.route()
	f.URL, f.SSE = base+"/mcp", base+"/sse"
	return f
}

// open opens the address that the fleet is reached at, and returns its URL: the
// processes have to know it.
func (f *fleet) open() string {
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A body that the server closes while the proxy's transport still looks
		// for its end costs the response, so all of it is read first.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f.balancer.Load().ServeHTTP(w, r)
	}))
	f.t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		if b := f.balancer.Load(); b != nil {
			b.Close()
		}
	})
	return front.URL
}

// process returns the i-th process.
func (f *fleet) process(i int) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[i]
}

// route has the balancer spread requests over the processes that live, if any.
func (f *fleet) route() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var live []*process
	var backends []*url.URL
	for _, p := range f.processes {
		if p.running() {
			live = append(live, p)
			backends = append(backends, p.base)
		}
	}
	if len(live) == 0 {
		return // there is nobody to ask, as the balancer will find
	}
	pinned := slices.Index(live, f.pinned)
	next := balance.New(func(n int) int {
		if pinned >= 0 {
			return pinned
		}
		return rand.IntN(n)
	}, backends...)
	if old := f.balancer.Swap(next); old != nil {
		old.Close()
	}
}

// pin has all requests go to one process while it lives, and then to any.
func (f *fleet) pin(p *process) {
	f.mu.Lock()
	f.pinned = p
	f.mu.Unlock()
	f.route()
}

// kill ends a process without warning. From then on the balancer knows.
func (f *fleet) kill(p *process) {
	p.kill()
	f.route()
}

// replace starts a process in place of the i-th, which has ended.
func (f *fleet) replace(i int) error {
	p := startProcess(f.t, f.program, f.env)
	if p.err != nil {
		return p.err
	}
	f.mu.Lock()
	f.processes[i] = p
	f.mu.Unlock()
	f.route()
	return nil
}

// add starts one more process, and returns it.
func (f *fleet) add(t testing.TB) *process {
	t.Helper()
	p := startProcess(t, f.program, f.env)
	if p.err != nil {
		t.Fatal(p.err)
	}
	f.mu.Lock()
	f.processes = append(f.processes, p)
	f.mu.Unlock()
	f.route()
	return p
}

// notifier returns what tells the fleet's clients of changes from a process
// that serves nothing, this one.
func (f *fleet) notifier(t testing.TB) *mcpfleet.Notifier {
	t.Helper()
	n, err := mcpfleet.NewNotifier(&mcpfleet.NotifierOptions{Redis: f.redis.Client(t), Prefix: f.prefix})
	must(t, err)
	return n
}

// connect returns a session of a go-sdk client, closed when the test ends. It
// tells seen, if there is one, of every response.
func (f *fleet) connect(t testing.TB, opts *mcp.ClientOptions, seen func(*http.Response)) *mcp.ClientSession {
	t.Helper()
	base := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(base.CloseIdleConnections)
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, opts)
	return connect(t, client, &mcp.StreamableClientTransport{
		Endpoint: f.URL, HTTPClient: &http.Client{Transport: observer{base, seen}},
	}, fleettest.WithSessions)
}

// connect connects a go-sdk client until the test ends.
func connect(t testing.TB, client *mcp.Client, transport mcp.Transport, era *mcp.ClientSessionOptions) *mcp.ClientSession {
	t.Helper()
	cs, err := client.Connect(t.Context(), transport, era)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { cs.Close() })
	return cs
}

// An observer tells of the responses that pass.
type observer struct {
	http.RoundTripper
	seen func(*http.Response)
}

func (o observer) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := o.RoundTripper.RoundTrip(req)
	if err == nil && o.seen != nil {
		o.seen(res)
	}
	return res, err
}

// begin begins a session at url with a client that sends what it is told.
func begin(t testing.TB, url string) *fleettest.Client {
	t.Helper()
	c := fleettest.Initialized(t, url)
	c.HTTP.Timeout = patience
	return c
}

// at returns a client of the same session whose requests all go to p.
func at(c *fleettest.Client, p *process) *fleettest.Client {
	other := *c
	other.URL = p.URL
	return &other
}

func echo(t testing.TB, cs *mcp.ClientSession, message string) error {
	t.Helper()
	res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": message}})
	if err != nil {
		return err
	}
	if got := text(res); got != "Echo: "+message {
		return errors.New("echo answered " + got)
	}
	return nil
}

// text returns the text of a result's first content.
func text(res *mcp.CallToolResult) string {
	if len(res.Content) > 0 {
		if c, ok := res.Content[0].(*mcp.TextContent); ok {
			return c.Text
		}
	}
	return ""
}
