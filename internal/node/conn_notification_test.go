package node

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestWhatIsSaidOutsideOfACallGoesToTheStandaloneStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		v := f.resume(t, f.nodes[1], sid, nil)
		server := oneTool(func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			logTo(t.Context(), t, req.Session, "info", "from elsewhere") // not the handler's context
			return text("done"), nil
		}, nil)
		if m := decode(t, f.call(t, f.nodes[0], server, sid, toolCall("1")).response(t).Body); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
		if m := v.message(t); m.Method != "notifications/message" || !strings.Contains(string(m.Params), "from elsewhere") {
			t.Errorf("the standalone stream says %s %s", m.Method, m.Params)
		}
		v.hangUp()
		f.nodes[1].closeStreams(0)
		f.idle(t)
	})
}

func TestTheSDKsOwnBroadcastsAreNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		v := f.resume(t, f.nodes[1], sid, nil)
		var server *mcp.Server
		server = oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			server.AddTool(&mcp.Tool{Name: "second", InputSchema: json.RawMessage(`{"type":"object"}`)}, nil)
			time.Sleep(time.Second) // the SDK waits a moment before it tells
			return text("done"), nil
		}, nil)
		if m := decode(t, f.call(t, f.nodes[0], server, sid, toolCall("1")).response(t).Body); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
		if err := f.nodes[0].Standalone(t.Context(), sid, []byte(`{"jsonrpc":"2.0","method":"next"}`)); err != nil {
			t.Fatal(err)
		}
		if m := v.message(t); m.Method != "next" {
			t.Errorf("the standalone stream says %s", m.Method)
		}
		v.hangUp()
	})
}

func TestANotificationsHandlerRunsOnceAndIsWaitedFor(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		begun, release := make(chan struct{}, 4), make(chan struct{})
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ServerOptions{
			RootsListChangedHandler: func(context.Context, *mcp.RootsListChangedRequest) {
				begun <- struct{}{}
				<-release
			},
		})
		r := f.accept(t, f.nodes[0], server, sid, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		<-begun
		if n := f.nodes[0].Calls(); n != 1 {
			t.Errorf("%d requests run, want the notification", n)
		}
		close(release)
		<-r.conn.Done()
		if len(begun) != 0 {
			t.Error("the handler ran twice")
		}
		f.idle(t)
		select {
		case a := <-r.conn.Response():
			t.Errorf("a notification was answered: %s", a.Body)
		default:
		}
	})
}

// A client that is answered at once could have any number of them running.
func TestTheNotificationsOfASessionAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{MaxCalls: 3})
		sid := beginSession(t, f.store)
		accept := func(session, message string) (*Conn, error) {
			return f.nodes[0].Accept(Request{Session: session, Message: decode(t, []byte(message))})
		}
		const changed = `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`
		var running []*Conn
		for range 3 {
			c, err := accept(sid, changed)
			if err != nil {
				t.Fatal(err)
			}
			running = append(running, c)
		}
		if _, err := accept(sid, changed); !errors.Is(err, ErrTooManyCalls) {
			t.Errorf("a fourth: %v", err)
		}
		if f.nodes[0].call(sid, nil) != nil {
			t.Error("one is found as a call, by no id")
		}
		for what, message := range map[string][2]string{"a call": {sid, toolCall("1")}, "another session's": {beginSession(t, f.store), changed}} {
			c, err := accept(message[0], message[1])
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			running = append(running, c)
		}
		_ = running[0].Close()
		c, err := accept(sid, changed)
		if err != nil {
			t.Errorf("when one has ended: %v", err)
		}
		for _, c := range append(running, c) {
			_ = c.Close()
		}
	})
}
