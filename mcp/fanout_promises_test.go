package mcp_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// BenchmarkFanOutBesideOneThatNeverReads shows what a subscriber that never reads
// costs the others: p99 of delivery and of publishing without it, with it, and
// their quotient, which shall be 1.5 at the most. The test of it is
// [TestASubscriberThatNeverReadsDelaysNobody], at ten times that.
//
//	go test ./mcp -run '^$' -bench FanOutBeside -benchtime 2000x
func BenchmarkFanOutBesideOneThatNeverReads(b *testing.B) {
	calm, beside := besideOneThatNeverReads(b, func(int) bool { return b.Loop() })
	for what, of := range map[string]func(*readers) []time.Duration{
		"delivery": func(r *readers) []time.Duration { return r.delivered },
		"publish":  func(r *readers) []time.Duration { return r.published },
	} {
		b.ReportMetric(float64(p99(of(calm)).Microseconds()), "p99-µs-"+what+"-without")
		b.ReportMetric(float64(p99(of(beside)).Microseconds()), "p99-µs-"+what+"-with")
		b.ReportMetric(float64(p99(of(beside)))/float64(p99(of(calm))), "p99-"+what+"-ratio")
	}
}

// besideOneThatNeverReads measures two fleets of three instances in turns, so
// that a busy machine is busy for both. In one of them each instance has a
// subscriber, with or without a session, whose connection has been full from the start.
func besideOneThatNeverReads(t testing.TB, goOn func(n int) bool) (calm, beside *readers) {
	t.Helper()
	calm, beside = newReaders(t), newReaders(t)
	beside.stall(t)
	for range 50 { // to warm up
		calm.update(t)
		beside.update(t)
	}
	calm.forget()
	beside.forget()
	for n := 0; goOn(n); n++ {
		for i := range 2 { // each is as often the first
			[]*readers{calm, beside}[(n+i)%2].update(t)
		}
	}
	if n := beside.left.Load(); n > 0 {
		t.Fatalf("%d streams have ended: those that never read were not there all the time", n)
	}
	return calm, beside
}

// readers are subscribers of a fleet, with sockets, and how long they waited.
type readers struct {
	fleet     *fleettest.Fleet
	uri       string
	size      int
	arrivals  chan time.Time
	delivered []time.Duration
	published []time.Duration
	turn      int
	left      atomic.Int64 // streams that have ended
}

func newReaders(t testing.TB) *readers {
	const size, bytes = 9, 8000
	r := &readers{size: size, uri: "news://" + strings.Repeat("x", bytes), arrivals: make(chan time.Time, size)}
	r.fleet = fleettest.Start(t, fleettest.Config{Redis: redistest.Real(t), Instances: 3, Server: newsRig().server, Options: func(o *fleet.Options) {
		o.SessionTTL, o.WriteTimeout = time.Hour, time.Hour // nobody is cut off while this is measured
		o.OnStream = func(ctx context.Context, _ *fleet.Stream) {
			<-ctx.Done()
			r.left.Add(1)
		}
	}})
	for i := range size {
		c := fleettest.Initialized(t, r.fleet.Instances[i%3].URL)
		subscribe(t, c, r.uri)
		events := messages(c.Get(t, ""))
		go func() { // ends with the test
			for range events {
				r.arrivals <- time.Now()
			}
		}()
	}
	return r
}

// stall adds subscribers that never read, and fills their connections up.
func (r *readers) stall(t testing.TB) {
	for _, i := range r.fleet.Instances {
		neverRead(t, i, r.uri)
		body := statelessBody(1, "subscriptions/listen", fmt.Sprintf(`{"notifications":{"resourceSubscriptions":[%q]}}`, r.uri))
		conn := rawRequest(t, i, fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"+
			"Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		must(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	}
	for range 1000 { // 8 MB: more than a socket takes
		r.update(t)
	}
}

// update publishes an update, and waits until every reader has it.
func (r *readers) update(t testing.TB) {
	began := time.Now()
	must(t, r.fleet.Instances[r.turn%3].Handler.ResourceUpdated(t.Context(), r.uri))
	r.published = append(r.published, time.Since(began))
	for range r.size {
		r.delivered = append(r.delivered, soon(t, r.arrivals).Sub(began))
	}
	r.turn++
}

func (r *readers) forget() {
	r.delivered, r.published = slices.Clip(r.delivered[:0]), slices.Clip(r.published[:0])
}

// BenchmarkFanOutCommands counts the commands that Redis executes for an update:
// the same for one subscriber and for many.
//
//	go test ./mcp -run '^$' -bench FanOutCommands -benchtime 50x
func BenchmarkFanOutCommands(b *testing.B) {
	for _, subscribers := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			redis := &redistest.Start(b).Server
			f := fleettest.Start(b, fleettest.Config{
				Redis: redis, Instances: 3, Server: newsRig().server,
				Options: func(o *fleet.Options) { o.SessionTTL = time.Hour },
			})
			admin := redis.Client(b)
			a := newAudience(b, handlersOf(f)...)
			a.join(b, max(1, subscribers/2), "news://a")
			a.listen(b, subscribers/2, "news://a")
			quiet(b, admin)
			received := 0
			before := commands(b, admin)
			for b.Loop() {
				must(b, f.Instances[received%3].Handler.ResourceUpdated(b.Context(), "news://a"))
				received++
				a.receive(b, received)
			}
			took := b.Elapsed()
			spent := commands(b, admin) - before
			// What the fleet does anyhow in that time.
			before = commands(b, admin)
			time.Sleep(took)
			spent -= commands(b, admin) - before
			b.ReportMetric(float64(spent)/float64(b.N), "commands/update")
		})
	}
}
