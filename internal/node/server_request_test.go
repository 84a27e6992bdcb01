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

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// asker is a server whose tool asks the user and says what came back.
func asker() *mcp.Server {
	return oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		res, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "?"})
		if err != nil {
			return text("error: " + err.Error()), nil
		}
		return text(res.Action), nil
	}, nil)
}

// progressAsker is an asker that reports the client's progress.
func progressAsker(got chan<- string) *mcp.Server {
	return oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		res, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Meta: mcp.Meta{"progressToken": "mine"}, Message: "?"})
		if err != nil {
			return text("error: " + err.Error()), nil
		}
		return text(res.Action), nil
	}, &mcp.ServerOptions{ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationServerRequest) {
		got <- fmt.Sprint(req.Params.ProgressToken)
	}})
}

func TestAResponseThroughAnotherInstanceReachesTheCallThatAsked(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		var calls []*callResponse
		var requests []*jsonrpcmsg.Message
		const count = 10
		for i := range count {
			r := f.call(t, f.nodes[i%2], asker(), sid, toolCall(fmt.Sprint(i)))
			q := r.message(t)
			if q.Method != "elicitation/create" {
				t.Fatalf("asked %s", q.Method)
			}
			calls, requests = append(calls, r), append(requests, q)
		}
		for i := range count {
			f.respond(t, f.nodes[(i+1)%2], sid, requests[i], fmt.Sprintf(`{"action":"decline%d"}`, i))
		}
		for i, r := range calls {
			m := r.message(t)
			if string(m.ID) != fmt.Sprint(i) || !strings.Contains(string(m.Result), fmt.Sprintf("decline%d", i)) {
				t.Errorf("call %d: %s %s %s", i, m.ID, m.Result, m.Error)
			}
			r.wantEnd(t)
		}
		f.idle(t)
		redistest.AssertTTLs(t, f.client, f.prefix)
	})
}

func TestAnErrorIsAResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		for _, wire := range []string{`{"code":-1,"message":"the user has left"}`, `"malformed"`} {
			for _, n := range f.nodes {
				r := f.call(t, f.nodes[0], asker(), sid, toolCall("1"))
				q := r.message(t)
				if err := n.ForwardResponse(t.Context(), sid, &jsonrpcmsg.Message{ID: q.ID, Error: json.RawMessage(wire)}); err != nil {
					t.Fatal(err)
				}
				if m := r.message(t); !strings.Contains(textOf(t, m), "the user has left") && !strings.Contains(textOf(t, m), "malformed") {
					t.Errorf("%s became %s", wire, m.Result)
				}
				r.wantEnd(t)
			}
		}
	})
}

func TestOnlyTheFirstResponseOfTheSessionThatWasAskedCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid, foreign := beginSession(t, f.store), beginSession(t, f.store)
		for _, n := range f.nodes {
			r := f.call(t, f.nodes[0], asker(), sid, toolCall("1"))
			q := r.message(t)
			f.respond(t, n, foreign, q, `{"action":"foreign"}`)
			var name string
			if err := json.Unmarshal(q.ID, &name); err != nil {
				t.Fatal(err)
			}
			instance, ref, ok := parseServerRequestName(sid, name)
			if !ok {
				t.Fatalf("the server request is named %q", name)
			}
			for _, other := range []string{
				`"` + instance + "." + ref.Conn + ".99\"", `"` + instance + ".zz." + ref.Number + `"`, `"aaaaaaaaaaaaaaaa.` + ref.Conn + "." + ref.Number + `"`,
				`"` + ref.Number + `"`, ref.Number, `""`, `"a.b.c"`, `"` + name + `.x"`, `"` + strings.ToUpper(name) + `"`,
			} {
				f.respond(t, n, sid, &jsonrpcmsg.Message{ID: json.RawMessage(other), Method: q.Method}, `{"action":"decline-other"}`)
			}
			time.Sleep(time.Second)
			f.respond(t, n, sid, q, `{"action":"decline"}`)
			f.respond(t, n, sid, q, `{"action":"cancel"}`) // second
			if m := r.message(t); textOf(t, m) != "decline" {
				t.Errorf("the response was %s", textOf(t, m))
			}
			r.wantEnd(t)
			f.respond(t, n, sid, q, `{"action":"cancel"}`) // late
		}
		f.idle(t)
	})
}

