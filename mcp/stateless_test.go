package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

const statelessVersion = "2026-07-28"

// statelessMeta are the fields of _meta that a request of protocol 2026-07-28 has.
const statelessMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"},` +
	`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}},` +
	`"io.modelcontextprotocol/logLevel":"debug"`

// stateless returns a client of the balancer that speaks protocol 2026-07-28.
func (s *simulation) stateless(t testing.TB) *fleettest.Client {
	t.Helper()
	c := s.client(t)
	c.Version = statelessVersion
	return c
}

// statelessBody returns a request of protocol 2026-07-28; params are a JSON object
// without _meta.
func statelessBody(id any, method, params string) string {
	meta := `{"_meta":{` + statelessMeta + `}`
	if rest := strings.TrimSpace(params[1:]); rest != "}" {
		meta += ","
	}
	return fleettest.Request(id, method, meta+params[1:])
}

// named returns the headers that a request of protocol 2026-07-28 has.
func named(method, name string) func(http.Header) {
	return func(h http.Header) {
		h.Set("Mcp-Method", method)
		if name != "" {
			h.Set("Mcp-Name", name)
		}
	}
}

// statelessCall sends a tools/call of protocol 2026-07-28.
func statelessCall(t testing.TB, c *fleettest.Client, name, arguments string, change ...func(http.Header)) *http.Response {
	t.Helper()
	return c.Post(t, statelessBody(1, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, name, arguments)),
		append([]func(http.Header){named("tools/call", name)}, change...)...)
}

// statelessRig adds to the rig's tools:
//
//	report   sends progress and log messages n times, waits for the gate with
//	         its name, and says the client's name
//	confirm  asks for a confirmation by an input request and says what came
//	refuse   sends progress and fails with "invalid params"
//	stubborn waits for the gate with its name, whatever its context says
func statelessRig() *rig {
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "report", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
			for i := range a.N {
				_ = progress(ctx, req.Session, float64(i), "step")
				_ = req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: i})
			}
			r.entered <- a.Name
			select {
			case <-r.gate(a.Name):
				return "reported to " + req.Session.InitializeParams().ClientInfo.Name, nil
			case <-ctx.Done():
				r.entered <- "cancelled " + a.Name
				return "", ctx.Err()
			}
		})
		tool(s, "refuse", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
			_ = progress(ctx, req.Session, 1, "before")
			return "", &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "on second thought"}
		})
		tool(s, "stubborn", func(_ context.Context, _ *mcp.CallToolRequest, a toolArguments) (string, error) {
			r.entered <- a.Name
			<-r.gate(a.Name)
			return "too late", nil
		})
		s.AddTool(&mcp.Tool{Name: "confirm", InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				if len(req.Params.InputResponses) == 0 {
					return &mcp.CallToolResult{
						RequestState: "round 1",
						InputRequests: mcp.InputRequestMap{"sure": &mcp.ElicitParams{
							Message: "Sure?", RequestedSchema: json.RawMessage(`{"type":"object","properties":{"answer":{"type":"string"}}}`),
						}},
					}, nil
				}
				confirmed, _ := req.Params.InputResponses["sure"].(*mcp.ElicitResult)
				said := fmt.Sprint(req.Params.RequestState, ": ", confirmed.Action, " ", confirmed.Content["answer"])
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: said}}}, nil
			})
	}
	return r
}

func TestBothKindsOfProtocolOnOneConnection(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		var dials atomic.Int64
		old := s.client(t)
		tr := &http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			dials.Add(1)
			return s.dial(ctx, addr)
		}}
		t.Cleanup(tr.CloseIdleConnections)
		old.HTTP = &http.Client{Transport: tr, Timeout: time.Minute}
		old = at(old, s.instances[0].url)
		recent := at(old, old.URL)
		recent.Version = statelessVersion
		old.Initialize(t, "2025-11-25", everyCapability)
		for i := range 10 {
			want := fmt.Sprint("turn ", i)
			wantText(t, old.CallTool(t, "echo", fmt.Sprintf(`{"text":%q}`, want)), want)
			res := statelessCall(t, recent, "echo", fmt.Sprintf(`{"text":%q}`, want))
			if id := res.Header.Get("Mcp-Session-Id"); id != "" {
				t.Errorf("a request of 2026-07-28 got the session %q", id)
			}
			wantText(t, recent.Message(t, res), want)
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("there were %d connections, want 1", n)
		}
	})
}

