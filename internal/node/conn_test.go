package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// idle fails the test if something of a request is left on an instance.
func (f *fleet) idle(t testing.TB) {
	t.Helper()
	for _, n := range f.nodes {
		redistest.Until(t, "nothing of the requests is left", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.conns) == 0 && len(n.readers) == 0 && len(n.sessions) == 0
		})
	}
}

// logged is what a client gets for a log message of a handler.
func logTo(ctx context.Context, t testing.TB, ss *mcp.ServerSession, level mcp.LoggingLevel, data string) {
	t.Helper()
	if err := ss.Log(ctx, &mcp.LoggingMessageParams{Level: level, Data: data}); err != nil {
		t.Errorf("log: %v", err)
	}
}

func TestACallThatSendsNothingElseGetsOneBody(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		before := redistest.Keys(t, f.client, f.prefix)
		for _, id := range []string{`7`, `"7"`, `12345678901234567890`} {
			m := decode(t, f.call(t, f.nodes[0], echo(), sid, toolCall(id)).response(t).Body)
			if string(m.ID) != id || textOf(t, m) != "echo" {
				t.Errorf("%s: %s %s", id, m.ID, m.Result)
			}
		}
		f.idle(t)
		names := cmp.Transformer("names", func(keys []redistest.Key) (names []string) {
			for _, k := range keys {
				names = append(names, k.Name)
			}
			return names
		})
		if diff := cmp.Diff(before, redistest.Keys(t, f.client, f.prefix), names); diff != "" {
			t.Error("a plain call has left keys:\n" + diff)
		}
	})
}

func TestAHandlerThatSendsMoreMakesTheResponseAStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			for i := range 3 {
				params := &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i)}
				if err := req.Session.NotifyProgress(ctx, params); err != nil {
					t.Error(err)
				}
			}
			return text("done"), nil
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("7"))
		first, _ := r.next(t)
		if id, err := eventlog.ParseID(first.ID); err != nil || id.Offset != 0 || len(first.Data) > 0 || string(eventlog.CallOf(id.Stream)) != "7" {
			t.Errorf("the stream begins with %+v", first)
		}
		for i := range 3 {
			want := fmt.Sprintf(`{"progressToken":"p","progress":%d}`, i)
			if m := r.message(t); m.Method != "notifications/progress" || string(m.Params) != want {
				t.Errorf("%s %s, want %s", m.Method, m.Params, want)
			}
		}
		if m := r.message(t); string(m.ID) != "7" || textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
		r.wantEnd(t)
		if r.err != nil {
			t.Error(r.err)
		}
		f.idle(t)
		// All of it, again, from anywhere.
		id, err := eventlog.ParseID(first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if again := f.resume(t, f.nodes[1], sid, &id).rest(t); len(again) != 4 {
			t.Errorf("resumed: %d messages, want 4", len(again))
		}
		last := r.lastID(t)
		res, err := f.nodes[1].Resume(t.Context(), sessionstore.Record{ID: sid}, last)
		if err != nil || !res.Empty {
			t.Fatalf("behind the end: %+v, %v", res, err)
		}
		res.Release(t.Context())
		redistest.AssertTTLs(t, f.client, f.prefix)
	})
}

func TestTheResponseIsAStreamWhenTheInstanceWantsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		server := oneTool(func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			time.Sleep(time.Minute)
			return text("done"), nil
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		time.Sleep(time.Second)
		for range 2 { // the second changes nothing
			if err := r.conn.openStream(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if m := r.message(t); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
		r.wantEnd(t)
		if err := r.conn.openStream(t.Context()); err != nil { // after the end neither
			t.Error(err)
		}
		f.idle(t)
	})
}

func TestALongCallKeepsItsSessionAndItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{Log: eventlog.Options{MaxSessionBytes: 900}})
		sid := beginSession(t, f.store)
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			logTo(ctx, t, req.Session, "info", "begin")
			time.Sleep(6 * testTTL)
			return text("done"), nil
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		r.message(t)
		time.Sleep(4 * testTTL)
		if _, err := f.log.Open(t.Context(), eventlog.Opening{Stream: eventlog.StreamID{Session: sid, Stream: eventlog.NewCallStream(nil)}, Nonce: eventlog.NewNonce(), Writer: "w"}); !errors.Is(err, eventlog.ErrFull) {
			t.Errorf("its place was given away: %v", err)
		}
		if m := r.message(t); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
		f.idle(t)
		// And then the session dies as it should.
		time.Sleep(2 * f.store.TTL())
		if _, err := f.store.LoadFresh(t.Context(), sid); !errors.Is(err, sessionstore.ErrNotFound) {
			t.Errorf("the session lives on: %v", err)
		}
	})
}

func TestErrorsOfHandlersReachTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		for _, test := range []struct {
			message string
			code    int64
		}{
			{`{"jsonrpc":"2.0","id":1,"method":"no/such"}`, jsonrpc.CodeMethodNotFound},
			{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other"}}`, jsonrpc.CodeInvalidParams},
			{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}`, jsonrpc.CodeInvalidParams},
		} {
			m := decode(t, f.call(t, f.nodes[0], echo(), sid, test.message).response(t).Body)
			var e jsonrpc.Error
			if m.Error == nil || json.Unmarshal(m.Error, &e) != nil || e.Code != test.code || string(m.ID) != "1" {
				t.Errorf("%s: %s %s", test.message, m.ID, m.Error)
			}
		}
		f.idle(t)
	})
}

func TestARequestIDIsTakenOnlyWhileItsCallRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{MaxCalls: 2})
		sid, other := beginSession(t, f.store), beginSession(t, f.store)
		release := make(chan struct{})
		server := oneTool(func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			<-release
			return text("done"), nil
		}, nil)
		accept := func(session, id string) error {
			c, err := f.nodes[0].Accept(Request{Session: session, Message: decode(t, []byte(toolCall(id)))})
			if err == nil {
				_ = c.Close()
			}
			return err
		}
		r := f.call(t, f.nodes[0], server, sid, toolCall(`"a"`))
		if err := accept(sid, `"\u0061"`); !errors.Is(err, ErrDuplicateID) {
			t.Errorf("the same id: %v", err)
		}
		if err := accept(other, `"a"`); err != nil {
			t.Errorf("in another session: %v", err)
		}
		if err := accept(sid, `"b"`); err != nil {
			t.Errorf("another id: %v", err)
		}
		second := f.call(t, f.nodes[0], server, sid, toolCall(`"b"`))
		if err := accept(sid, `"c"`); !errors.Is(err, ErrTooManyCalls) {
			t.Errorf("a third call: %v", err)
		}
		close(release)
		r.response(t)
		second.response(t)
		if err := accept(sid, `"a"`); err != nil {
			t.Errorf("after the response: %v", err)
		}
		f.nodes[0].Close(t.Context())
		if err := accept(sid, `"a"`); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		f.idle(t)
	})
}

func TestACancelledStreamEndsWithoutAResponse(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		stopped := make(chan struct{})
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			logTo(ctx, t, req.Session, "info", "begin")
			<-ctx.Done()
			close(stopped)
			return text("too late"), nil
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("7"))
		r.message(t)
		if err := f.nodes[1].Cancel(t.Context(), sid, json.RawMessage("7")); err != nil {
			t.Fatal(err)
		}
		r.wantEnd(t)
		<-stopped
		f.idle(t)
		if a, err := f.nodes[1].log.Attach(t.Context(), eventlog.StreamID{Session: sid, Stream: r.lastID(t).Stream}, "r", r.lastID(t)); err != nil || !a.Ended || len(a.Events) != 0 {
			t.Errorf("the log: %+v, %v", a, err)
		}
	})
}

func TestInitializeIsNeitherCancelledNorTakenForAnEndedSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := sessionstore.NewID()
		server := echo()
		slow := make(chan struct{})
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				<-slow
				if ss, ok := req.GetSession().(*mcp.ServerSession); ok {
					if err := ss.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p"}); err == nil {
						t.Error("something else than the response was sent")
					}
				}
				return next(ctx, method, req)
			}
		})
		conn, err := f.nodes[0].Accept(Request{Session: sid, ResponseOnly: true, Message: decode(t, []byte(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+testParams+`}`))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Connect(conn.Context(t.Context()), conn, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.nodes[1].Cancel(t.Context(), sid, json.RawMessage("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(f.store.TouchEvery())
		f.nodes[0].toucher.touchAll() // as after an outage
		time.Sleep(time.Second)
		close(slow)
		if r := <-conn.Response(); r.Err != nil || decode(t, r.Body).Result == nil {
			t.Errorf("answered with %s, %v", r.Body, r.Err)
		}
		<-conn.Done()
		f.idle(t)
	})
}

func TestTheResultCanBeRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		refuse := errors.New("not stored")
		with := func(err error) func(*Request) {
			return func(r *Request) { r.OnResult = func(context.Context, json.RawMessage) error { return err } }
		}
		if a := f.call(t, f.nodes[0], echo(), sid, toolCall("1"), with(refuse)).response(t); a.Body != nil || !errors.Is(a.Err, refuse) {
			t.Errorf("answered with %s, %v", a.Body, a.Err)
		}
		if a := f.call(t, f.nodes[0], echo(), sid, toolCall("1"), with(&jsonrpc.Error{Code: -1, Message: "m"})).response(t); !strings.Contains(string(a.Body), `"code":-1`) {
			t.Errorf("answered with %s, %v", a.Body, a.Err)
		}
		if a := f.call(t, f.nodes[0], echo(), sid, toolCall("1"), with(nil)).response(t); textOf(t, decode(t, a.Body)) != "echo" {
			t.Errorf("answered with %s, %v", a.Body, a.Err)
		}
		streams := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			logTo(ctx, t, req.Session, "info", "x")
			return text("done"), nil
		}, nil)
		r := f.call(t, f.nodes[0], streams, sid, toolCall("1"), with(refuse))
		r.message(t)
		if m := r.message(t); m.Error == nil || strings.Contains(string(m.Error), refuse.Error()) {
			t.Errorf("the stream says %s %s", m.Result, m.Error)
		}
		f.idle(t)
	})
}

func TestLogMessagesAreFilteredByTheLevelInRedis(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, test := range []struct {
			level, byDefault mcp.LoggingLevel
			want             []string
		}{
			{"debug", "", []string{"debug", "info", "error"}},
			{"info", "debug", []string{"info", "error"}},
			{"emergency", "", nil},
			{"", "", nil},
			{"", "error", []string{"error"}},
		} {
			t.Run(string(test.level+"/"+test.byDefault), func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, s, Options{DefaultLogLevel: test.byDefault})
				sid := beginSession(t, f.store)
				if err := f.store.SetLogLevel(t.Context(), sid, test.level); err != nil {
					t.Fatal(err)
				}
				server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
					for _, level := range []mcp.LoggingLevel{"debug", "info", "error"} {
						logTo(ctx, t, req.Session, level, string(level))
					}
					return text("done"), nil
				}, nil)
				r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
				if test.want == nil {
					r.response(t)
					return
				}
				var got []string
				for _, m := range r.rest(t) {
					if m.Method != "" {
						var p mcp.LoggingMessageParams
						if err := json.Unmarshal(m.Params, &p); err != nil {
							t.Fatal(err)
						}
						got = append(got, p.Data.(string))
					}
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error("-want +got:\n" + diff)
				}
			})
		}
	})
}
