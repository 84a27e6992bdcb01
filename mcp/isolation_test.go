package mcp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// eachSize runs a test with fleets of two and three instances, whose users have
// tokens of one authority.
func eachSize(t *testing.T, f func(t *testing.T, s *simulation, a *authority)) {
	t.Helper()
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n, " instances"), func(t *testing.T) {
			t.Parallel()
			a := &authority{}
			simulate(t, simulated{instances: n, rig: statelessRig(), wrap: a.protect}, func(t *testing.T, s *simulation) { f(t, s, a) })
		})
	}
}

// strangers returns tokens of everybody who is not alice.
func strangers(a *authority) map[string]string {
	return map[string]string{
		"another user":                      a.token("mallory"),
		"a user with her name in capitals":  a.token("Alice"),
		"a user whose name begins with it":  a.token("alice "),
		"her namesake at another issuer":    a.issue(otherIssuer, "alice", time.Hour),
		"a namesake at an issuer's subpath": a.issue(ourIssuer+"/", "alice", time.Hour),
	}
}

// standaloneAs has the session's server send a message on its standalone stream.
func standaloneAs(t testing.TB, c *fleettest.Client, id int, text string) {
	t.Helper()
	wantText(t, c.Message(t, c.Post(t, toolCall(id, "aside", fmt.Sprintf(`{"text":%q}`, text)))), "said")
}

