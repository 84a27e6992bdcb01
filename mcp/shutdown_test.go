package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// shutdown begins to shut an instance down, and returns what tells the outcome
// once the instance takes no more calls.
func shutdown(t testing.TB, i *simulatedInstance, patience time.Duration) <-chan error {
	t.Helper()
	outcome := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		outcome <- i.handler.Shutdown(ctx)
	}()
	synctest.Wait()
	return outcome
}

var leaving = errorResponse(503, "1", -32000, "the instance is shutting down")

// What runs has the time it is given, and all it needs: it may ask its client,
// whose response comes through another instance, and go on to stream.
func TestRunningCallsFinishDuringShutdown(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		here, there := at(c, s.instances[0].url), at(c, s.instances[1].url)
		waiting := make(chan response, 1)
		go func() {
			waiting <- read(t, here.Post(t, fleettest.Request(2, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
		}()
		s.runs(t, "w")
		q := asked(t, here, "form")
		outcome := shutdown(t, s.instances[0], time.Minute)
		for _, body := range []string{initializeBody, fleettest.Request(1, "ping", "{}")} {
			session := c.Session
			if body == initializeBody {
				session = ""
			}
			res := here.Post(t, body, set("Mcp-Session-Id", session))
			if diff := cmp.Diff(leaving, read(t, res)); diff != "" || res.Header.Get("Retry-After") != "1" {
				t.Errorf("%s while leaving: Retry-After %q, (-want +got)\n%s", body, res.Header.Get("Retry-After"), diff)
			}
		}
		if diff := cmp.Diff(unhealthy, health(s.instances[0].handler.Readyz())); diff != "" {
			t.Errorf("readyz: (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(healthy, health(s.instances[0].handler.Livez())); diff != "" {
			t.Errorf("livez: (-want +got)\n%s", diff)
		}
		accepts(t, here, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		accepts(t, there, responseTo(q.ID, " in time"))
		wantText(t, q.stream.Message(t), "accept in time")
		time.Sleep(10 * time.Second)
		select {
		case err := <-outcome:
			t.Fatalf("Shutdown returned %v while a call runs", err)
		default:
		}
		s.open("w")
		if got := soon(t, waiting); !strings.Contains(got.Body, "went on") {
			t.Errorf("the running call: %+v", got)
		}
		if err := soon(t, outcome); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		wantText(t, there.CallTool(t, "echo", `{"text":"the session goes on"}`), "the session goes on")
	})
}

// Nobody is left without a response: what has not finished in time fails, in
// JSON or at the end of its stream, wherever that is read.
func TestCallsThatShutdownCutsShort(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		here, there := at(c, s.instances[0].url), at(c, s.instances[1].url)
		call := func(id int, name string) *fleettest.Stream {
			res := here.Post(t, fleettest.Request(id, "tools/call", fmt.Sprintf(`{"name":"wait","arguments":{"name":%q}}`, name)))
			return fleettest.NewStream(res)
		}
		streaming := call(2, "stream")
		s.runs(t, "stream")
		moved := call(3, "moved")
		s.runs(t, "moved")
		first, err := moved.Next()
		if err != nil {
			t.Fatal(err)
		}
		moved.Close()
		elsewhere := there.Get(t, first.ID)
		asJSON := make(chan response, 1)
		go func() {
			asJSON <- read(t, here.Post(t, fleettest.Request(4, "tools/call", `{"name":"wait","arguments":{"name":"json"}}`)))
		}()
		s.runs(t, "json")
		began := time.Now()
		outcome := shutdown(t, s.instances[0], 500*time.Millisecond)
		want := `{"code":-32603,"message":"instance is shutting down"}`
		for id, stream := range map[string]*fleettest.Stream{"2": streaming, "3": elsewhere} {
			if m := stream.Message(t); string(m.ID) != id || string(m.Error) != want {
				t.Errorf("call %s ended with %s, %s %s; want %s", id, m.ID, m.Error, m.Result, want)
			}
		}
		if got := soon(t, asJSON); got.Status != 200 || !strings.Contains(got.Body, want) {
			t.Errorf("call 4 ended with %+v", got)
		}
		if err := soon(t, outcome); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v, want that calls were cut short", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		synctest.Wait()
		if n := s.running.Load(); n != 0 {
			t.Errorf("%d handlers go on", n)
		}
	})
}

// Clients are asked to come back, and find their streams on another instance.
func TestStreamsMoveAtShutdown(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{instances: 3}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		leaver := at(c, s.instances[0].url)
		there := at(c, s.instances[1].url)
		standalone := leaver.Get(t, "")
		wantText(t, there.CallTool(t, "aside", `{"text":"before"}`), "said")
		standalone.Message(t)
		// A call of another instance, read here.
		call := fleettest.NewStream(there.Post(t, fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
		s.runs(t, "w")
		first, err := call.Next()
		if err != nil {
			t.Fatal(err)
		}
		call.Close()
		call = leaver.Get(t, first.ID)
		if _, err := call.Next(); err != nil {
			t.Fatal(err)
		}
		outcome := shutdown(t, s.instances[0], time.Minute)
		for _, stream := range []*fleettest.Stream{standalone, call} {
			if e, err := stream.Next(); err != nil || e.Retry == 0 {
				t.Errorf("at the end of a stream came %+v, %v; want a retry", e, err)
			}
			if e, err := stream.Next(); err == nil {
				t.Errorf("and then %+v", e)
			}
		}
		if err := soon(t, outcome); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		wantText(t, at(c, s.instances[2].url).CallTool(t, "aside", `{"text":"in between"}`), "said")
		// Who comes back to the instance that has left is sent on.
		for _, last := range []string{standalone.Last, call.Last} {
			back := leaver.Get(t, last)
			if e, err := back.Next(); err != nil || back.StatusCode != http.StatusOK || e.ID != last {
				t.Errorf("status %d, %+v, %v; want its own id %s", back.StatusCode, e, err, last)
			}
			if e, err := back.Next(); err != nil || e.Retry == 0 {
				t.Errorf("then %+v, %v; want a retry", e, err)
			}
		}
		if m := at(c, s.instances[2].url).Get(t, standalone.Last).Message(t); !strings.Contains(string(m.Params), "in between") {
			t.Errorf("resumed, the standalone stream has %s", m.Params)
		}
		s.open("w")
		wantText(t, at(c, s.instances[2].url).Get(t, call.Last).Message(t), "went on")
	})
}

// A go-sdk client gives up its session when it has come back six times to a stream
// that had no new event id. So each restart of an instance brings a quiet stream a
// new id.
func TestQuietStreamsHaveANewIDAfterEachRestart(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		seen, last := map[string]bool{}, ""
		for restarted := range 6 {
			holder := s.instances[len(s.instances)-1]
			stream := at(c, holder.url).Get(t, last)
			if stream.StatusCode != http.StatusOK {
				t.Fatalf("restart %d: %s", restarted, stream.Status)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					if _, err := stream.Next(); err != nil {
						return
					}
				}
			}()
			synctest.Wait()
			s.join(t, simulated{})
			if err := soon(t, shutdown(t, holder, time.Minute)); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			<-ended
			if last = stream.Last; seen[last] {
				t.Errorf("restart %d: the stream ended with the id %s, which it had before", restarted, last)
			}
			seen[last] = true
		}
	})
}

