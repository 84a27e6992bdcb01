// Package redistest gives tests their Redis: an in-memory one, a real server
// and a real cluster, started by the tests themselves on free ports and gone
// when they end.
//
// [Each] runs a test on all three. [Start] gives a real server that one test
// may stop, kill or freeze. [NewBubble] gives one for testing/synctest. Clients
// may be behind a [Link] that a test can cut and freeze.
//
// TEST_REDIS_ADDR names a running single Redis to use instead of starting one.
// Without redis-server on the PATH the tests that need it are skipped, or fail
// if REQUIRE_ALL is 1.
package redistest

import (
	"crypto/rand"
	"flag"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/race"
)

// A Kind is a sort of Redis.
type Kind string

// The sorts of Redis that [Each] runs a test on.
const (
	Miniredis Kind = "miniredis"
	Single    Kind = "redis"
	Cluster   Kind = "cluster"
)

// A Server is one running Redis, or one running cluster.
type Server struct {
	// Kind says what the server is.
	Kind  Kind
	addrs []string
}

// Each runs f as parallel subtests on a miniredis of its own, on a real Redis
// and on a cluster of three. The real ones are shared by all tests of the
// process: use [Server.Prefix], and change nothing outside it.
func Each(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	for _, one := range []struct {
		kind Kind
		get  func(testing.TB) *Server
	}{{Miniredis, NewMiniredis}, {Single, Real}, {Cluster, RealCluster}} {
		t.Run(string(one.kind), func(t *testing.T) {
			t.Parallel()
			f(t, one.get(t))
		})
	}
}

// NewMiniredis returns a miniredis of the test's own, in which time passes.
func NewMiniredis(t testing.TB) *Server {
	t.Helper()
	return Of(Mini(t))
}

// Of returns the server that m is.
func Of(m *miniredis.Miniredis) *Server {
	return &Server{Kind: Miniredis, addrs: []string{m.Addr()}}
}

// Mini returns a miniredis of the test's own on a loopback port, in which time
// passes: keys expire as in Redis.
func Mini(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	return m
}

// Real returns the real Redis that the tests of this process share.
func Real(t testing.TB) *Server {
	t.Helper()
	if addr := os.Getenv("TEST_REDIS_ADDR"); addr != "" {
		return &Server{Kind: Single, addrs: []string{addr}}
	}
	return sharedServer(t, single)
}

// RealCluster returns the cluster that the tests of this process share.
func RealCluster(t testing.TB) *Server {
	t.Helper()
	return sharedServer(t, cluster)
}

// Addrs returns the address of every node.
func (s *Server) Addrs() []string { return s.addrs }

// Addr returns the address of the server, or of the first node of a cluster.
func (s *Server) Addr() string { return s.addrs[0] }

// Real reports whether the server is a redis-server, not an imitation: it has
// client-side caching, memory limits and access control.
func (s *Server) Real() bool { return s.Kind != Miniredis }

// Option returns the client options that suit the server.
func (s *Server) Option() rueidis.ClientOption { return clientOption(s.Kind, s.addrs...) }

// clientOption asks for small buffers: tests make many clients.
func clientOption(kind Kind, addrs ...string) rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress:         addrs,
		ForceSingleClient:   kind != Cluster,
		DisableCache:        kind == Miniredis,
		ReadBufferEachConn:  32 << 10,
		WriteBufferEachConn: 32 << 10,
		RingScaleEachConn:   8,
	}
}

// Client returns a new client of the server, changed by the given functions
// and closed when the test ends.
func (s *Server) Client(t testing.TB, change ...func(*rueidis.ClientOption)) rueidis.Client {
	t.Helper()
	return newClient(t, s.Option(), change)
}

func newClient(t testing.TB, opt rueidis.ClientOption, change []func(*rueidis.ClientOption)) rueidis.Client {
	t.Helper()
	for _, f := range change {
		f(&opt)
	}
	client, err := rueidis.NewClient(opt)
	if err != nil {
		t.Fatalf("connect to Redis at %s: %v", opt.InitAddress, err)
	}
	t.Cleanup(client.Close)
	return client
}

// Prefix returns a key prefix that no other test uses, in the alphabet of
// package keys.
func (s *Server) Prefix(testing.TB) string { return NewPrefix() }

// NewPrefix returns a key prefix that no other test uses.
func NewPrefix() string { return "test:" + strings.ToLower(rand.Text()[:12]) }

// Main runs the tests and then ends the servers they shared, which only
// platforms need on which a child outlives its parent. It collects garbage less
// often than usual, and runs four tests side by side at the least, as some wait
// for a server to start or to be missed. With the race detector, which makes each
// turn cost several times as much, random tests take a quarter of their turns:
// their number without it is what finds things. GOGC, -parallel and
// -rapid.checks have their say.
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
func Main(m *testing.M) int {
	defer stopShared()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	_ = flag.Set("test.parallel", strconv.Itoa(max(4, runtime.GOMAXPROCS(0)))) // the command line may say otherwise
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks != nil && race.Enabled && checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("25"); err != nil {
			panic(err) // it is not a number any more
		}
	}
	return m.Run()
}

// required skips the test, or fails it if the environment says that nothing
// may be missing.
func required(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// startTimeout bounds the start of a server: a busy machine, not a slow Redis.
const startTimeout = 30 * time.Second

// A shared is a server started once for all tests of the process.
type shared struct {
	once  sync.Once
	start func() (*Server, []*process, error)

	server    *Server
	processes []*process
	err       error
}

var (
	single  = &shared{start: startSingle}
	cluster = &shared{start: startCluster}
)

func sharedServer(t testing.TB, s *shared) *Server {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		required(t, err)
	}
	s.once.Do(func() { s.server, s.processes, s.err = s.start() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

func stopShared() {
	for _, s := range []*shared{single, cluster} {
		for _, p := range s.processes {
			p.remove()
		}
	}
}

func startSingle() (*Server, []*process, error) {
	p, err := startProcess(nil)
	if err != nil {
		return nil, nil, err
	}
	return &Server{Kind: Single, addrs: []string{p.addr()}}, []*process{p}, nil
}
