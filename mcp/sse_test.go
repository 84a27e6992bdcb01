package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func TestEveryInstanceServesAnSSESession(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{instances: 3, wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		for i, instance := range s.instances {
			c := c.at(instance.url)
			said := fmt.Sprint("instance ", i)
			m := c.call(t, toolCall(i, "echo", fmt.Sprintf(`{"text":%q}`, said)))
			wantText(t, m, said)
			if string(m.ID) != fmt.Sprint(i) {
				t.Errorf("response %s to call %d", m.ID, i)
			}
			accepts(t, c.Client, toolCall(i, "count", `{"n":3}`))
			for n := range 3 {
				if got := number(t, c.next(t)); got != n {
					t.Errorf("progress %d, want %d", got, n)
				}
			}
			wantText(t, c.next(t), "3")
			q := c.call(t, toolCall(i, "ask", `{"name":"form"}`))
			if q.Method != "elicitation/create" {
				t.Fatalf("got %s %s, want a server request", q.Method, q.Error)
			}
			wantText(t, c.at(balancer).call(t, responseTo(q.ID, "yes")), "acceptyes")
			if m := c.call(t, fleettest.Request("p", "ping", "{}")); string(m.Result) != "{}" {
				t.Errorf("ping: %s %s", m.Result, m.Error)
			}
			if m := c.call(t, fleettest.Request("n", "no/such", "{}")); !strings.Contains(string(m.Error), "-32601") {
				t.Errorf("an unknown method: %s", m.Error)
			}
		}
	})
}

func TestACancelledCallOfAnSSESessionHasNoResponse(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		for _, instance := range s.instances {
			accepts(t, c.at(instance.url).Client, toolCall(1, "wait", `{"name":"w"}`))
			s.runs(t, "w")
			accepts(t, c.Client, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
			synctest.Wait()
			if n := s.running.Load(); n != 0 {
				t.Errorf("%d calls run", n)
			}
			wantText(t, c.call(t, toolCall(1, "echo", `{"text":"next"}`)), "next")
		}
	})
}

func TestASessionEndsWithItsSSEStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		accepts(t, c.at(s.instances[1].url).Client, toolCall(1, "wait", `{"name":"w"}`))
		s.runs(t, "w")
		c.stream.Close()
		synctest.Wait()
		time.Sleep(time.Second) // the other instance hears of it
		synctest.Wait()
		if n := s.running.Load(); n != 0 {
			t.Errorf("%d calls run", n)
		}
		s.wantNone(t, c)
		s.wantNothingOf(t, c.id)
	})
}

// wantNothingOf fails the test if a session has left anything in Redis.
func (s *simulation) wantNothingOf(t testing.TB, id string) {
	t.Helper()
	for _, k := range redistest.Keys(t, s.redis.Client(t), s.prefix) {
		if strings.Contains(k.Name, id) {
			t.Errorf("%s is left", k.Name)
		}
	}
}

func TestASessionEndsWhenTheInstanceOfItsSSEStreamDies(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{instances: 3, wrap: withSSE}, func(t *testing.T, s *simulation) {
		c, other := s.sse(t, 0, ""), s.sse(t, 1, "")
		s.instances[0].kill()
		c.ended(t)
		time.Sleep(7 * time.Second) // until then the fleet cannot tell
		s.wantNone(t, c)
		s.wantNothingOf(t, c.id)
		wantText(t, other.at(s.instances[2].url).call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
	})
}

// Nobody waits for a response that cannot come.
func TestAnSSEStreamEndsWhenTheInstanceOfACallDies(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{instances: 3, wrap: withSSE}, func(t *testing.T, s *simulation) {
		c, other := s.sse(t, 0, ""), s.sse(t, 0, "")
		// The other has had a call there, too, but is not waiting for one.
		wantText(t, other.at(s.instances[1].url).call(t, toolCall(1, "echo", `{"text":"e"}`)), "e")
		accepts(t, c.at(s.instances[1].url).Client, toolCall(1, "wait", `{"name":"w"}`))
		s.runs(t, "w")
		began := time.Now()
		s.instances[1].kill()
		s.open("w") // the process does not live on, but its goroutines do here
		c.ended(t)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the stream ended after %v", took)
		}
		s.wantNone(t, c)
		wantText(t, other.at(s.instances[2].url).call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
	})
}

func TestAnSSESessionSurvivesAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		accepts(t, c.at(s.instances[1].url).Client, toolCall(1, "wait", `{"name":"w"}`))
		s.runs(t, "w")
		for _, instance := range s.instances {
			instance.link.Freeze()
		}
		time.Sleep(5 * time.Second)
		res := openStatus(t, s, 0)
		if res.Status != http.StatusServiceUnavailable {
			t.Errorf("GET during an outage: %+v", res)
		}
		got := read(t, c.Post(t, toolCall(2, "echo", `{"text":"e"}`)))
		if got.Status != http.StatusServiceUnavailable {
			t.Errorf("POST during an outage: %+v", got)
		}
		s.open("w")
		time.Sleep(10 * time.Second) // by now nobody's inbox is there
		for _, instance := range s.instances {
			instance.link.Heal()
		}
		wantText(t, c.next(t), "went on")
		for _, instance := range s.instances {
			wantText(t, c.at(instance.url).call(t, toolCall(3, "echo", `{"text":"back"}`)), "back")
		}
	})
}

func openStatus(t testing.TB, s *simulation, instance int) response {
	t.Helper()
	res, err := s.client(t).HTTP.Get(s.instances[instance].url + "sse")
	if err != nil {
		t.Fatal(err)
	}
	return read(t, res)
}

// The calls of a session are answered wherever they run before its stream ends.
func TestShutdownEndsSSESessionsLast(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c, quiet, elsewhere := s.sse(t, 0, ""), s.sse(t, 0, ""), s.sse(t, 1, "")
		accepts(t, c.at(s.instances[0].url).Client, toolCall(1, "wait", `{"name":"here"}`))
		s.runs(t, "here")
		accepts(t, c.at(s.instances[1].url).Client, toolCall(2, "wait", `{"name":"there"}`))
		s.runs(t, "there")
		done := make(chan error, 1)
		go func() { done <- s.instances[0].handler.Shutdown(t.Context()) }()
		synctest.Wait()
		if got := openStatus(t, s, 0); got.Status != http.StatusServiceUnavailable {
			t.Errorf("GET during Shutdown: %+v", got)
		}
		if got := read(t, quiet.at(s.instances[0].url).Post(t, toolCall(3, "echo", "{}"))); got.Status != http.StatusServiceUnavailable {
			t.Errorf("POST during Shutdown: %+v", got)
		}
		s.open("here")
		wantText(t, c.next(t), "went on")
		quiet.ended(t)
		s.open("there")
		m := c.next(t)
		wantText(t, m, "went on")
		if string(m.ID) != "2" {
			t.Errorf("response %s", m.ID)
		}
		c.ended(t)
		if err := soon(t, done); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		s.wantNothingOf(t, c.id)
		s.wantNothingOf(t, quiet.id)
		wantText(t, elsewhere.at(s.instances[1].url).call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
	})
}

// An instance that leaves responds to the calls it runs for others.
func TestShutdownRespondsToTheCallsOfOthersSSESessions(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		accepts(t, c.at(s.instances[1].url).Client, toolCall(1, "wait", `{"name":"w"}`))
		s.runs(t, "w")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := s.instances[1].handler.Shutdown(ctx); err == nil {
			t.Error("Shutdown cut a call short and did not say so")
		}
		if m := c.next(t); m.Error == nil || string(m.ID) != "1" {
			t.Errorf("the response is %s %s %s", m.ID, m.Result, m.Error)
		}
		time.Sleep(time.Minute) // the instance that has left is not one that died
		wantText(t, c.at(s.instances[0].url).call(t, toolCall(2, "echo", `{"text":"well"}`)), "well")
	})
}

func TestAnSSESessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: func(h http.Handler) http.Handler { return bearer(withSSE(h)) }}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "alice/"+time.Now().Add(10*time.Minute).Format(time.RFC3339))
		time.Sleep(10*time.Minute - time.Second) // twice SessionTTL
		wantText(t, c.call(t, toolCall(1, "echo", `{"text":"e"}`)), "e")
		time.Sleep(2 * time.Second)
		c.ended(t)
		s.wantNothingOf(t, c.id)
	})
}

