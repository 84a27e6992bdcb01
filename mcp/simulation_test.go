package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// A simulated says what fleet to simulate. The zero value is two instances.
type simulated struct {
	instances int
	// rig has the servers' options; if nil, a rig without options.
	rig *rig
	// options changes each instance's options.
	options func(*fleet.Options)
	// wrap is the middleware in front of each instance; none if nil.
	wrap func(http.Handler) http.Handler
	// http changes each instance's HTTP server.
	http func(*http.Server)
}

// A simulation is a whole fleet in a synctest bubble: instances with an HTTP
// server and a link to the Redis each, and no sockets. Time is virtual.
type simulation struct {
	*rig
	redis     *redistest.Bubble
	prefix    string
	instances []*simulatedInstance
	dials     atomic.Int64
	only      atomic.Int64 // number of the only instance the balancer sends to; -1 for all
}

type simulatedInstance struct {
	url      string
	handler  *fleet.Handler
	link     *redistest.Link
	server   *http.Server
	listener *pipeListener
}

// balancer is the URL whose requests go to each instance in turn.
const balancer = "http://fleet.test/"

// simulate runs f with a fleet in a bubble.
func simulate(t *testing.T, c simulated, f func(t *testing.T, s *simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// net/http lingers half a second on some connections that it closes.
		t.Cleanup(func() { time.Sleep(time.Second) })
		s := &simulation{rig: c.rig, redis: redistest.NewBubble(t), prefix: redistest.NewPrefix()}
		if s.rig == nil {
			s.rig = newRig(nil)
		}
		s.rig.entered = make(chan string, 1000) // time passes only while everybody waits for the bubble's own channels
		s.only.Store(-1)
		for range max(c.instances, 2) {
			s.join(t, c)
		}
		f(t, s)
	})
}

// join adds an instance to the fleet.
func (s *simulation) join(t testing.TB, c simulated) *simulatedInstance {
	t.Helper()
	server := s.server()
	return s.joinServing(t, c, func(*http.Request) *mcp.Server { return server })
}

// joinServing is join with a getServer of the test's own.
func (s *simulation) joinServing(t testing.TB, c simulated, getServer func(*http.Request) *mcp.Server) *simulatedInstance {
	t.Helper()
	i := &simulatedInstance{
		url:      fmt.Sprintf("http://%d.test/", len(s.instances)),
		link:     s.redis.Link(),
		listener: newPipeListener(),
	}
	opts := &fleet.Options{Redis: i.link.Client(t), Prefix: s.prefix}
	if os.Getenv("TEST_LOG") != "" {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	if c.options != nil {
		c.options(opts)
	}
	var err error
	if i.handler, err = fleet.NewHandler(getServer, opts); err != nil {
		t.Fatal(err)
	}
	i.server = &http.Server{Handler: i.handler}
	if c.wrap != nil {
		i.server.Handler = c.wrap(i.handler)
	}
	if c.http != nil {
		c.http(i.server)
	}
	go func() { _ = i.server.Serve(i.listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = i.handler.Shutdown(ctx)
		_ = i.server.Close()
	})
	s.instances = append(s.instances, i)
	return i
}

// kill ends the instance as a crash would: no more of it reaches anybody.
func (i *simulatedInstance) kill() {
	i.link.Cut()
	_ = i.server.Close()
}

// client returns a client of the balancer without a session.
func (s *simulation) client(t testing.TB) *fleettest.Client {
	t.Helper()
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return s.dial(ctx, addr) },
		DisableKeepAlives: true, // so that each request is a dial, and the next instance's turn
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &fleettest.Client{
		URL: balancer, Header: http.Header{},
		// Nothing takes this long but what hangs, and virtual time would pass for ever.
		HTTP: &http.Client{Transport: transport, Timeout: time.Hour},
	}
}

// session returns a client of the balancer with a session of protocol
// 2025-11-25 and every capability.
func (s *simulation) session(t testing.TB) *fleettest.Client {
	t.Helper()
	c := s.client(t)
	c.Initialize(t, "2025-11-25", everyCapability)
	return c
}

const everyCapability = `{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}`

func (s *simulation) dial(ctx context.Context, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if only := s.only.Load(); host == "fleet.test" && only >= 0 {
		return s.instances[only].listener.dial(ctx)
	}
	if host == "fleet.test" {
		return s.instances[int(s.dials.Add(1))%len(s.instances)].listener.dial(ctx)
	}
	var n int
	if _, err := fmt.Sscanf(host, "%d.test", &n); err != nil {
		return nil, err
	}
	return s.instances[n].listener.dial(ctx)
}

// A pipeListener accepts connections within the process.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

var errRefused = errors.New("connection refused")

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, errRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