func TestShutdownIsIdempotent(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		i := s.instances[0]
		go func() {
			_ = read(t, at(c, i.url).Post(t, fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
		}()
		s.runs(t, "w")
		first := shutdown(t, i, time.Minute)
		began := time.Now()
		if err := soon(t, shutdown(t, i, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second Shutdown that waits for less: %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		second := shutdown(t, i, time.Minute)
		s.open("w")
		for _, outcome := range []<-chan error{first, second, shutdown(t, i, time.Minute)} {
			if err := soon(t, outcome); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		}
	})
}

// The fleet does not wait for an instance that has left: its inbox is gone. When
// the sessions are over only the bus remains. The bubble sees to goroutines.
func TestShutdownLeavesNothing(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		admin := s.redis.Client(t)
		inboxes := func() (n int) {
			for _, k := range redistest.Keys(t, admin, s.prefix) {
				if strings.HasSuffix(k.Name, ":inbox") {
					n++
				}
			}
			return n
		}
		c := s.session(t)
		wantText(t, c.CallTool(t, "count", `{"n":3}`), "3")
		if n := inboxes(); n != 2 {
			t.Fatalf("%d inboxes, want 2", n)
		}
		for left := range s.instances {
			if err := s.instances[left].handler.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if n := inboxes(); n != 1-left {
				t.Errorf("%d inboxes, want %d", n, 1-left)
			}
		}
		redistest.AssertTTLs(t, admin, s.prefix)
		time.Sleep(10 * time.Minute) // the sessions are over
		for _, k := range redistest.AssertTTLs(t, admin, s.prefix) {
			if !strings.HasSuffix(k.Name, ":{bus}") {
				t.Errorf("left in Redis: %s", k.Name)
			}
		}
	})
}

// Redis may be away as well when an instance is to leave.
func TestShutdownDuringAnOutage(t *testing.T) {
	t.Parallel()
	eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
		c := s.session(t)
		var streams sync.WaitGroup
		for _, instance := range s.instances {
			stream := fleettest.NewStream(at(c, instance.url).Post(t, fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"`+instance.url+`"}}`)))
			s.runs(t, instance.url)
			streams.Go(func() {
				if m := stream.Message(t); m.Error == nil {
					t.Errorf("a call that was cut short ended with %s", m.Result)
				}
			})
		}
		time.Sleep(2 * time.Second)
		begin()
		for _, i := range s.instances {
			began := time.Now()
			if err := soon(t, shutdown(t, i, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Shutdown: %v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("Shutdown took %v", took)
			}
		}
		streams.Wait()
	})
}
