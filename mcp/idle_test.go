package mcp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/race"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// The tests of this file count what the whole process has, so they do not run
// beside others.

func TestIdleSessionsCostNoGoroutineConnectionOrTimer(t *testing.T) {
	sessions := 10_000
	if race.Enabled {
		sessions = 1_000 // it makes a session ten times as expensive, and counts the same
	}
	// Little lives and much dies: without this, collecting is most of the work.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	// Timers are not counted anywhere, but their allocations are sampled: of
	// one timer for each session, fifty would be seen, and few others.
	defer func(rate int) { runtime.MemProfileRate = rate }(runtime.MemProfileRate)
	runtime.MemProfileRate = 2 << 10

	f, admin := startIdle(t)
	before := settled(t, admin)

	ids := beginSessions(t, f, sessions)
	after := settled(t, admin)
	t.Logf("%d sessions: before %+v, after %+v", sessions, before, after)
	// The client starts the two goroutines of a connection to Redis when it first
	// has two commands at a time.
	if after.goroutines > before.goroutines+2*before.redis {
		t.Errorf("goroutines went from %d to %d:\n%s", before.goroutines, after.goroutines, stacks())
	}
	if after.redis > before.redis {
		t.Errorf("connections to Redis went from %d to %d", before.redis, after.redis)
	}
	if after.timers > before.timers+int64(sessions)/10 {
		t.Errorf("about %d timers before, %d after", before.timers, after.timers)
	}
	// They are idle, not dead.
	c := fleettest.NewClient(t, f.URL)
	c.Session, c.Version = ids[sessions/2], "2025-11-25"
	if m := c.CallTool(t, "echo", `{"message":"hi"}`); m.Error != nil {
		t.Errorf("a session that was idle: %s", m.Error)
	}
}

func TestOpenStreamsAddNoRedisConnection(t *testing.T) {
	const streams = 200
	f, admin := startIdle(t)
	before := settled(t, admin)
	for range streams {
		c := fleettest.Initialized(t, f.URL)
		if s := c.Get(t, ""); s.StatusCode != http.StatusOK {
			t.Fatalf("GET: %s", s.Status)
		}
	}
	after := settled(t, admin)
	t.Logf("%d streams: before %+v, after %+v", streams, before, after)
	if after.redis > before.redis {
		t.Errorf("connections to Redis went from %d to %d", before.redis, after.redis)
	}
}

// startIdle runs a fleet on a Redis that nobody else uses. The client is not
// one of the fleet's.
func startIdle(t *testing.T) (*fleettest.Fleet, rueidis.Client) {
	t.Helper()
	redis := &redistest.Start(t).Server
	f := fleettest.Start(t, fleettest.Config{
		Redis: redis, Instances: 2, Server: func() *mcp.Server { return everything.New(nil) },
		// By default the client makes up to four connections, each when the first
		// key that belongs to it is used: more keys would look like a leak.
		Client: func() rueidis.Client {
			return redis.Client(t, func(o *rueidis.ClientOption) { o.PipelineMultiplex = -1 })
		},
	})
	for _, i := range f.Instances {
		fleettest.Initialized(t, i.URL).CallTool(t, "echo", `{"message":"warm up"}`)
	}
	return f, redis.Client(t)
}

// beginSessions begins n sessions as clients do, and returns their ids.
func beginSessions(t *testing.T, f *fleettest.Fleet, n int) []string {
	t.Helper()
	ids := make([]string, n)
	work := make(chan int)
	errs := make(chan error, 16)
	var wg sync.WaitGroup
	for w := range 16 {
		client := fleettest.NewClient(t, f.Instances[w%len(f.Instances)].URL)
		wg.Go(func() {
			for i := range work {
				id, err := beginSession(t.Context(), *client)
				if err != nil {
					errs <- err
					return
				}
				ids[i] = id
			}
			client.HTTP.CloseIdleConnections()
		})
	}
	go func() {
		defer close(work)
		for i := range n {
			select {
			case work <- i:
			case <-t.Context().Done():
				return
			}
		}
	}()
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	return ids
}

func beginSession(ctx context.Context, c fleettest.Client) (id string, err error) {
	send := func(body string, want int) (http.Header, error) {
		res, err := c.Do(ctx, http.MethodPost, body)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		if err == nil && res.StatusCode != want {
			err = fmt.Errorf("%s: %s", body, res.Status)
		}
		return res.Header, err
	}
	header, err := send(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"idle","version":"1"}}}`, http.StatusOK)
	if err != nil {
		return "", err
	}
	c.Session, c.Version = header.Get("Mcp-Session-Id"), "2025-11-25"
	_, err = send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, http.StatusAccepted)
	return c.Session, err
}

// A census is what there is at a moment.
type census struct {
	goroutines int   // in the process: both instances, the balancer and the test
	redis      int   // connections to Redis, those of the test included
	timers     int64 // estimated from samples
}

// settled counts once nothing changes any more.
func settled(t *testing.T, admin rueidis.Client) census {
	t.Helper()
	var last census
	same := 0
	redistest.Until(t, "the counts are at rest", func() bool {
		time.Sleep(20 * time.Millisecond)
		now := census{goroutines: runtime.NumGoroutine(), redis: redisConnections(t, admin)}
		if same++; now != last {
			same, last = 0, now
		}
		return same == 25
	})
	last.timers = timers()
	return last
}

func redisConnections(t *testing.T, admin rueidis.Client) int {
	t.Helper()
	list, err := admin.Do(t.Context(), admin.B().ClientList().Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(list, "\n")
}

// timers estimates how many timers that are in use package time has made.
func timers() (n int64) {
	runtime.GC()
	runtime.GC() // the profile is of the last cycle that is complete
	records := make([]runtime.MemProfileRecord, 10_000)
	found, ok := runtime.MemProfile(records, false)
	for !ok {
		records = make([]runtime.MemProfileRecord, 2*found)
		found, ok = runtime.MemProfile(records, false)
	}
	for _, r := range records[:found] {
		frames := runtime.CallersFrames(r.Stack())
		frame, _ := frames.Next()
		for strings.HasPrefix(frame.Function, "runtime.") {
			frame, _ = frames.Next()
		}
		if strings.HasPrefix(frame.Function, "time.") {
			size := r.InUseBytes() / max(r.InUseObjects(), 1)
			// A small object is sampled with a probability of size/rate.
			n += r.InUseObjects() * max(int64(runtime.MemProfileRate)/max(size, 1), 1)
		}
	}
	return n
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