// Which of these it is must not show.
func TestSSESessionsThatAreNone(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: func(h http.Handler) http.Handler { return bearer(withSSE(h)) }}, func(t *testing.T, s *simulation) {
		alice, bob := s.sse(t, 0, "alice"), s.sse(t, 1, "bob")
		streamable := s.user(t, "alice")
		none := errorResponse(404, "null", -32001, "session not found")
		post := func(id string, c *sseClient, instance *simulatedInstance, body string) response {
			return read(t, at(c.Client, instance.url+"message?sessionId="+id).Post(t, body))
		}
		for _, instance := range s.instances {
			for name, id := range map[string]string{
				"another user's": bob.id, "unknown": sessionstore.NewID(), "of the other transport": streamable.Session,
				"malformed": "x", "a key": "%7Bx%7D:session", "in capitals": strings.ToUpper(alice.id),
			} {
				for _, body := range []string{toolCall(1, "echo", "{}"), notification, `{"jsonrpc":"2.0","id":"x","result":{}}`} {
					if diff := cmp.Diff(none, post(id, alice, instance, body)); diff != "" {
						t.Errorf("a session %s: (-want +got)\n%s", name, diff)
					}
				}
			}
			// Nor is a session of this transport one of the other.
			other := at(streamable, instance.url)
			other.Session = alice.id
			for _, method := range []string{"GET", "POST", "DELETE"} {
				body := ""
				if method == "POST" {
					body = fleettest.Request(1, "ping", "{}")
				}
				res, err := other.Do(t.Context(), method, body)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(none, read(t, res)); diff != "" {
					t.Errorf("%s of the other transport: (-want +got)\n%s", method, diff)
				}
			}
		}
		wantText(t, alice.call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
		wantText(t, bob.call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
	})
}

func TestBadInputOnTheSSETransport(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE, options: func(o *fleet.Options) { o.MaxBody = 1000 }}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		ping := fleettest.Request(1, "ping", "{}")
		for _, test := range []struct {
			name, method, path, body string
			change                   func(http.Header)
			want                     response
		}{
			{"no session", "POST", "message", ping, nil, errorResponse(400, "null", -32600, "sessionId is required")},
			{"an empty session", "POST", "message?sessionId=", ping, nil, errorResponse(400, "null", -32600, "sessionId is required")},
			{"another type", "POST", "message?sessionId=" + c.id, ping, set("Content-Type", "text/plain"), errorResponse(415, "null", -32000, "Content-Type must be application/json")},
			{"a large body", "POST", "message?sessionId=" + c.id, strings.Repeat(" ", 1001), nil, errorResponse(413, "null", -32600, "request body exceeds 1000 bytes")},
			{"no JSON", "POST", "message?sessionId=" + c.id, "{", nil, errorResponse(400, "null", -32700, "malformed JSON")},
			{"no message", "POST", "message?sessionId=" + c.id, `{"id":7}`, nil, errorResponse(400, "7", -32600, `"jsonrpc" must be "2.0"`)},
			{"a batch", "POST", "message?sessionId=" + c.id, "[" + ping + "]", nil, errorResponse(400, "null", -32600, "JSON-RPC batches are not supported by this protocol version")},
			{"GET of messages", "GET", "message?sessionId=" + c.id, "", nil, errorResponse(405, "null", -32000, "method GET is not allowed")},
			{"POST of the stream", "POST", "sse", ping, nil, errorResponse(405, "null", -32000, "method POST is not allowed")},
			{"a foreign origin", "POST", "message?sessionId=" + c.id, ping, set("Origin", "https://evil.example"), errorResponse(403, "null", -32000, `origin "https://evil.example" is not allowed`)},
			{"a foreign origin", "GET", "sse", "", set("Origin", "https://evil.example"), errorResponse(403, "null", -32000, `origin "https://evil.example" is not allowed`)},
		} {
			for _, instance := range s.instances {
				var changes []func(http.Header)
				if test.change != nil {
					changes = append(changes, test.change)
				}
				res, err := at(c.Client, instance.url+test.path).Do(t.Context(), test.method, test.body, changes...)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, read(t, res)); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", test.name, diff)
				}
			}
		}
		wantText(t, c.call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
	})
}

