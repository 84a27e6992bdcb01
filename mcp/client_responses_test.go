package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// A serverRequest is one that a running call of the tool "ask" has sent.
type serverRequest struct {
	*jsonrpcmsg.Message
	stream *fleettest.Stream
}

// asked calls the tool "ask" and returns its server request once it is there.
func asked(t testing.TB, c *fleettest.Client, kind string) serverRequest {
	t.Helper()
	return askedBy(t, c, 1, kind)
}

// askedBy is asked for a call with the given id.
func askedBy(t testing.TB, c *fleettest.Client, id int, kind string) serverRequest {
	t.Helper()
	stream := fleettest.NewStream(c.Post(t, fleettest.Request(id, "tools/call", fmt.Sprintf(`{"name":"ask","arguments":{"name":%q}}`, kind))))
	m := stream.Message(t)
	if !m.IsCall() {
		t.Fatalf("got %s %s, want a server request", m.Result, m.Error)
	}
	return serverRequest{m, stream}
}

// accepts sends a message that must be answered 202 with no body.
func accepts(t testing.TB, c *fleettest.Client, body string) {
	t.Helper()
	if diff := cmp.Diff(response{Status: 202}, read(t, c.Post(t, body))); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", body, diff)
	}
}

func responseTo(id json.RawMessage, text string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"answer":%q}}}`, id, text)
}

// A client cannot know who waits for what, and some end their session at an
// error: a response is accepted whether or not anybody waits for it.
func TestResponsesThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		q := asked(t, c, "form")
		var name string
		if err := json.Unmarshal(q.ID, &name); err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(name, ".")
		for _, id := range []string{
			`"x"`, `""`, `7`, `-1`, `123456789012345678901234567890`, `"..."`, `"a.b.c"`,
			`"aaaaaaaaaaaaaaaa.1.1"`,                         // an instance that is not there
			`"` + parts[0] + `.zz.1"`,                        // a connection that is not there
			`"` + parts[0] + "." + parts[1] + `.99"`,         // a request that is not there
			`"` + parts[0] + "." + parts[1] + `"`,            // too short
			`"` + name + `.1"`,                               // too long
			`"` + strings.ToUpper(name) + `"`,                // in capitals
			`"{bus}.` + parts[1] + `.1"`,                     // another key
			`"` + strings.Repeat("x", 100_000) + `"`,         // large
			`"` + parts[0] + "." + parts[1] + "\u0000" + `"`, // a control character
		} {
			if strings.ContainsRune(id, 0) {
				id = strings.ReplaceAll(id, "\x00", `\u0000`)
			}
			for _, instance := range s.instances {
				accepts(t, at(c, instance.url), responseTo(json.RawMessage(id), "wrong"))
				accepts(t, at(c, instance.url), fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":1,"message":"wrong"}}`, id))
			}
		}
		accepts(t, c, responseTo(q.ID, "right"))
		wantText(t, q.stream.Message(t), "acceptright")
		accepts(t, c, responseTo(q.ID, "late"))
		b.undisturbed(t)
	})
}

// An error response to a message whose id could not be read has none
// (JSON-RPC 2.0, section 5; schema, JSONRPCErrorResponse).
func TestErrorResponsesWithoutID(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		for _, instance := range s.instances {
			accepts(t, at(c, instance.url), `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}`)
			accepts(t, at(c, instance.url), `{"jsonrpc":"2.0","error":{"code":-32700,"message":"parse error"}}`)
		}
	})
}

func TestOfTwoResponsesTheFirstCounts(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		for _, instance := range s.instances {
			q := asked(t, at(c, s.instances[0].url), "form")
			accepts(t, at(c, instance.url), responseTo(q.ID, "first"))
			accepts(t, at(c, instance.url), responseTo(q.ID, "second"))
			wantText(t, q.stream.Message(t), "acceptfirst")
		}
	})
}

// Another session, even of the same user, cannot respond in this one's place.
func TestForeignResponsesReachNobody(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c, foreign := s.session(t), s.session(t)
		for _, instance := range s.instances {
			q := asked(t, at(c, s.instances[0].url), "form")
			accepts(t, at(foreign, instance.url), responseTo(q.ID, "foreign"))
			accepts(t, at(foreign, instance.url), fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":1,"message":"foreign"}}`, q.ID))
			time.Sleep(time.Second)
			accepts(t, at(c, instance.url), responseTo(q.ID, "own"))
			wantText(t, q.stream.Message(t), "acceptown")
		}
	})
}

func TestResponseForADeadInstanceIsAccepted(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		dead := s.join(t, simulated{})
		q := asked(t, at(c, dead.url), "form")
		dead.kill()
		living := at(c, s.instances[0].url)
		accepts(t, living, responseTo(q.ID, "early")) // nobody knows yet
		time.Sleep(10 * time.Second)
		accepts(t, living, responseTo(q.ID, "late"))
		resumed := living.Get(t, q.stream.Last)
		if m := resumed.Message(t); m.Error == nil || string(m.ID) != "1" {
			t.Errorf("the call of the dead instance ended with %s %s, want an error with its id", m.ID, m.Result)
		}
		s.instances = s.instances[:2]
		b.undisturbed(t)
	})
}