// T29: who knows the ids of another user's session, streams and requests is
// told, to the byte, what everybody is told who guesses; and does nothing.
func TestUserSessionIsolationOnEveryVerb(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		alice := s.begun(t, a.token("alice"))
		q := asked(t, alice, "form")
		standalone := alice.Get(t, "")
		standaloneAs(t, alice, 2, "first")
		if m := standalone.Message(t); !strings.Contains(string(m.Params), "first") {
			t.Fatalf("her stream has %s", m.Params)
		}
		hers, answered := messages(standalone), messages(q.stream)
		unknown := sessionstore.NewID()
		requests := map[string]struct{ method, body, last, version string }{
			"a call":                {"POST", fleettest.Request(3, "tools/call", `{"name":"aside","arguments":{"text":"INJECTED"}}`), "", ""},
			"a call under her id":   {"POST", fleettest.Request(1, "tools/call", `{"name":"aside","arguments":{"text":"INJECTED"}}`), "", ""},
			"a response":            {"POST", responseTo(q.ID, "INJECTED"), "", ""},
			"an error for response": {"POST", fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"INJECTED"}}`, q.ID), "", ""},
			"a cancellation":        {"POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"INJECTED"}}`, "", ""},
			"progress":              {"POST", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"server","progress":1,"message":"INJECTED"}}`, "", ""},
			"any notification":      {"POST", `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"INJECTED"}}`, "", ""},
			"initialized":           {"POST", initializedBody, "", ""},
			"a second initialize":   {"POST", initializeBody, "", ""},
			"a log level":           {"POST", fleettest.Request(4, "logging/setLevel", `{"level":"debug"}`), "", ""},
			"a subscription":        {"POST", fleettest.Request(4, "resources/subscribe", `{"uri":"test://INJECTED"}`), "", ""},
			"a batch":               {"POST", "[" + fleettest.Request(3, "ping", "{}") + "]", "", "2025-03-26"},
			"no JSON":               {"POST", "{", "", ""},
			"another version":       {"POST", fleettest.Request(3, "ping", "{}"), "", "1999-01-01"},
			"an older version":      {"POST", fleettest.Request(3, "ping", "{}"), "", "2025-03-26"},
			"no version":            {"POST", fleettest.Request(3, "ping", "{}"), "", "-"},
			"her standalone stream": {"GET", "", "", ""},
			"the rest of it":        {"GET", "", standalone.Last, ""},
			"her call's stream":     {"GET", "", q.stream.Last, ""},
			"a malformed event id":  {"GET", "", "x", ""},
			"a GET of 2026-07-28":   {"GET", "", "", statelessVersion},
			"the end":               {"DELETE", "", "", ""},
			"the end of 2026-07-28": {"DELETE", "", "", statelessVersion},
			"another method":        {"PUT", "", "", ""},
		}
		for who, token := range strangers(a) {
			stranger := as(alice, token)
			for i, instance := range s.instances {
				for name, request := range requests {
					responses := map[string]string{}
					for _, id := range []string{alice.Session, unknown} {
						change := []func(http.Header){set("Mcp-Session-Id", id), set("Last-Event-ID", request.last)}
						if request.version != "" {
							change = append(change, set("Mcp-Protocol-Version", strings.TrimSuffix(request.version, "-")))
						}
						res, err := at(stranger, instance.url).Do(t.Context(), request.method, request.body, change...)
						if err != nil {
							t.Fatal(err)
						}
						responses[id] = dump(t, res)
					}
					if diff := cmp.Diff(responses[unknown], responses[alice.Session]); diff != "" {
						t.Errorf("%s to %s on instance %d: (-unknown +hers)\n%s", who, name, i, diff)
					}
				}
			}
		}
		time.Sleep(time.Minute)
		goesOn(t, "her stream", hers)
		goesOn(t, "her call", answered)
		accepts(t, alice, responseTo(q.ID, " by alice"))
		contains(t, answered, "accept by alice")
		standaloneAs(t, alice, 2, "still hers")
		contains(t, hers, "still hers")
	})
}

// From a session of his own a user gets at nothing of another's.
func TestUserSessionIsolationOfAUserWithASession(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		alice, mallory := s.begun(t, a.token("alice")), s.begun(t, a.token("mallory"))
		q := asked(t, alice, "form")
		standalone := alice.Get(t, "")
		standaloneAs(t, alice, 2, "SECRET")
		standalone.Message(t)
		hers, his, answered := messages(standalone), messages(mallory.Get(t, "")), messages(q.stream)
		for _, instance := range s.instances {
			mallory := at(mallory, instance.url)
			// A response is accepted whatever it responds to: late ones are no error.
			accepts(t, mallory, responseTo(q.ID, "INJECTED"))
			accepts(t, mallory, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
			for _, last := range []string{standalone.Last, q.stream.Last} {
				res, err := mallory.Do(t.Context(), "GET", "", set("Last-Event-ID", last))
				if err != nil {
					t.Fatal(err)
				}
				events := messages(fleettest.NewStream(res))
				time.Sleep(time.Second)
				res.Body.Close()
				for e := range events {
					if strings.Contains(string(e.Data), "SECRET") || strings.Contains(string(e.Data), "elicitation") {
						t.Errorf("behind %s he gets %s", last, e.Data)
					}
				}
			}
		}
		goesOn(t, "her stream", hers)
		for e := range his { // another connection has taken his stream over
			if strings.Contains(string(e.Data), "SECRET") {
				t.Errorf("his stream has %s", e.Data)
			}
		}
		accepts(t, alice, responseTo(q.ID, " by alice"))
		contains(t, answered, "accept by alice")
	})
}

// The same over /sse and /message.
func TestUserSessionIsolationOverSSE(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		alice := s.sse(t, 0, a.token("alice"))
		q := alice.call(t, toolCall(1, "ask", `{"name":"form"}`))
		unknown := sessionstore.NewID()
		for who, token := range strangers(a) {
			for i, instance := range s.instances {
				for _, body := range []string{
					toolCall(2, "aside", `{"text":"INJECTED"}`), toolCall(1, "aside", `{"text":"INJECTED"}`), responseTo(q.ID, "INJECTED"),
					`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, initializedBody, initializeBody, "{", "",
				} {
					responses := map[string]string{}
					for _, id := range []string{alice.id, unknown} {
						responses[id] = dump(t, at(as(alice.Client, token), instance.url+"message?sessionId="+id).Post(t, body))
					}
					if diff := cmp.Diff(responses[unknown], responses[alice.id]); diff != "" {
						t.Errorf("%s to %s on instance %d: (-unknown +hers)\n%s", who, body, i, diff)
					}
				}
				// GET of her session begins one of his own.
				own := openSSE(t, at(s.client(t), instance.url+"?sessionId="+alice.id), token)
				if own.id == alice.id {
					t.Errorf("%s has got her session", who)
				}
				own.stream.Close()
			}
		}
		time.Sleep(time.Minute)
		accepts(t, alice.Client, responseTo(q.ID, " by alice"))
		wantText(t, alice.next(t), "accept by alice")
	})
}