func TestForwardingFailsOnlyForWantOfRedis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		r := f.call(t, f.nodes[0], asker(), sid, toolCall("1"))
		q := r.message(t)
		f.links[1].Cut()
		m := &jsonrpcmsg.Message{ID: q.ID, Result: json.RawMessage(`{"action":"decline"}`)}
		if err := f.nodes[1].ForwardResponse(t.Context(), sid, m); !errors.Is(err, sessionstore.ErrUnavailable) {
			t.Errorf("without Redis: %v", err)
		}
		f.links[1].Heal()
		f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`)
		if m := r.message(t); textOf(t, m) != "decline" {
			t.Errorf("the response was %s", textOf(t, m))
		}
	})
}

func TestAServerRequestFailsAtOnceIfTheClientLacksTheCapability(t *testing.T) {
	t.Parallel()
	for _, can := range []*mcp.ClientCapabilities{nil, {}} {
		synctest.Test(t, func(t *testing.T) {
			f := newBubbleFleet(t, Options{})
			sid := beginSession(t, f.store)
			server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				_, elicit := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "?"})
				_, sample := req.Session.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1})
				_, roots := req.Session.ListRoots(ctx, nil)
				for what, err := range map[string]error{`"form" elicitation`: elicit, "sampling": sample, "roots": roots} {
					if err == nil || !strings.Contains(err.Error(), "does not support "+what) {
						t.Errorf("%s: %v", what, err)
					}
				}
				return text("done"), ctx.Err()
			}, nil)
			start := time.Now()
			r := f.call(t, f.nodes[0], server, sid, toolCall("1"), func(r *Request) { r.Client = can })
			if m := decode(t, r.response(t).Body); textOf(t, m) != "done" || time.Since(start) > 0 {
				t.Errorf("answered with %+v after %v", m, time.Since(start))
			}
			f.idle(t)
		})
	}
}

func TestAServerRequestThatNobodyReadsFailsAfterHalfAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		r := f.call(t, f.nodes[0], asker(), sid, toolCall("1"))
		r.message(t)
		time.Sleep(2 * time.Minute) // a user may think for long
		if f.nodes[0].Calls() != 1 {
			t.Fatal("the server request failed although it is read")
		}
		r.hangUp()
		f.nodes[0].closeStreams(0)
		<-r.over
		time.Sleep(unreadTTL - 2*checkEvery)
		if f.nodes[0].Calls() != 1 {
			t.Error("the server request failed early")
		}
		time.Sleep(4 * checkEvery)
		if f.nodes[0].Calls() != 0 {
			t.Error("the server request waits for nobody")
		}
		v := f.resume(t, f.nodes[1], sid, r.lastID(t))
		messages := v.rest(t)
		if last := messages[len(messages)-1]; !strings.Contains(textOf(t, last), errNoReader.Error()) {
			t.Errorf("the call ended with %s", last.Result)
		}
	})
}

func TestAServerRequestWaitsForAClientThatComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		r := f.call(t, f.nodes[0], asker(), sid, toolCall("1"))
		q := r.message(t)
		v, last := r.viewer, r.lastID(t)
		for i := range 4 { // away for 20 of 40 seconds, again and again
			v.hangUp()
			for _, n := range f.nodes {
				n.closeStreams(0)
			}
			<-v.over
			time.Sleep(20 * time.Second)
			v = f.resume(t, f.nodes[i%2], sid, last)
			time.Sleep(20 * time.Second)
		}
		f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`)
		if m := v.message(t); textOf(t, m) != "decline" {
			t.Errorf("answered with %s", m.Result)
		}
	})
}

func TestAServerRequestWithoutAResponseFailsInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{AnswerWithin: time.Minute})
		sid := beginSession(t, f.store)
		r := f.call(t, f.nodes[0], asker(), sid, toolCall("1"))
		start := time.Now()
		r.message(t)
		m := r.message(t)
		if took := time.Since(start); took < time.Minute || took > time.Minute+2*checkEvery || !strings.Contains(textOf(t, m), errNoResponse.Error()) {
			t.Errorf("%s after %v", m.Result, took)
		}
	})
}

func TestProgressOfAServerRequestComesBackUnderTheHandlersToken(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid, foreign := beginSession(t, f.store), beginSession(t, f.store)
		progress := make(chan *mcp.ProgressNotificationParams, 8)
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			params := &mcp.ElicitParams{Message: "?"}
			params.SetProgressToken("mine")
			_, err := req.Session.Elicit(ctx, params)
			return text("done"), err
		}, &mcp.ServerOptions{ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationServerRequest) {
			progress <- req.Params
		}})
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		q := r.message(t)
		var p struct {
			Meta struct{ ProgressToken string } `json:"_meta"`
		}
		if err := json.Unmarshal(q.Params, &p); err != nil || p.Meta.ProgressToken == "mine" || p.Meta.ProgressToken == "" {
			t.Fatalf("asked with %s, %v", q.Params, err)
		}
		report := func(n *Node, session, token string, percent int) bool {
			t.Helper()
			ours, err := n.ForwardProgress(t.Context(), session, json.RawMessage(fmt.Sprintf(`{"progressToken":%s,"progress":%d,"message":"m"}`, token, percent)))
			if err != nil {
				t.Error(err)
			}
			return ours
		}
		token := quoted(t, p.Meta.ProgressToken)
		for i, n := range f.nodes {
			if !report(n, foreign, token, 99) || !report(n, sid, token, i) {
				t.Error("the fleet's own token was not known")
			}
			if report(n, sid, `"mine"`, 99) || report(n, sid, `7`, 99) {
				t.Error("a token of another was taken for the fleet's")
			}
			if got := <-progress; got.ProgressToken != "mine" || got.Progress != float64(i) || got.Message != "m" {
				t.Errorf("the handler got %+v", got)
			}
		}
		f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`)
		r.message(t)
		if !report(f.nodes[1], sid, token, 99) { // late
			t.Error("the fleet's own token was not known")
		}
		if len(progress) > 0 {
			t.Errorf("the handler got %+v as well", <-progress)
		}
	})
}

func TestAnOpenServerRequestIsWithdrawnBeforeTheResponse(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"the handler gives up", "the handler returns", "the call is cancelled", "the instance leaves"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{})
				sid := beginSession(t, f.store)
				server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
					asking, cancel := context.WithTimeout(ctx, 5*time.Second)
					if how != "the handler gives up" {
						asking, cancel = context.WithCancel(ctx)
					}
					defer cancel()
					asked := make(chan error, 1)
					go func() {
						_, err := req.Session.Elicit(asking, &mcp.ElicitParams{Message: "?"})
						asked <- err
					}()
					if how == "the handler returns" {
						time.Sleep(5 * time.Second)
						return text("done"), nil
					}
					return text(fmt.Sprint("done: ", <-asked)), nil
				}, nil)
				r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
				q := r.message(t)
				switch how {
				case "the call is cancelled":
					if err := f.nodes[1].Cancel(t.Context(), sid, json.RawMessage("1")); err != nil {
						t.Fatal(err)
					}
				case "the instance leaves":
					f.nodes[0].Close(t.Context())
				}
				rest := r.rest(t)
				want := 2 // the withdrawal, and then the response
				if how == "the call is cancelled" {
					want = 1
				}
				if len(rest) != want || rest[0].Method != "notifications/cancelled" {
					t.Fatalf("then came %+v", rest)
				}
				var p struct{ RequestID json.RawMessage }
				if err := json.Unmarshal(rest[0].Params, &p); err != nil || string(p.RequestID) != string(q.ID) {
					t.Errorf("%s was asked, %s is withdrawn", q.ID, p.RequestID)
				}
				if want == 2 && string(rest[1].ID) != "1" {
					t.Errorf("the response is %+v", rest[1])
				}
				time.Sleep(time.Minute) // the SDK has its say, too
				f.idle(t)
			})
		})
	}
}

func TestAServerRequestOutsideOfACallIsSentOnTheStandaloneStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		answered := make(chan string, 1)
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ServerOptions{
			RootsListChangedHandler: func(ctx context.Context, req *mcp.RootsListChangedRequest) {
				roots, err := req.Session.ListRoots(ctx, nil)
				if err != nil {
					t.Error(err)
				} else {
					answered <- roots.Roots[0].URI
				}
			},
		})
		r := f.accept(t, f.nodes[0], server, sid, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		v := f.resume(t, f.nodes[1], sid, nil) // opened after the server request
		q := v.message(t)
		if q.Method != "roots/list" {
			t.Fatalf("asked %s", q.Method)
		}
		f.respond(t, f.nodes[1], sid, q, `{"roots":[{"uri":"file:///home"}]}`)
		if got := <-answered; got != "file:///home" {
			t.Errorf("answered with %s", got)
		}
		<-r.conn.Done()
		f.nodes[1].closeStreams(0)
		f.idle(t)
	})
}

func TestAServerRequestOutsideOfACallWaitsAsLongAsItIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		answered := make(chan error, 1)
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ServerOptions{
			RootsListChangedHandler: func(ctx context.Context, req *mcp.RootsListChangedRequest) {
				_, err := req.Session.ListRoots(ctx, nil)
				answered <- err
			},
		})
		f.accept(t, f.nodes[0], server, sid, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		v := f.resume(t, f.nodes[1], sid, nil)
		q := v.message(t)
		time.Sleep(4 * unreadTTL)
		f.respond(t, f.nodes[1], sid, q, `{"roots":[]}`)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		v.hangUp()
	})
}

func TestAServerRequestOutsideOfACallThatNobodyReadsFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		failed := make(chan error, 1)
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ServerOptions{
			RootsListChangedHandler: func(ctx context.Context, req *mcp.RootsListChangedRequest) {
				_, err := req.Session.ListRoots(ctx, nil)
				failed <- err
			},
		})
		start := time.Now()
		f.accept(t, f.nodes[0], server, sid, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
		if err := <-failed; err == nil || time.Since(start) < unreadTTL || time.Since(start) > unreadTTL+2*checkEvery {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		f.idle(t)
	})
}

func FuzzServerRequestName(f *testing.F) {
	f.Add("abcdefghijklmnop.1.2")
	f.Add("}:{x.1.2")
	f.Fuzz(func(t *testing.T, name string) {
		if instance, _, ok := parseServerRequestName("S", name); ok && strings.ContainsAny(instance, "{}:. *") {
			t.Errorf("%q names the instance %q", name, instance)
		}
	})
}

// When Redis is away server requests are not withdrawn, and the response is not held
// up for as long as there are server requests.
func TestWithdrawingManyServerRequestsWaitsForRedisOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		const requests = 10
		finish := make(chan struct{})
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			for range requests {
				go func() { _, _ = req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "?"}) }()
			}
			<-finish
			return text("done"), nil
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		for range requests {
			r.message(t)
		}
		f.links[0].Freeze()
		close(finish)
		start := time.Now()
		if m := r.message(t); textOf(t, m) != "done" {
			t.Errorf("answered with %s", m.Error)
		}
		if took := time.Since(start); took > outageBound+5*time.Second {
			t.Errorf("answered after %v", took)
		}
		r.wantEnd(t)
		f.links[0].Heal()
		f.idle(t)
	})
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