// A response of a client is checked by the server that asked, not by ours.
func TestResponsesThatTheServerCannotUse(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		for _, result := range []string{`null`, `7`, `[]`, `{}`, `{"action":7}`, `{"action":"accept","content":7}`} {
			for _, instance := range s.instances {
				q := asked(t, at(c, s.instances[0].url), "form")
				accepts(t, at(c, instance.url), fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, result))
				q.stream.Message(t) // whatever it is, it comes
			}
		}
		b.undisturbed(t)
	})
}

// A server asks with a progress token of its own; the client's progress reaches
// that call, from wherever, and nobody else's does.
func TestProgressReachesTheCallThatAsked(t *testing.T) {
	t.Parallel()
	got := make(chan string, 100)
	r := newRig(&mcp.ServerOptions{ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationServerRequest) {
		got <- fmt.Sprint(req.Params.ProgressToken, " ", req.Params.Message)
	}})
	r.more = func(s *mcp.Server) {
		tool(s, "ask-with-token", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			res, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Meta: mcp.Meta{"progressToken": "mine"}, Message: "?"})
			if err != nil {
				return "", err
			}
			return res.Action, nil
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c, foreign := s.session(t), s.session(t)
		stream := fleettest.NewStream(at(c, s.instances[0].url).Post(t, fleettest.Request(1, "tools/call", `{"name":"ask-with-token","arguments":{}}`)))
		q := stream.Message(t)
		var params struct {
			Meta struct {
				Token string `json:"progressToken"`
			} `json:"_meta"`
		}
		if err := json.Unmarshal(q.Params, &params); err != nil {
			t.Fatal(err)
		}
		token := params.Meta.Token
		notify := func(c *fleettest.Client, token, message string) {
			t.Helper()
			quoted, err := json.Marshal(token)
			if err != nil {
				t.Fatal(err)
			}
			c.Notify(t, "notifications/progress", fmt.Sprintf(`{"progressToken":%s,"progress":1,"message":%q}`, quoted, message))
		}
		for i, instance := range s.instances {
			notify(at(foreign, instance.url), token, "foreign")
			notify(at(c, instance.url), "aaaaaaaaaaaaaaaa.1.1", "fake instance")
			notify(at(c, instance.url), strings.Split(token, ".")[0]+".zz.1", "fake connection")
			notify(at(c, instance.url), token[:len(token)-1]+"9", "fake request")
			notify(at(c, instance.url), token, fmt.Sprint("right ", i))
			notify(at(c, instance.url), "the server's own", fmt.Sprint("plain ", i))
			synctest.Wait()
		}
		accepts(t, c, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"}}`, q.ID))
		wantText(t, stream.Message(t), "decline")
		notify(c, token, "late")
		time.Sleep(time.Second)
		close(got)
		count := map[string]int{}
		for g := range got {
			count[g]++
		}
		want := map[string]int{"mine right 0": 1, "mine right 1": 1, "the server's own plain 0": 1, "the server's own plain 1": 1}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestNotificationsThatMeanNothing(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		c.Call(t, "ping", "{}")
		for _, body := range []string{
			`{"jsonrpc":"2.0","method":"notifications/no-such"}`,
			`{"jsonrpc":"2.0","method":"no/such","params":{"a":1}}`,
			`{"jsonrpc":"2.0","method":"tools/list"}`, // a request without an id is none
			`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized"}`, // a second time
			`{"jsonrpc":"2.0","method":"notifications/cancelled"}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[7]}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, // finished
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"unknown","reason":7}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress"}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{}}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7}}`,
		} {
			for _, instance := range s.instances {
				accepts(t, at(c, instance.url), body)
			}
		}
		wantText(t, c.CallTool(t, "echo", `{"text":"still here"}`), "still here")
		b.undisturbed(t)
	})
}

// A request of one session is not cancelled by another that names its id.
func TestForeignCancellationStopsNothing(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, foreign := newBystander(t, s), s.session(t)
		for _, instance := range s.instances {
			at(foreign, instance.url).Notify(t, "notifications/cancelled", `{"requestId":1}`)
		}
		time.Sleep(10 * time.Second)
		b.undisturbed(t)
	})
}

func TestCancellationReachesTheCallWhereverItRuns(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		for i, from := range s.instances {
			for _, streams := range []bool{false, true} {
				name := fmt.Sprint("call ", i, streams)
				done := make(chan response, 1)
				go func() {
					res := at(c, s.instances[0].url).Post(t, fleettest.Request(7, "tools/call", fmt.Sprintf(`{"name":"wait","arguments":{"name":%q}}`, name)))
					done <- read(t, res)
				}()
				s.runs(t, name)
				if streams {
					time.Sleep(2 * time.Second) // the response has become a stream
				}
				at(c, from.url).Notify(t, "notifications/cancelled", `{"requestId":"7"}`) // another request
				at(c, from.url).Notify(t, "notifications/cancelled", `{"requestId":7,"reason":"enough"}`)
				got := soon(t, done)
				if streams && (got.Type != "text/event-stream" || strings.Contains(got.Body, "jsonrpc")) {
					t.Errorf("%s: the stream has a response: %+v", name, got)
				}
				if diff := cmp.Diff(errorResponse(200, "7", -32800, "request cancelled"), got); !streams && diff != "" {
					t.Errorf("%s: (-want +got)\n%s", name, diff)
				}
				time.Sleep(time.Second)
				if n := s.running.Load(); n != 0 {
					t.Errorf("%s: the handler goes on", name)
				}
			}
		}
	})
}
