//go:build unix

package e2e

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	mcpfleet "github.com/mcpfleet/mcpfleet/mcp"
)

const (
	// hang is how long Redis is stopped: longer than two calls to it take.
	hang = 4500 * time.Millisecond
	// slowCheck is how long it takes at most until a stream that has lost its reader
	// has it back. Sessions are touched only every 75 seconds, ¼ SESSION_TTL.
	slowCheck = 6 * time.Second

	viewersAtOnce    = 60
	operationsAtOnce = 6
)

// Redis hangs while clients open streams, give up and come again elsewhere, and while
// calls report progress. When it goes on, each stream is read by the connection that
// is there, and each call ends with its result. TEST_HANGS says how often Redis hangs;
// by default once.
func TestStreamsAndCallsGoOnAfterRedisHung(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	f := startFleetOn(t, &redis.Server, everything, 3)
	h := &hanging{t: t, fleet: f, redis: redis, notifier: f.notifier(t)}
	rounds := repetitions(t, "TEST_HANGS", 1)
	for range rounds {
		h.round()
	}
	t.Logf("%d rounds: %d streams, %d given up, %d refused, %d closed by the server; %d operations; slowest stream %v after the hang",
		rounds, rounds*viewersAtOnce, h.givenUp.Load(), h.refused.Load(), h.closed.Load(), rounds*operationsAtOnce, h.slowest.Round(time.Millisecond))
}

type hanging struct {
	t        *testing.T
	fleet    *fleet
	redis    *redistest.Process
	notifier *mcpfleet.Notifier

	givenUp, refused, closed atomic.Int64 // connections
	slowest                  time.Duration
}

func (h *hanging) round() {
	ctx, end := context.WithTimeout(h.t.Context(), patience)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	thawed := make(chan struct{})
	viewers := make([]*viewer, viewersAtOnce)
	for i := range viewers {
		viewers[i] = &viewer{roaming: roam(h.t, h.fleet), test: h, thawed: thawed, heard: make(chan struct{}, 1), impatient: i%2 == 0}
		for n := range 3 { // each process is to know the session
			at(viewers[i].Client, h.fleet.process(n)).Call(h.t, "ping", "{}")
		}
	}
	operated := h.operate(ctx)

	h.redis.Freeze(h.t)
	for i, v := range viewers {
		wg.Go(func() {
			pause(ctx, time.Duration(i)*hang/viewersAtOnce)
			v.view(ctx, i)
		})
	}
	pause(ctx, hang)
	h.redis.Thaw(h.t)
	close(thawed)
	h.settle(ctx)
	h.checkReaders(ctx, viewers)
	for range operationsAtOnce {
		if err := <-operated; err != nil {
			h.t.Error(err)
		}
	}
}

// operate begins calls that take longer than the hang, and returns when each has
// reported that it runs. How they end comes through the channel.
func (h *hanging) operate(ctx context.Context) <-chan error {
	const seconds, steps = 7, 140
	operated, stepped := make(chan error, operationsAtOnce), make(chan struct{}, operationsAtOnce*steps)
	for range operationsAtOnce {
		c := roam(h.t, h.fleet)
		begun := sync.OnceFunc(func() { stepped <- struct{}{} })
		go func() { operated <- c.operate(ctx, seconds, steps, begun) }()
	}
	for range operationsAtOnce {
		receive(h.t, stepped)
	}
	return operated
}

// settle returns when Redis has taken so much that what was sent to it during the hang
// has come.
func (h *hanging) settle(ctx context.Context) {
	client := h.redis.Client(h.t)
	defer client.Close()
	for range 100 {
		must(h.t, client.Do(ctx, client.B().Ping().Build()).Error())
	}
}

// checkReaders sends each viewer a notification, which goes to the reader that Redis
// names, and fails unless all hear of it.
func (h *hanging) checkReaders(ctx context.Context, viewers []*viewer) {
	since, deadline := time.Now(), time.After(10*slowCheck)
	for _, v := range viewers {
		must(h.t, again(ctx, func() error { return h.notifier.Notify(ctx, v.Session, "notifications/thawed", nil) }))
	}
	for i, v := range viewers {
		select {
		case <-v.heard:
			h.slowest = max(h.slowest, time.Since(since))
		case <-deadline:
			h.t.Fatalf("after %v, stream %d of %d has no reader", 10*slowCheck, i, len(viewers))
		}
	}
}

// A viewer is a client that opens its session's standalone stream.
type viewer struct {
	roaming
	test      *hanging
	thawed    <-chan struct{}
	heard     chan struct{} // receives when a message came
	impatient bool          // gives up while Redis hangs
}

// view opens the stream at the n-th process, and at one after the other whenever the
// connection ends, until ctx ends.
func (v *viewer) view(ctx context.Context, n int) {
	last := ""
	for ; ctx.Err() == nil; n++ {
		last = v.viewAt(ctx, v.fleet.process(n%3), last)
	}
}

// viewAt reads the stream at a process until the connection ends, and returns the id
// of the last event.
func (v *viewer) viewAt(ctx context.Context, p *process, last string) string {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	patience := hang
	if v.impatient {
		patience = between(200*time.Millisecond, 3*time.Second)
	}
	giveUp := time.AfterFunc(patience, func() {
		select {
		case <-v.thawed:
		default:
			v.test.givenUp.Add(1)
			hangUp()
		}
	})
	defer giveUp.Stop()
	res, err := at(v.Client, p).Do(ctx, http.MethodGet, "", behind(last))
	if err != nil {
		return last
	}
	s := fleettest.NewStream(res)
	defer s.Close()
	s.Last = last
	if res.StatusCode != http.StatusOK {
		v.test.refused.Add(1)
		if res.StatusCode != http.StatusServiceUnavailable {
			v.test.t.Errorf("a stream was refused: %s", res.Status)
		}
		pause(ctx, 10*time.Millisecond)
		return last
	}
	for {
		e, err := s.Next()
		if err != nil {
			if ctx.Err() == nil {
				v.test.closed.Add(1)
			}
			return s.Last
		}
		giveUp.Stop()
		if m, err := jsonrpcmsg.Decode(e.Data); err == nil && m.Method == "notifications/thawed" {
			v.wasHeard()
		}
	}
}

// wasHeard notes that a message came, maybe not for the first time.
func (v *viewer) wasHeard() {
	select {
	case v.heard <- struct{}{}:
	default:
	}
}
