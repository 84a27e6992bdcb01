package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func TestMalformedLastEventIDs(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		want := errorResponse(400, "null", -32600, "Last-Event-ID: malformed event id")
		for _, id := range []string{
			"x", "7", "g", "g.", "g.1", "g.1.", "g.1.abc", "g.-1.ABCDEF", "g.end.x.", "g.1.ABCDEF.", " g.1", "h.1.ABCDEF",
			"g.9999999999999999.ABCDEF", "g.1.ABC:EF", "c.1.ABCDEF", "cABC.1.ABCDEF", "cABCDEFGHIJKLMNO}.1.ABCDEF",
			strings.Repeat("g", 10_000), "cABCDEFGHIJKLMNOP-" + strings.Repeat("A", 129) + ".1.ABCDEF",
		} {
			for _, instance := range s.instances {
				res, err := at(c, instance.url).Do(t.Context(), "GET", "", set("Last-Event-ID", id))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, read(t, res)); diff != "" {
					t.Errorf("%.40q: (-want +got)\n%s", id, diff)
				}
			}
		}
		b.undisturbed(t)
	})
}

// wantLost fails the test unless the response to a resume is one error response
// under the call's id, and what follows that event is nothing.
func wantLost(t testing.TB, c *fleettest.Client, last, id string) {
	t.Helper()
	stream := c.Get(t, last)
	m := stream.Message(t)
	want := `{"code":-32603,"message":"the rest of this stream is no longer available; the request's outcome is unknown"}`
	if stream.StatusCode != 200 || string(m.ID) != id || string(m.Error) != want {
		t.Errorf("resuming after %s: status %d, id %s, error %s; want 200, %s, %s", last, stream.StatusCode, m.ID, m.Error, id, want)
	}
	if e, err := stream.Next(); err == nil {
		t.Errorf("after it came %+v", e)
	}
	if end := c.Get(t, stream.Last); end.StatusCode != http.StatusNoContent {
		t.Errorf("resuming after the error: status %d, want 204", end.StatusCode)
	}
}

// streamed calls the tool "count" and returns the ids of all events of its stream.
func streamed(t testing.TB, c *fleettest.Client, id string, n int) (ids []string) {
	t.Helper()
	stream := fleettest.NewStream(c.Post(t, fleettest.Request(json.RawMessage(id), "tools/call", fmt.Sprintf(`{"name":"count","arguments":{"n":%d}}`, n))))
	for {
		e, err := stream.Next()
		if err != nil {
			return ids
		}
		ids = append(ids, e.ID)
	}
}

func TestResumingWhatIsNotInTheLog(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: func(o *fleet.Options) { o.MaxEvents = 10; o.ResumeFor = time.Minute }}, func(t *testing.T, s *simulation) {
		b, c, foreign := newBystander(t, s), s.session(t), s.session(t)
		ids := streamed(t, c, `"seven"`, 50)
		if len(ids) != 52 {
			t.Fatalf("%d events, want the first, 50 and the response", len(ids))
		}
		for _, instance := range s.instances {
			c, foreign := at(c, instance.url), at(foreign, instance.url)
			t.Log("trimmed")
			wantLost(t, c, ids[0], `"seven"`)
			wantLost(t, c, ids[41], `"seven"`)
			t.Log("of another session")
			wantLost(t, foreign, ids[51], `"seven"`)
			t.Log("never was")
			wantLost(t, c, strings.Split(ids[51], ".")[0]+".51.AAAAAA", `"seven"`)
			wantLost(t, c, strings.Split(ids[51], ".")[0]+".52.AAAAAA", `"seven"`)
			wantLost(t, c, "cABCDEFGHIJKLMNOP.1.ABCDEF", "null")
			t.Log("still there")
			stream := c.Get(t, ids[49])
			if m := stream.Message(t); string(m.ID) == `"seven"` {
				t.Error("an event is missing")
			}
			wantText(t, stream.Message(t), "50")
			if end := c.Get(t, ids[51]); end.StatusCode != http.StatusNoContent {
				t.Errorf("past the end of an ended stream: status %d, want 204", end.StatusCode)
			}
		}
		time.Sleep(61 * time.Second)
		for _, instance := range s.instances {
			wantLost(t, at(c, instance.url), ids[51], `"seven"`)
		}
		b.undisturbed(t)
	})
}