// Also in SDK clients: each takes the protocol it likes.
func TestSDKClientsOfBothErasThroughTheBalancer(t *testing.T) {
	t.Parallel()
	r := statelessRig()
	f := fleettest.Start(t, fleettest.Config{Instances: 3, Server: r.server})
	confirm := &mcp.ClientOptions{ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
		return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"answer": "yes"}}, nil
	}}
	old, recent := f.Connect(t, confirm), f.ConnectStateless(t, confirm)
	if got := recent.InitializeResult().ProtocolVersion; got != statelessVersion {
		t.Fatalf("the client speaks %s, want %s", got, statelessVersion)
	}
	for range 6 {
		for _, cs := range []*mcp.ClientSession{old, recent} {
			res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "confirm", Arguments: map[string]any{}})
			if err != nil {
				t.Fatal(err)
			}
			if got := res.Content[0].(*mcp.TextContent).Text; got != "round 1: accept yes" {
				t.Errorf("the tool said %q", got)
			}
		}
	}
}

// The session is not looked at: it may be anybody's, or none.
func TestSessionHeaderOnStatelessRequestIsIgnored(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: bearer}, func(t *testing.T, s *simulation) {
		alice, c := s.user(t, "alice"), s.stateless(t)
		c.Header.Set("Authorization", "Bearer bob")
		for _, id := range []string{alice.Session, "no such session", strings.Repeat("x", 5000)} {
			for _, instance := range s.instances {
				res := statelessCall(t, at(c, instance.url), "echo", `{"text":"hi"}`, set("Mcp-Session-Id", id))
				if got := res.Header.Get("Mcp-Session-Id"); got != "" {
					t.Errorf("the response has the session %q", got)
				}
				wantText(t, c.Message(t, res), "hi")
			}
		}
	})
}

func TestStatelessRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	const supported = `["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"]`
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.stateless(t)
		echo := statelessBody(1, "tools/call", `{"name":"echo","arguments":{"text":"hi"}}`)
		future := strings.ReplaceAll(echo, statelessVersion, "2099-01-01")
		for name, test := range map[string]struct {
			body    string
			change  func(http.Header)
			status  int
			code    int
			message string // a part of it: the texts are the SDK's
		}{
			"without the version header":    {echo, set("Mcp-Protocol-Version", ""), 400, -32020, "header is required"},
			"with another version header":   {echo, set("Mcp-Protocol-Version", "2025-11-25"), 400, -32020, "does not match"},
			"without the method header":     {echo, set("Mcp-Method", ""), 400, -32020, "missing required Mcp-Method"},
			"with another method header":    {echo, set("Mcp-Method", "tools/list"), 400, -32020, "does not match"},
			"without the name header":       {echo, set("Mcp-Name", ""), 400, -32020, "missing required Mcp-Name"},
			"with another name header":      {echo, set("Mcp-Name", "wait"), 400, -32020, "does not match"},
			"without _meta":                 {fleettest.Request(1, "tools/call", `{"name":"echo","arguments":{}}`), nil, 400, -32602, "_meta"},
			"without params":                {`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, nil, 400, -32602, "_meta"},
			"without client capabilities":   {strings.Replace(echo, "clientCapabilities", "other", 1), nil, 400, -32602, "clientCapabilities"},
			"with malformed client info":    {strings.Replace(echo, `{"name":"raw","version":"1"}`, "7", 1), nil, 400, -32602, "clientInfo"},
			"of a future version":           {future, set("Mcp-Protocol-Version", "2099-01-01"), 400, -32022, "unsupported protocol version"},
			"of a method that is gone":      {statelessBody(1, "ping", "{}"), named("ping", ""), 404, -32601, "method not found"},
			"of a method that never was":    {statelessBody(1, "no/such", "{}"), named("no/such", ""), 404, -32601, "no/such"},
			"initialize":                    {statelessBody(1, "initialize", `{"protocolVersion":"2026-07-28","capabilities":{},"clientInfo":{"name":"n","version":"1"}}`), named("initialize", ""), 404, -32601, "method not found"},
			"of an unknown tool":            {statelessBody(1, "tools/call", `{"name":"no-such","arguments":{}}`), set("Mcp-Name", "no-such"), 400, -32602, "no-such"},
			"in a batch":                    {"[" + echo + "]", nil, 400, -32600, "batches"},
			"with Last-Event-ID":            {echo, set("Last-Event-ID", "g.1.ABCDEF"), 400, -32000, "Last-Event-ID"},
			"with two messages for the SDK": {`{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"tools/list","params":{}}`, nil, 400, -32602, "_meta"},
		} {
			for _, instance := range s.instances {
				changes := []func(http.Header){named("tools/call", "echo")}
				if test.change != nil {
					changes = append(changes, test.change)
				}
				res := at(c, instance.url).Post(t, test.body, changes...)
				m := c.Message(t, res)
				var e jsonrpc.Error
				if err := json.Unmarshal(m.Error, &e); err != nil {
					t.Errorf("a request %s: no error but %s %s", name, m.Result, m.Error)
					continue
				}
				if res.StatusCode != test.status || int(e.Code) != test.code || !strings.Contains(e.Message, test.message) {
					t.Errorf("a request %s: status %d, error %s; want %d, %d and %q", name, res.StatusCode, m.Error, test.status, test.code, test.message)
				}
				if test.code == -32022 && !strings.Contains(string(m.Error), `"supported":`+supported) {
					t.Errorf("a request %s is told: %s", name, m.Error)
				}
			}
		}
		b.undisturbed(t)
	})
}

func TestDiscoverNamesTheVersionsOfBothKinds(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for _, instance := range s.instances {
			c := at(s.stateless(t), instance.url)
			m := c.Message(t, c.Post(t, statelessBody(1, "server/discover", "{}"), named("server/discover", "")))
			var got struct{ SupportedVersions []string }
			if err := json.Unmarshal(m.Result, &got); err != nil {
				t.Fatalf("%s%s: %v", m.Result, m.Error, err)
			}
			want := []string{"2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}
			if diff := cmp.Diff(want, got.SupportedVersions); diff != "" {
				t.Errorf("versions (-want +got)\n%s", diff)
			}
		}
	})
}

// Round 1 on one instance, round 2 on another: what is between them is the
// client's.
func TestInputRequestsAcrossInstances(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: statelessRig()}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		for i := range s.instances {
			first, second := s.instances[i], s.instances[(i+1)%len(s.instances)]
			m := c.Message(t, statelessCall(t, at(c, first.url), "confirm", "{}"))
			var asked struct {
				ResultType, RequestState string
				InputRequests            map[string]struct{ Method string }
			}
			if err := json.Unmarshal(m.Result, &asked); err != nil {
				t.Fatalf("%s%s: %v", m.Result, m.Error, err)
			}
			if asked.ResultType != "input_required" || asked.InputRequests["sure"].Method != "elicitation/create" {
				t.Fatalf("the tool asks %s", m.Result)
			}
			again := fmt.Sprintf(`{"name":"confirm","arguments":{},"requestState":%q,"inputResponses":{"sure":{"action":"accept","content":{"answer":"yes"}}}}`, asked.RequestState)
			wantText(t, c.Message(t, at(c, second.url).Post(t, statelessBody(2, "tools/call", again), named("tools/call", "confirm"))), "round 1: accept yes")
		}
	})
}

func TestAClientThatNamesStreamsFirstGetsOne(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for accept, want := range map[string]string{
			"text/event-stream, application/json": "text/event-stream",
			"application/json, text/event-stream": "application/json",
		} {
			res := statelessCall(t, s.stateless(t), "echo", `{"text":"hi"}`, set("Accept", accept))
			if got := res.Header.Get("Content-Type"); got != want {
				t.Errorf("Accept: %s gets %s", accept, got)
			}
			wantText(t, s.stateless(t).Message(t, res), "hi")
			if res := statelessCall(t, s.stateless(t), "nosuch", `{}`, set("Accept", accept)); res.StatusCode != 400 {
				t.Errorf("Accept: %s: an error has the status %s", accept, res.Status)
			}
		}
	})
}

func TestStatelessCallTalksOnItsStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: statelessRig()}, func(t *testing.T, s *simulation) {
		res := statelessCall(t, s.stateless(t), "report", `{"name":"r","n":3}`)
		got := messages(fleettest.NewStream(res))
		s.runs(t, "r")
		s.open("r")
		for i := range 3 {
			if m := soon(t, got); !strings.Contains(string(m.Data), fmt.Sprintf(`"progress":%d`, i)) {
				t.Errorf("instead of progress %d: %s", i, m.Data)
			}
			if m := soon(t, got); !strings.Contains(string(m.Data), fmt.Sprintf(`"data":%d`, i)) {
				t.Errorf("instead of log message %d: %s", i, m.Data)
			}
		}
		m, err := jsonrpcmsg.Decode(soon(t, got).Data)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, m, "reported to raw")
		if _, more := <-got; more {
			t.Error("the stream goes on after the response")
		}
	})
}

func TestClosingTheStreamCancelsTheStatelessCall(t *testing.T) {
	t.Parallel()
	for _, said := range []int{0, 2} {
		t.Run(fmt.Sprint(said, " messages"), func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: statelessRig()}, func(t *testing.T, s *simulation) {
				ctx, hangUp := context.WithCancel(t.Context())
				c := s.stateless(t)
				go func() {
					res, err := c.Do(ctx, "POST", statelessBody(1, "tools/call", fmt.Sprintf(`{"name":"report","arguments":{"name":"r","n":%d}}`, said)), named("tools/call", "report"))
					if err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
					}
				}()
				s.runs(t, "r")
				hangUp()
				s.runs(t, "cancelled r")
			})
		})
	}
}

// Through HTTP/2 as well, where a write deadline that passes resets the stream.
func TestQuietStatelessCallIsKeptAlive(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			protocols := new(http.Protocols)
			protocols.SetHTTP1(protocol == "HTTP/1.1")
			protocols.SetUnencryptedHTTP2(protocol == "HTTP/2")
			serve := func(s *http.Server) {
				s.Protocols = protocols
				s.ReadTimeout, s.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
			}
			simulate(t, simulated{http: serve, rig: statelessRig()}, func(t *testing.T, s *simulation) {
				for _, said := range []int{0, 1} {
					c := s.stateless(t)
					c.HTTP.Transport = &http.Transport{
						Protocols:   protocols,
						DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return s.dial(ctx, addr) },
					}
					t.Cleanup(c.HTTP.CloseIdleConnections)
					name := fmt.Sprint("quiet ", said)
					got := make(chan response, 1)
					go func() { got <- read(t, statelessCall(t, c, "report", fmt.Sprintf(`{"name":%q,"n":%d}`, name, said))) }()
					s.runs(t, name)
					time.Sleep(time.Minute + 5*time.Second)
					s.open(name)
					a := soon(t, got)
					comments := strings.Count(a.Body, ": keep-alive\n\n")
					if a.Status != 200 || a.Type != "text/event-stream" || comments < 3 || comments > 4 || !strings.Contains(a.Body, "reported to raw") {
						t.Errorf("%d messages: %d comments in %+v", said, comments, a)
					}
				}
			})
		})
	}
}

// Most calls are over before a stream would have to begin: those have the
// status that the protocol wants. What fails later has it on the stream.
func TestStatelessErrorAfterTheStreamBegan(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: statelessRig()}, func(t *testing.T, s *simulation) {
		stream := fleettest.NewStream(statelessCall(t, s.stateless(t), "refuse", "{}"))
		if m := stream.Message(t); m.Method != "notifications/progress" {
			t.Fatalf("the stream begins with %s", m.Method)
		}
		if m := stream.Message(t); !strings.Contains(string(m.Error), "on second thought") || string(m.ID) != "1" {
			t.Errorf("the call ends with %s %s%s", m.ID, m.Error, m.Result)
		}
		if _, err := stream.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream goes on: %v", err)
		}
	})
}

// getServer is the user's, and may take its time.
func TestStatelessRefusalAfterTheStreamBegan(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		slow := s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server {
			time.Sleep(3 * time.Second)
			return nil
		})
		c := at(s.stateless(t), slow.url)
		if m := c.Message(t, statelessCall(t, c, "echo", "{}")); !strings.Contains(string(m.Error), "no server available") || string(m.ID) != "1" {
			t.Errorf("the call ends with %s %s%s", m.ID, m.Error, m.Result)
		}
	})
}

// A client that stops reading must not hold the handler for ever.
func TestStatelessClientThatStopsReadingIsCutOff(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: statelessRig()}, func(t *testing.T, s *simulation) {
		began := time.Now()
		res := statelessCall(t, s.stateless(t), "count", `{"n":10000,"size":1000}`)
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
		for i := range s.instances { // one of them has the call
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := s.instances[i].handler.Shutdown(ctx); err != nil {
				t.Errorf("a call still runs: %v", err)
			}
		}
		if d := time.Since(began); d > 25*time.Second {
			t.Errorf("the call went on for %v", d)
		}
	})
}

// JSON numbers have no bounds, floats have. The client gets back what it sent.
func TestStatelessRequestIDs(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: statelessRig()}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		for _, id := range []string{`0`, `-1`, `7`, `"7"`, `""`, `9007199254740993`, `-9007199254740993`, `12345678901234567890123`,
			`"` + strings.Repeat("long", 1000) + `"`, `"é\u00e9\"\n"`} {
			for name, params := range map[string]string{
				"echo":    `{"name":"echo","arguments":{"text":"<hi>"}}`,
				"no-such": `{"name":"no-such","arguments":{}}`,
				"refuse":  `{"name":"refuse","arguments":{}}`,
			} {
				body := statelessBody(json.RawMessage(id), "tools/call", params)
				m := c.Message(t, c.Post(t, body, named("tools/call", name)))
				var want, got any
				_ = json.Unmarshal([]byte(id), &want)
				if err := json.Unmarshal(m.ID, &got); err != nil || want != got || id[0] != '"' && string(m.ID) != id {
					t.Errorf("request %.40s of %s is answered as %.40s", id, name, m.ID)
				}
				if name == "echo" {
					wantText(t, m, "<hi>")
				}
			}
		}
	})
}

func TestShutdownWaitsForStatelessCalls(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: statelessRig()}, func(t *testing.T, s *simulation) {
		leaving := s.instances[0]
		c := at(s.stateless(t), leaving.url)
		response := make(chan *jsonrpcmsg.Message, 1)
		go func() { response <- c.Message(t, statelessCall(t, c, "report", `{"name":"r","n":1}`)) }()
		s.runs(t, "r")
		left := make(chan error, 1)
		go func() { left <- leaving.handler.Shutdown(t.Context()) }()
		time.Sleep(time.Second)
		if res := statelessCall(t, c, "echo", "{}"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("a call during Shutdown: %s", res.Status)
		}
		s.open("r")
		wantText(t, soon(t, response), "reported to raw")
		if err := soon(t, left); err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownRespondsToStatelessCallsThatItCutsShort(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"report", "stubborn"} {
		for _, said := range []int{0, 1} {
			for _, streamAfter := range []time.Duration{0, time.Hour} {
				t.Run(fmt.Sprint(tool, said, streamAfter), func(t *testing.T) {
					t.Parallel()
					options := func(o *fleet.Options) { o.StreamAfter = streamAfter }
					simulate(t, simulated{rig: statelessRig(), options: options}, func(t *testing.T, s *simulation) {
						defer s.open("r")
						leaving := s.instances[0]
						c := at(s.stateless(t), leaving.url)
						response := make(chan *jsonrpcmsg.Message, 1)
						go func() { response <- c.Message(t, statelessCall(t, c, tool, fmt.Sprintf(`{"name":"r","n":%d}`, said))) }()
						s.runs(t, "r")
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						if err := leaving.handler.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("Shutdown says %v", err)
						}
						if m := soon(t, response); !strings.Contains(string(m.Error), "the instance is shutting down") || string(m.ID) != "1" {
							t.Errorf("the call ends with %s %s%s", m.ID, m.Error, m.Result)
						}
						if tool == "report" {
							s.runs(t, "cancelled r")
						}
					})
				})
			}
		}
	}
}

// Whoever forgets UserID in a verifier would give all users one identity.
func TestStatelessRequestOfNobodyIsRefused(t *testing.T) {
	t.Parallel()
	nobody := func(h http.Handler) http.Handler {
		verify := func(context.Context, string, *http.Request) (*auth.TokenInfo, error) {
			return &auth.TokenInfo{Expiration: time.Now().Add(time.Hour)}, nil
		}
		return auth.RequireBearerToken(verify, nil)(h)
	}
	simulate(t, simulated{wrap: nobody}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		c.Header.Set("Authorization", "Bearer x")
		want := errorResponse(500, "1", -32603, "internal error")
		if diff := cmp.Diff(want, read(t, statelessCall(t, c, "echo", "{}"))); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
