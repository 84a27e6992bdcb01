package mcp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/race"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func TestAnUpdateReachesAThousandSessionsAndListenersOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, redis *redistest.Server) {
		sessions, listeners := 1000, 100
		if race.Enabled || redis.Kind != redistest.Single {
			sessions, listeners = 60, 20
		}
		f := fleettest.Start(t, fleettest.Config{Redis: redis, Instances: 3, Server: newsRig().server})
		worker, err := fleet.NewNotifier(&fleet.NotifierOptions{Redis: redis.Client(t), Prefix: f.Prefix})
		must(t, err)
		a := newAudience(t, handlersOf(f)...)
		a.join(t, sessions, "news://a", "news://b")
		a.listen(t, listeners, "news://a", "news://b")
		updates := 0
		for range 3 {
			for _, n := range []*fleet.Notifier{f.Instances[0].Handler.Notifier, f.Instances[1].Handler.Notifier, f.Instances[2].Handler.Notifier, worker} {
				must(t, n.ResourceUpdated(t.Context(), "news://a"))
				must(t, n.ResourceUpdated(t.Context(), "news://other"))
				updates++
			}
		}
		// Whoever has received the last has received all it will.
		must(t, worker.ResourceUpdated(t.Context(), "news://b"))
		a.receive(t, updates+1)
		a.exactly(t, updates+1)
	})
}

// The bus is read by instances, not by subscribers.
func TestAnUpdateCostsTheSameForOneAndForManySubscribers(t *testing.T) {
	t.Parallel()
	sessions, listeners := 1000, 9000
	if race.Enabled {
		sessions, listeners = 30, 120
	}
	redis := &redistest.Start(t).Server
	f := fleettest.Start(t, fleettest.Config{
		Redis: redis, Instances: 3, Server: newsRig().server,
		Options: func(o *fleet.Options) { o.SessionTTL = time.Hour }, // so that no session is due meanwhile
	})
	admin := redis.Client(t)
	const updates = 20
	a := newAudience(t, handlersOf(f)...)
	received := 0
	measure := func() float64 {
		t.Helper()
		quiet(t, admin)
		began := time.Now()
		before := commands(t, admin)
		for range updates {
			must(t, f.Instances[received%3].Handler.ResourceUpdated(t.Context(), "news://a"))
			received++
			a.receive(t, received)
		}
		spent := commands(t, admin) - before
		// What the fleet does anyhow in that time.
		before = commands(t, admin)
		took := time.Since(began)
		time.Sleep(took)
		spent -= commands(t, admin) - before
		t.Logf("%d subscribers: %d commands for %d updates, in %v", len(a.sinks), spent, updates, took)
		return float64(spent) / updates
	}
	a.join(t, 1, "news://a")
	one := measure()
	a.join(t, sessions-1, "news://a")
	a.listen(t, listeners, "news://a")
	for _, s := range a.sinks {
		a.received.Add(int64(received) - s.updates.Load()) // the late ones count as if they had been there
		s.updates.Store(int64(received))
	}
	all := measure()
	if all > one+2 {
		t.Errorf("an update costs %.2f commands for one subscriber and %.2f for %d", one, all, len(a.sinks))
	}
}

// quiet waits until Redis has little to do: new sessions are touched for a while.
func quiet(t testing.TB, admin rueidis.Client) {
	t.Helper()
	redistest.Until(t, "Redis is at rest", func() bool {
		before := commands(t, admin)
		time.Sleep(500 * time.Millisecond)
		return commands(t, admin)-before < 50
	})
}

// commands returns how many commands Redis has run, but for those by which each
// instance checks every few seconds whether it still reads the streams open on it.
func commands(t testing.TB, client rueidis.Client) int64 {
	t.Helper()
	n, err := commandsRun(t.Context(), client, "cmdstat_hmget", "cmdstat_exists")
	must(t, err)
	return n
}