// In 2026-07-28 there are no sessions, and a request id is nobody's name.
func TestUserSessionIsolationOfListeners(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		client := func(user string, instance int) *fleettest.Client {
			c := at(s.guest(t, a.token(user)), s.instances[instance].url)
			c.Version = statelessVersion
			return c
		}
		hers := acknowledged(t, client("alice", 0), `1`, `{"toolsListChanged":true}`)
		calls := messages(fleettest.NewStream(statelessCall(t, client("alice", 0), "report", `{"name":"r","n":1}`)))
		s.runs(t, "r")
		contains(t, calls, "step")
		for i := range s.instances {
			mallory := client("mallory", i)
			stream := listen(t, mallory, `1`, `{"toolsListChanged":true}`)
			his := messages(stream)
			contains(t, his, "acknowledged")
			for _, params := range []string{`{"requestId":1}`, `{"requestId":"1"}`} {
				body := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":%s}`, params)
				mallory.Post(t, body, named("notifications/cancelled", "")).Body.Close()
			}
			stream.Close()
		}
		synctest.Wait()
		if n := len(s.entered); n != 0 {
			t.Errorf("her call was told something: %s", <-s.entered)
		}
		must(t, s.instances[1].handler.ToolsChanged(t.Context()))
		receives(t, hers, changedFor(`1`, "tools"))
		s.open("r")
		for e := range calls {
			if strings.Contains(string(e.Data), "reported to raw") {
				return
			}
		}
		t.Error("her call has no response")
	})
}

// A session stays its user's with every token of hers, on every instance, after
// the one has died where it began; and nobody else's.
func TestSessionOwnershipIsTheUsersNotTheTokens(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		first := a.token("alice")
		alice := at(s.guest(t, first), s.instances[0].url)
		alice.Initialize(t, "2025-11-25", everyCapability)
		old := openSSE(t, at(s.client(t), s.instances[1].url), first)
		old.initialize(t)
		a.revoke(first)
		s.instances[0].kill()
		second, stranger := a.token("alice"), a.token("mallory")
		none := errorResponse(404, "null", -32001, "session not found")
		for _, instance := range s.instances[1:] {
			if res := read(t, at(alice, instance.url).Post(t, fleettest.Request(1, "ping", "{}"))); res.Status != http.StatusUnauthorized {
				t.Errorf("the revoked token: %+v", res)
			}
			wantText(t, at(as(alice, second), instance.url).CallTool(t, "echo", `{"text":"hers"}`), "hers")
			for _, token := range []string{stranger, a.issue(otherIssuer, "alice", time.Hour)} {
				if diff := cmp.Diff(none, read(t, at(as(alice, token), instance.url).Post(t, fleettest.Request(1, "ping", "{}")))); diff != "" {
					t.Errorf("a stranger: (-want +got)\n%s", diff)
				}
			}
		}
		if status := at(as(alice, stranger), s.instances[1].url).Delete(t); status != http.StatusNotFound {
			t.Errorf("a stranger's DELETE: %d", status)
		}
		if status := at(as(alice, second), s.instances[1].url).Delete(t); status != http.StatusNoContent {
			t.Errorf("her DELETE: %d", status)
		}
	})
}

// What a request brings beside its token is no identity.
func TestSessionOwnershipNeedsAToken(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		token := a.token("alice")
		alice := s.begun(t, token)
		for _, instance := range s.instances {
			for _, method := range []string{"POST", "GET", "DELETE"} {
				for name, change := range map[string]func(http.Header){
					"none":          set("Authorization", ""),
					"unknown":       set("Authorization", "Bearer unknown"),
					"the session's": set("Authorization", "Bearer "+alice.Session),
					"in a cookie":   func(h http.Header) { h.Del("Authorization"); h.Set("Cookie", "access_token="+token) },
				} {
					res, err := at(alice, instance.url+"?access_token="+token).Do(t.Context(), method, "", change)
					if err != nil {
						t.Fatal(err)
					}
					var body struct{ Error string }
					if err := json.NewDecoder(res.Body).Decode(&body); err != nil || res.StatusCode != http.StatusUnauthorized || body.Error == "" {
						t.Errorf("%s with a token that is %s: %s", method, name, res.Status)
					}
					res.Body.Close()
				}
			}
		}
		wantText(t, alice.CallTool(t, "echo", `{"text":"hers"}`), "hers")
	})
}
