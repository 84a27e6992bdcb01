// Package fleettest runs whole fleets in tests: instances with a Redis client,
// a server and a Handler each, behind a balancer that spreads single requests.
package fleettest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/balance"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// A Config says what fleet to run. Its zero value is two instances without
// features, called in turns.
type Config struct {
	// Redis is the fleet's Redis; if nil, a miniredis of its own.
	Redis *redistest.Server
	// Instances is how many there are; if zero, 2.
	Instances int
	// Server makes the server of one instance; if nil, one without features.
	Server func() *mcp.Server
	// Pick spreads the requests; if nil, round robin.
	Pick balance.Picker
	// Options changes the options of each instance.
	Options func(*fleet.Options)
	// Wrap is the middleware in front of each instance; none if nil.
	Wrap func(http.Handler) http.Handler
	// Client makes the Redis client of one instance; if nil, Redis does.
	Client func() rueidis.Client
}

// A Fleet is a running fleet. It is shut down when the test ends.
type Fleet struct {
	// URL is the balancer's.
	URL       string
	Prefix    string
	Redis     *redistest.Server
	Instances []*Instance
}

// An Instance is one of a fleet.
type Instance struct {
	// URL is the instance's own, past the balancer.
	URL     string
	Handler *fleet.Handler
	Redis   rueidis.Client
	server  *httptest.Server
}

// Start runs a fleet.
func Start(t testing.TB, c Config) *Fleet {
	t.Helper()
	if c.Redis == nil && c.Client == nil {
		c.Redis = redistest.NewMiniredis(t)
	}
	if c.Instances == 0 {
		c.Instances = 2
	}
	if c.Server == nil {
		c.Server = func() *mcp.Server { return mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil) }
	}
	if c.Pick == nil {
		c.Pick = balance.RoundRobin()
	}
	f := &Fleet{Prefix: redistest.NewPrefix(), Redis: c.Redis}
	var backends []*url.URL
	for range c.Instances {
		instance := f.start(t, c)
		u, err := url.Parse(instance.URL)
		if err != nil {
			t.Fatal(err)
		}
		backends = append(backends, u)
	}
	balancer := balance.New(c.Pick, backends...)
	front := httptest.NewServer(balancer)
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		balancer.Close()
	})
	f.URL = front.URL
	return f
}

func (f *Fleet) start(t testing.TB, c Config) *Instance {
	t.Helper()
	client := c.Client
	if client == nil {
		client = func() rueidis.Client { return c.Redis.Client(t) }
	}
	opts := &fleet.Options{Redis: client(), Prefix: f.Prefix, RedisTimeout: busyMachine}
	if os.Getenv("TEST_LOG") != "" {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if c.Options != nil {
		c.Options(opts)
	}
	server := c.Server()
	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, opts)
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = handler
	if c.Wrap != nil {
		h = c.Wrap(h)
	}
	instance := &Instance{Handler: handler, Redis: opts.Redis, server: httptest.NewServer(h)}
	instance.URL = instance.server.URL
	f.Instances = append(f.Instances, instance)
	t.Cleanup(func() {
		// Calls that a test left running are cut short.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 100*time.Millisecond)
		defer cancel()
		_ = handler.Shutdown(ctx)
		instance.Close()
	})
	return instance
}

// Close breaks the instance's connections and accepts no more, without
// Shutdown: to its clients it is dead.
func (i *Instance) Close() {
	i.server.CloseClientConnections()
	i.server.Close()
}

// WithSessions has a go-sdk client speak the newest protocol that has sessions.
// Left alone it takes the newest of all.
var WithSessions = &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"}

// Connect returns a session of a go-sdk client with the balancer, of protocol
// 2025-11-25, closed when the test ends.
func (f *Fleet) Connect(t testing.TB, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	return f.connect(t, opts, WithSessions)
}

// busyMachine bounds the calls to Redis: that the tests have the processors busy
// is not an outage.
const busyMachine = 10 * time.Second

// ConnectStateless is Connect for the newest protocol, 2026-07-28.
func (f *Fleet) ConnectStateless(t testing.TB, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	return f.connect(t, opts, nil)
}

func (f *Fleet) connect(t testing.TB, opts *mcp.ClientOptions, protocol *mcp.ClientSessionOptions) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, opts)
	cs, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: f.URL}, protocol)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = cs.Close() })
	return cs
}