// Sockets are real here, and so are the buffers that have to fill up first.
func TestASubscriberThatNeverReadsDelaysNobody(t *testing.T) {
	readers, bytes := 9, 8000
	if race.Enabled {
		readers = 3 // it makes each event ten times as expensive
	}
	redis := redistest.Real(t)
	left := make(chan struct{}, 2*readers)
	f := fleettest.Start(t, fleettest.Config{Redis: redis, Instances: 3, Server: newsRig().server, Options: func(o *fleet.Options) {
		o.WriteTimeout = 500 * time.Millisecond
		o.OnStream = func(ctx context.Context, _ *fleet.Stream) {
			<-ctx.Done()
			left <- struct{}{}
		}
	}})
	uri := "news://" + strings.Repeat("x", bytes)
	arrivals := make(chan time.Time, readers)
	for i := range readers {
		c := fleettest.Initialized(t, f.Instances[i%3].URL)
		subscribe(t, c, uri)
		events := messages(c.Get(t, ""))
		go func() {
			for range events {
				arrivals <- time.Now()
			}
		}()
	}
	publishTo := func(enough func(n int) bool) (delivered, published []time.Duration) {
		for n := 0; !enough(n); n++ {
			began := time.Now()
			must(t, f.Instances[n%3].Handler.ResourceUpdated(t.Context(), uri))
			published = append(published, time.Since(began))
			for range readers {
				delivered = append(delivered, soon(t, arrivals).Sub(began))
			}
		}
		return delivered, published
	}
	publishTo(func(n int) bool { return n == 20 }) // to warm up
	without, publishedWithout := publishTo(func(n int) bool { return n == 150 })
	neverRead(t, f.Instances[0], uri)
	cut := false
	with, publishedWith := publishTo(func(n int) bool {
		select {
		case <-left:
			cut = true
		default:
		}
		return cut && n >= 150 || n == 20_000
	})
	if !cut {
		t.Fatal("the reader that does not read was never cut off")
	}
	for _, m := range []struct {
		what          string
		without, with []time.Duration
	}{{"delivery", without, with}, {"publishing", publishedWithout, publishedWith}} {
		calm, beside := p99(m.without), p99(m.with)
		t.Logf("p99 of %s: %v without, %v with one that never reads (%d and %d samples)", m.what, calm, beside, len(m.without), len(m.with))
		if beside > 15*max(calm, time.Millisecond) { // ten times what is promised
			t.Errorf("p99 of %s goes from %v to %v", m.what, calm, beside)
		}
	}
}

// neverRead subscribes a session, and opens a stream of which it reads only the
// beginning.
func neverRead(t testing.TB, i *fleettest.Instance, uri string) {
	t.Helper()
	c := fleettest.Initialized(t, i.URL)
	subscribe(t, c, uri)
	conn := rawRequest(t, i, fmt.Sprintf("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: %s\r\nMcp-Protocol-Version: 2025-11-25\r\n\r\n", c.Session))
	must(t, conn.(*net.TCPConn).SetReadBuffer(4096))
}

// rawRequest sends a request and reads the response to its first event.
func rawRequest(t testing.TB, i *fleettest.Instance, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(i.URL, "http://"))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, request)
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	if _, err := fleettest.NewStream(res).Next(); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", res.Status, err)
	}
	return conn
}

func p99(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)*99/100]
}

// A listener is an HTTP connection with the two goroutines that net/http has for
// it. The test counts what the whole process has, so it does not run beside
// others.
func TestListenersCostLittle(t *testing.T) {
	listeners := 1000
	if race.Enabled {
		listeners = 200
	}
	redis := &redistest.Start(t).Server
	f := fleettest.Start(t, fleettest.Config{
		Redis: redis, Instances: 2, Server: newsRig().server,
		Client: func() rueidis.Client { // see startIdle
			return redis.Client(t, func(o *rueidis.ClientOption) { o.PipelineMultiplex = -1 })
		},
	})
	admin := redis.Client(t)
	open := func(n int) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					body := statelessBody(i, "subscriptions/listen", `{"notifications":`+allNews+`}`)
					rawRequest(t, f.Instances[i%2], fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"+
						"Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
				}
			})
		}
		wg.Wait()
	}
	open(10)
	before, memory := settled(t, admin), inUse()
	open(listeners)
	after := settled(t, admin)
	each := (inUse() - memory) / int64(listeners)
	t.Logf("%d listeners: before %+v, after %+v, %d bytes each", listeners, before, after, each)
	if after.goroutines > before.goroutines+2*listeners+2*before.redis {
		t.Errorf("goroutines went from %d to %d:\n%s", before.goroutines, after.goroutines, stacks())
	}
	if after.redis > before.redis {
		t.Errorf("connections to Redis went from %d to %d", before.redis, after.redis)
	}
	if !race.Enabled && each > 51<<10 { // what the SDK's own handler needs
		t.Errorf("a listener needs %d bytes", each)
	}
}

// inUse returns the memory in use, stacks included.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