// After a loss on the standalone stream the client gets a new one and is told
// that all it wants to hear of may have changed.
func TestResumingALostStandaloneStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: func(o *fleet.Options) { o.MaxEvents = 10 }}, func(t *testing.T, s *simulation) {
		b, c, foreign := newBystander(t, s), s.session(t), s.session(t)
		stream := c.Get(t, "")
		var ids []string
		for i := range 30 {
			wantText(t, c.CallTool(t, "aside", fmt.Sprintf(`{"text":"%d"}`, i)), "said")
			stream.Message(t)
			ids = append(ids, stream.Last)
		}
		stream.Close()
		for name, lost := range map[string]struct {
			c    *fleettest.Client
			last string
		}{
			"trimmed":            {c, ids[0]},
			"of another session": {foreign, ids[29]},
			"never was":          {c, "g.29.AAAAAA"},
			"not yet":            {c, "g.99.AAAAAA"},
			"never begun":        {s.session(t), "g.0.AAAAAA"},
		} {
			for i, instance := range s.instances {
				stream := at(lost.c, instance.url).Get(t, lost.last)
				var got []string
				for len(got) < 3 {
					m := stream.Message(t)
					if m.Method != "notifications/progress" { // what is still in the log may come before
						got = append(got, m.Method)
					}
				}
				want := []string{"notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed"}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", name, diff)
				}
				wantText(t, lost.c.CallTool(t, "aside", fmt.Sprintf(`{"text":"after %d"}`, i)), "said")
				if m := stream.Message(t); !strings.Contains(string(m.Params), fmt.Sprint("after ", i)) {
					t.Errorf("%s: the new stream has %s", name, m.Params)
				}
				// The new stream can be resumed like any other.
				last := stream.Last
				stream.Close()
				wantText(t, lost.c.CallTool(t, "aside", `{"text":"while away"}`), "said")
				stream = at(lost.c, s.instances[1-i].url).Get(t, last)
				if m := stream.Message(t); !strings.Contains(string(m.Params), "while away") {
					t.Errorf("%s: resumed, the new stream has %s", name, m.Params)
				}
				stream.Close()
				synctest.Wait()
			}
		}
		b.undisturbed(t)
	})
}

// A lossHook is a client of Redis that says when it is told of a loss.
type lossHook struct {
	rueidis.Client
	lost func()
}

func (l lossHook) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	res := l.Client.Do(ctx, cmd)
	if parts, err := res.ToArray(); err == nil && len(parts) == 1 {
		if status, err := parts[0].ToString(); err == nil && status == "lost" {
			l.lost()
		}
	}
	return res
}

// Redis may go away, or the instance leave, between the loss and the new stream:
// the client waits or comes back, but gets no error, which would end its session.
func TestResumingALostStandaloneStreamInterrupted(t *testing.T) {
	t.Parallel()
	for name, interrupt := range map[string]func(i *simulatedInstance){
		"outage":   func(i *simulatedInstance) { i.link.Cut() },
		"shutdown": func(i *simulatedInstance) { _ = i.handler.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *simulation
			var once sync.Once
			hooked := func(o *fleet.Options) {
				o.Redis = lossHook{o.Redis, func() { once.Do(func() { interrupt(s.instances[0]) }) }}
			}
			simulate(t, simulated{options: hooked}, func(t *testing.T, sim *simulation) {
				s = sim
				c := s.session(t)
				stream := at(c, s.instances[0].url).Get(t, "g.0.AAAAAA")
				if stream.StatusCode != http.StatusOK {
					t.Fatalf("status %d", stream.StatusCode)
				}
				time.AfterFunc(5*time.Second, s.heal)
				for range 2 { // the client comes back if it has to
					for e, err := stream.Next(); err == nil; e, err = stream.Next() {
						if len(e.Data) > 0 {
							if !strings.Contains(string(e.Data), "tools/list_changed") {
								t.Errorf("the new stream begins with %s", e.Data)
							}
							return
						}
					}
					stream = at(c, s.instances[1].url).Get(t, stream.Last)
				}
				t.Error("no new stream")
			})
		})
	}
}

