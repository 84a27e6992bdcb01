package node

import (
	"context"
	"errors"
	"regexp"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestAKeptServerSessionSaysThatItsRequestHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		remedy := errors.New("use something else")
		f := newBubbleFleet(t, Options{RequestEnded: remedy})
		sid := beginSession(t, f.store)
		var kept *mcp.ServerSession
		server := oneTool(func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			kept = req.Session
			return text("done"), nil
		}, nil)
		f.call(t, f.nodes[0], server, sid, toolCall("1")).response(t)
		synctest.Wait()
		_, err := kept.Elicit(t.Context(), &mcp.ElicitParams{Message: "?"})
		if err == nil || !strings.Contains(err.Error(), remedy.Error()) {
			t.Errorf("a server request through it: %v", err)
		}
		f.idle(t)
	})
}

func TestPingsOfKeepAliveDoNotReachTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		f.keepAlive = true
		sid := beginSession(t, f.store)
		server := oneTool(func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Minute):
				return text("done"), nil
			}
		}, &mcp.ServerOptions{KeepAlive: time.Second})
		if m := decode(t, f.call(t, f.nodes[0], server, sid, toolCall("1")).response(t).Body); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
		f.idle(t)
	})
}

func TestAPingOfAHandlerIsTheClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return text("done"), req.Session.Ping(ctx, nil)
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		f.respond(t, f.nodes[1], sid, r.message(t), `{}`)
		if m := r.message(t); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
	})
}

func TestAnInstanceThatLeavesRespondsToWhatRuns(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		server := oneTool(func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil)
		plain := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		streams := f.call(t, f.nodes[0], server, sid, toolCall("2"))
		if err := streams.conn.openStream(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.nodes[0].Close(t.Context())
		f.nodes[0].Close(t.Context()) // again
		if m := decode(t, plain.response(t).Body); string(m.ID) != "1" || m.Error == nil {
			t.Errorf("answered with %+v", m)
		}
		if m := streams.message(t); string(m.ID) != "2" || m.Error == nil {
			t.Errorf("the stream says %+v", m)
		}
		streams.wantEnd(t)
		if streams.err != nil {
			t.Error(streams.err)
		}
		f.idle(t)
	})
}

func TestIdleWaitsForWhatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		server := oneTool(func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			time.Sleep(time.Minute)
			return text("done"), nil
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.nodes[0].Idle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while a call runs: %v", err)
		}
		if err := f.nodes[0].Idle(t.Context()); err != nil {
			t.Error(err)
		}
		r.response(t)
	})
}

func TestRequestsLeaveNoGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		f.keepAlive = true
		sid := beginSession(t, f.store)
		streams := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			logTo(ctx, t, req.Session, "info", "x")
			return text("done"), nil
		}, &mcp.ServerOptions{KeepAlive: time.Second})
		request := func(i int) {
			f.call(t, f.nodes[i%2], echo(), sid, toolCall("1")).rest(t)
			f.call(t, f.nodes[i%2], streams, sid, toolCall("1")).rest(t)
			<-f.accept(t, f.nodes[i%2], streams, sid, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`).conn.Done()
		}
		settled := func() map[string]int {
			time.Sleep(5 * time.Second)
			synctest.Wait()
			return goroutinesHere()
		}
		request(0)
		request(1)
		before := settled()
		for i := range 20 {
			request(i)
		}
		if diff := cmp.Diff(before, settled()); diff != "" {
			t.Error("goroutines by who started them, -before +after:\n" + diff)
		}
		f.idle(t)
		for _, n := range f.nodes {
			if len(n.toucher.touched) > 1 {
				t.Errorf("the toucher remembers %d sessions", len(n.toucher.touched))
			}
		}
	})
}

// ofTheRig matches the stacks of what comes and goes by itself: connections to
// Redis, and clients.
var ofTheRig = regexp.MustCompile(`rueidis|redistest|miniredis|newViewer`)

// goroutinesHere counts the goroutines of the caller's bubble by who started them.
func goroutinesHere() map[string]int {
	var all strings.Builder // of the whole process: other tests run beside this one
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
	stacks := strings.Split(all.String(), "\n\n")
	_, mine, _ := strings.Cut(strings.SplitN(stacks[0], "\n", 2)[0], "synctest bubble ")
	n := map[string]int{}
	for _, s := range stacks {
		header, _, _ := strings.Cut(s, "\n")
		_, creator, _ := strings.Cut(s, "\ncreated by ")
		creator, _, _ = strings.Cut(creator, " in goroutine")
		if strings.Contains(header, "synctest bubble "+mine) && !ofTheRig.MatchString(s) {
			n[creator]++
		}
	}
	return n
}

// What a handler logs in an outage is refused; what it logs afterwards is not.
func TestACallLogsAgainWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		say := make(chan string)
		said := make(chan error)
		r := f.call(t, f.nodes[0], oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			for data := range say {
				said <- req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "error", Data: data})
			}
			return text("done"), nil
		}, nil), sid, toolCall("7"))
		f.links[0].Freeze()
		say <- "lost"
		if err := <-said; err == nil {
			t.Error("a message was logged in an outage")
		}
		f.links[0].Heal()
		say <- "logged"
		if err := <-said; err != nil {
			t.Errorf("after the outage: %v", err)
		}
		close(say)
		if m := r.message(t); !strings.Contains(string(m.Params), "logged") {
			t.Errorf("the client got %s", m.Params)
		}
		r.message(t)
		r.wantEnd(t)
	})
}