// What is wrong with a call alone is said on the stream: clients take an error
// status for the end of the connection.
func TestCallsThatAnSSESessionRefuses(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := openSSE(t, at(s.client(t), s.instances[0].url), "").at(s.instances[1].url)
		wantError := func(body, part string) {
			t.Helper()
			if m := c.call(t, body); !strings.Contains(string(m.Error), part) || string(m.ID) != "1" {
				t.Errorf("%s: got %s %s %s, want an error with %s", body, m.ID, m.Result, m.Error, part)
			}
		}
		stateless := fleettest.Request(1, "server/discover", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}`)
		wantError(toolCall(1, "echo", "{}"), "invalid during session initialization")
		wantError(stateless, `"supported":["2025-11-25","2025-06-18","2025-03-26","2024-11-05"]`)
		wantError(fleettest.Request(1, "initialize", `{"protocolVersion":7}`), `protocolVersion`)
		wantError(fleettest.Request(1, "initialize", `{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"`+strings.Repeat("x", 65<<10)+`","version":"1"}}`),
			"the parameters of initialize are too large")
		if m := c.call(t, fleettest.Request(1, "ping", "{}")); m.Error != nil {
			t.Errorf("ping before initialize: %s", m.Error)
		}
		accepts(t, c.Client, notification)
		accepts(t, c.Client, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
		c.initialize(t)
		for _, instance := range s.instances {
			c = c.at(instance.url)
			wantError(stateless, `-32022`)
			wantError(fleettest.Request(1, "initialize", `{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}`),
				"the session has been initialized")
			wantText(t, c.call(t, toolCall(1, "echo", `{"text":"well"}`)), "well")
		}
	})
}

// A call that no server takes runs nowhere: the stream's instance waits for no
// response to it.
func TestACallWithoutAServerHoldsNoSSEStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		serverless := s.joinServing(t, simulated{wrap: withSSE}, func(*http.Request) *mcp.Server { return nil })
		c := openSSE(t, at(s.client(t), s.instances[0].url), "").at(s.instances[1].url)
		c.initialize(t)
		got := read(t, c.at(serverless.url).Post(t, toolCall(1, "echo", "{}")))
		if diff := cmp.Diff(errorResponse(400, "1", -32000, "no server available"), got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		serverless.kill()
		time.Sleep(time.Minute)
		wantText(t, c.call(t, toolCall(2, "echo", `{"text":"well"}`)), "well")
	})
}

func TestTheEndpointOfAnSSESession(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, messages, get, want string }{
		{"absolute", "/message", "/sse", "/message?"},
		{"with a prefix", "/a/message", "/a/sse", "/a/message?"},
		{"relative", "message", "/sse", "/message?"},
		{"relative, with a prefix that the mux strips", "message", "/a/b/sse", "/a/b/message?"},
		{"relative, upwards", "../m", "/a/b/sse", "/a/m?"},
		{"the same", "", "/a/sse", "/a/sse?"},
		{"with a query", "/message?k=v", "/sse", "/message?k=v&"},
		{"with a host", "https://mcp.example.com/message", "/sse", "https://mcp.example.com/message?"},
		{"escaped", "/a%20b", "/sse", "/a%20b?"},
		{"relative, to a path that looks like a host", "message", "//evil.example/sse", "/evil.example/message?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{wrap: func(h http.Handler) http.Handler {
				sse := h.(*fleet.Handler).SSE(test.messages)
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.URL.Path, "/a") {
						http.StripPrefix("/a", sse).ServeHTTP(w, r)
						return
					}
					sse.ServeHTTP(w, r)
				})
			}}, func(t *testing.T, s *simulation) {
				c := at(s.client(t), "http://fleet.test"+test.get)
				stream := c.Get(t, "")
				defer stream.Close()
				event, err := stream.Next()
				if err != nil {
					t.Fatal(err)
				}
				if endpoint, id, _ := strings.Cut(string(event.Data), "sessionId="); endpoint != test.want || !sessionstore.ValidID(id) {
					t.Errorf("the endpoint is %s", event.Data)
				}
			})
		})
	}
}

// A program whose endpoint is no URL does not start.
func TestTheEndpointOfSSEMustBeAURL(t *testing.T) {
	t.Parallel()
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "fleet: the argument of Handler.SSE: ") {
			t.Errorf("recovered %v", err)
		}
	}()
	new(fleet.Handler).SSE("/a%zz")
}

func TestSSESessionsHearOfChanges(t *testing.T) {
	t.Parallel()
	rig := newRig(&mcp.ServerOptions{
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	simulate(t, simulated{rig: rig, wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		for i, instance := range s.instances {
			uri := fmt.Sprint("test://", i)
			if m := c.at(instance.url).call(t, fleettest.Request(1, "resources/subscribe", fmt.Sprintf(`{"uri":%q}`, uri))); m.Error != nil {
				t.Fatalf("subscribe: %s", m.Error)
			}
			for _, publisher := range s.instances {
				if err := publisher.handler.ResourceUpdated(t.Context(), uri); err != nil {
					t.Fatal(err)
				}
				if m := c.next(t); m.Method != "notifications/resources/updated" || !strings.Contains(string(m.Params), uri) {
					t.Errorf("got %s %s", m.Method, m.Params)
				}
				if err := publisher.handler.ToolsChanged(t.Context()); err != nil {
					t.Fatal(err)
				}
				if m := c.next(t); m.Method != "notifications/tools/list_changed" {
					t.Errorf("got %s %s", m.Method, m.Params)
				}
				if err := publisher.handler.Notify(t.Context(), c.id, "notifications/custom", map[string]int{"n": 1}); err != nil {
					t.Fatal(err)
				}
				if m := c.next(t); m.Method != "notifications/custom" {
					t.Errorf("got %s %s", m.Method, m.Params)
				}
			}
		}
	})
}

func TestOnStreamIsCalledForAnInitializedSSESession(t *testing.T) {
	t.Parallel()
	opened, left := make(chan string, 10), make(chan string, 10)
	simulate(t, simulated{wrap: withSSE, options: func(o *fleet.Options) {
		o.OnStream = func(ctx context.Context, stream *fleet.Stream) {
			opened <- stream.Session()
			if err := stream.Notify(ctx, "notifications/custom", nil); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			left <- stream.Session()
		}
	}}, func(t *testing.T, s *simulation) {
		c := openSSE(t, at(s.client(t), s.instances[0].url), "").at(s.instances[1].url)
		time.Sleep(time.Minute)
		if len(opened) != 0 {
			t.Error("OnStream was called before initialize")
		}
		c.initialize(t)
		if m := c.next(t); m.Method != "notifications/custom" {
			t.Errorf("got %s", m.Method)
		}
		if got := <-opened; got != c.id {
			t.Errorf("opened for session %s", got)
		}
		c.stream.Close()
		if got := <-left; got != c.id {
			t.Errorf("left for session %s", got)
		}
	})
}

func TestAnSSEStreamKeepsItsSession(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE, options: func(o *fleet.Options) { o.SessionTTL = time.Minute }}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		time.Sleep(10 * time.Minute) // ten times SessionTTL
		wantText(t, c.call(t, toolCall(1, "echo", `{"text":"e"}`)), "e")
	})
}

// Nobody can end a session whose stream's instance has died but one who uses it.
func TestACallOfAnSSESessionIsGivenUpWhenItsStreamHasDied(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE, options: func(o *fleet.Options) { o.RunDetached = time.Minute }}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		accepts(t, c.at(s.instances[1].url).Client, toolCall(1, "wait", `{"name":"w"}`))
		s.runs(t, "w")
		time.Sleep(3 * time.Minute)
		if n := s.running.Load(); n != 1 {
			t.Errorf("%d calls run while the stream is read", n)
		}
		s.instances[0].kill()
		time.Sleep(time.Minute + 15*time.Second)
		synctest.Wait()
		if n := s.running.Load(); n != 0 {
			t.Errorf("%d calls run", n)
		}
		time.Sleep(10 * time.Minute)
		s.wantNothingOf(t, c.id)
	})
}

func TestAnSSESessionEndsWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		s.instances[0].link.Freeze()
		c.stream.Close()
		time.Sleep(10 * time.Second)
		s.instances[0].link.Heal()
		time.Sleep(5 * time.Second)
		s.wantNothingOf(t, c.id)
		s.wantNone(t, c)
	})
}