// Before anything else a client is told the id it resumed after. Should the
// connection break before the next event, it does not come back without one:
// go-sdk clients give the call up then, and others lose their place.
func TestResumedStreamBeginsWithTheIDItWasResumedAfter(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		stream := fleettest.NewStream(c.Post(t, fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
		s.runs(t, "w")
		if _, err := stream.Next(); err != nil {
			t.Fatal(err)
		}
		first := stream.Last
		stream.Close()
		for i := range 4 {
			stream = at(c, s.instances[i%2].url).Get(t, first)
			e, err := stream.Next()
			if err != nil || e.ID != first || len(e.Data) > 0 {
				t.Errorf("resumed, the stream begins with %+v, %v; want the id %s", e, err, first)
			}
			stream.Close()
		}
		old := s.client(t)
		old.Initialize(t, "2025-06-18", "{}")
		standalone := old.Get(t, "")
		wantText(t, old.CallTool(t, "aside", `{"text":"1"}`), "said")
		standalone.Message(t)
		standalone.Close()
		resumed := old.Get(t, standalone.Last)
		wantText(t, old.CallTool(t, "aside", `{"text":"2"}`), "said")
		if e, err := resumed.Next(); err != nil || len(e.Data) == 0 {
			t.Errorf("a client of 2025-06-18, which does not know events without data, gets %+v, %v", e, err)
		}
		s.open("w")
	})
}

// A quiet call whose stream moves twice, as when all instances are replaced one
// after the other, is not lost to a go-sdk client.
func TestQuietCallOfAnSDKClientOutlivesTwoInstances(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{instances: 3}, func(t *testing.T, s *simulation) {
		s.only.Store(0)
		cs := s.connect(t, nil)
		type outcome struct {
			res *mcp.CallToolResult
			err error
		}
		called := make(chan outcome, 1)
		go func() {
			res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "wait", Arguments: map[string]any{"name": "w"}})
			called <- outcome{res, err}
		}()
		s.runs(t, "w")
		time.Sleep(5 * time.Second) // the response has become a stream
		s.only.Store(1)
		_ = s.instances[0].server.Close() // the connection breaks, the call runs on
		time.Sleep(10 * time.Second)
		s.only.Store(2)
		if err := s.instances[1].handler.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		s.open("w")
		got := soon(t, called)
		if got.err != nil {
			t.Fatal(got.err)
		}
		if said := got.res.Content[0].(*mcp.TextContent).Text; said != "went on" {
			t.Errorf("the tool said %q", said)
		}
	})
}

// A client that reads nothing holds up neither the handler nor anybody else. It
// is cut off, and what it did not read is in the log.
func TestClientThatStopsReading(t *testing.T) {
	t.Parallel()
	const n = 300
	r := newRig(nil)
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		done := make(chan struct{})
		r.counted = func() { close(done) }
		stream := fleettest.NewStream(at(c, s.instances[0].url).Post(t,
			fleettest.Request(1, "tools/call", fmt.Sprintf(`{"name":"count","arguments":{"n":%d,"size":20000}}`, n))))
		if _, err := stream.Next(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
		case <-time.After(5 * time.Second): // virtual: the handler never waits
			t.Fatal("the client holds up the handler")
		}
		time.Sleep(11 * time.Second) // the write deadline
		next := at(c, s.instances[1].url).Get(t, stream.Last)
		for i := range n {
			m := next.Message(t)
			var p mcp.ProgressNotificationParams
			if err := json.Unmarshal(m.Params, &p); err != nil || int(p.Progress) != i {
				t.Fatalf("message %d is %s, %v", i, m.Params, err)
			}
		}
		wantText(t, next.Message(t), fmt.Sprint(n))
		for { // what had been sent to the first connection, and then no more
			if _, err := stream.Next(); err != nil {
				break
			}
		}
		b.undisturbed(t)
	})
}

// connect returns a session of a go-sdk client with the balancer.
func (s *simulation) connect(t testing.TB, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "sdk", Version: "1"}, opts)
	// It must not end with the test's context, or it could not say good-bye.
	cs, err := client.Connect(context.WithoutCancel(t.Context()), &mcp.StreamableClientTransport{Endpoint: balancer, HTTPClient: s.client(t).HTTP}, fleettest.WithSessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cs.Close() })
	return cs
}
