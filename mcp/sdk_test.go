package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// The SDK pings a client in intervals and ends the session when no response
// comes: a session of one request must outlive that, and leave nothing behind.
func TestKeepAliveLeavesNoGoroutine(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newRig(&mcp.ServerOptions{KeepAlive: 100 * time.Millisecond})}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		called := make(chan response, 1)
		go func() {
			called <- read(t, c.Post(t, fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
		}()
		s.runs(t, "w")
		time.Sleep(time.Minute)
		if n := goroutinesIn("startKeepalive"); n == 0 {
			t.Error("there is no goroutine to leave behind: the SDK has changed")
		}
		s.open("w")
		if got := soon(t, called); !strings.Contains(got.Body, "went on") || strings.Contains(got.Body, "ping") {
			t.Errorf("a call longer than the interval: %+v", got)
		}
		for range 20 {
			wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
			c.Notify(t, "notifications/roots/list_changed", "{}")
		}
		time.Sleep(time.Second)
		if n := goroutinesIn("startKeepalive"); n > 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

// goroutinesIn counts the goroutines with a function on their stack that no
// other test runs.
func goroutinesIn(function string) int {
	var stacks bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	n := 0
	for stack := range strings.SplitSeq(stacks.String(), "\n\n") {
		if strings.Contains(stack, function) {
			n++
		}
	}
	return n
}

// A session of the SDK lasts for one request, and the SDK logs its beginning and
// its end.
func TestTheSDKLogsEachRequestWithItsSessionID(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := newRig(&mcp.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi") // from the second on, servers are watched
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
		synctest.Wait()
		before := log.String()
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
		synctest.Wait()
		said := strings.TrimPrefix(log.String(), before)
		if strings.Count(said, "\n") != 3 || !strings.Contains(said, c.Session) {
			t.Errorf("of one call the SDK logs\n%s", said)
		}
	})
}

func TestGetSessionIDIsNotConsulted(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	r := newRig(&mcp.ServerOptions{GetSessionID: func() string { asked.Add(1); return "mine" }})
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
		if n := asked.Load(); n != 0 || c.Session == "mine" {
			t.Errorf("asked %d times; the session is %s", n, c.Session)
		}
	})
}

func TestNarrowedProtocolVersions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		supported []string
		asks      map[string]string // and what it gets
	}{
		{[]string{"2025-06-18"}, map[string]string{"2025-11-25": "2025-06-18", "2025-06-18": "2025-06-18", "2024-11-05": "2025-06-18"}},
		{[]string{"2025-11-25", "2024-11-05"}, map[string]string{"2025-11-25": "2025-11-25", "2025-06-18": "2025-11-25", "2024-11-05": "2024-11-05"}},
	} {
		simulate(t, simulated{rig: newRig(&mcp.ServerOptions{SupportedProtocolVersions: test.supported})}, func(t *testing.T, s *simulation) {
			for asks, want := range test.asks {
				c := s.client(t)
				c.Initialize(t, asks, "{}")
				if c.Version != want {
					t.Errorf("with %v: %s is answered with %s, want %s", test.supported, asks, c.Version, want)
				}
				wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
			}
		})
	}
}

// However many instances there are, one message is one call of its handler.
func TestHandlersOfNotificationsRunOncePerMessage(t *testing.T) {
	t.Parallel()
	const sessions, each = 10, 5
	var mu sync.Mutex
	got := map[string]int{}
	count := func(what string, ss *mcp.ServerSession) {
		mu.Lock()
		defer mu.Unlock()
		got[what+" "+ss.ID()]++
	}
	r := newRig(&mcp.ServerOptions{
		InitializedHandler:          func(_ context.Context, req *mcp.InitializedRequest) { count("initialized", req.Session) },
		RootsListChangedHandler:     func(_ context.Context, req *mcp.RootsListChangedRequest) { count("roots", req.Session) },
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationServerRequest) { count("progress", req.Session) },
	})
	simulate(t, simulated{rig: r, instances: 3}, func(t *testing.T, s *simulation) {
		want := map[string]int{}
		var wg sync.WaitGroup
		for range sessions {
			c := s.client(t)
			c.Initialize(t, "2025-11-25", everyCapability)
			want["initialized "+c.Session], want["roots "+c.Session], want["progress "+c.Session] = 1, each, each
			anywhere := func() *fleettest.Client { return at(c, s.instances[rand.IntN(3)].url) }
			for range each {
				wg.Go(func() {
					anywhere().Notify(t, "notifications/initialized", "{}")
					anywhere().Notify(t, "notifications/roots/list_changed", "{}")
					anywhere().Notify(t, "notifications/progress", `{"progressToken":"t","progress":1}`)
				})
			}
		}
		wg.Wait()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// An instance that cannot call the handler does not use up its one call.
func TestInitializedHandlerRunsWhereItCan(t *testing.T) {
	t.Parallel()
	var ran chan string // the bubble's own
	r := newRig(&mcp.ServerOptions{InitializedHandler: func(_ context.Context, req *mcp.InitializedRequest) { ran <- req.Session.ID() }})
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		ran = make(chan string, 10)
		serverless := s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server { return nil })
		must(t, s.instances[0].handler.Shutdown(t.Context()))
		c := at(s.client(t), s.instances[1].url)
		res := c.Post(t, initializeBody)
		c.Session = res.Header.Get("Mcp-Session-Id")
		for url, want := range map[string]int{s.instances[0].url: 503, serverless.url: 400} {
			if got := read(t, at(c, url).Post(t, initializedBody)); got.Status != want {
				t.Errorf("%s: %+v, want status %d", url, got, want)
			}
		}
		accepts(t, c, initializedBody)
		if got := soon(t, ran); got != c.Session {
			t.Errorf("it ran for session %q", got)
		}
		accepts(t, c, initializedBody)
		synctest.Wait()
		if len(ran) != 0 {
			t.Error("it ran again")
		}
	})
}

// The usual thing to do when a client is ready: ask it for its roots. Clients
// open their standalone stream only when notifications/initialized is accepted.
func TestInitializedHandlerAsksTheClient(t *testing.T) {
	t.Parallel()
	roots := make(chan string, 1)
	r := newRig(&mcp.ServerOptions{InitializedHandler: func(ctx context.Context, req *mcp.InitializedRequest) {
		uri, err := ask(ctx, req.Session, "roots")
		if err != nil {
			uri = err.Error()
		}
		roots <- uri
	}})
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		time.Sleep(5 * time.Second)
		stream := at(c, s.instances[0].url).Get(t, "")
		q := stream.Message(t)
		accepts(t, at(c, s.instances[1].url), fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"roots":[{"uri":"file:///raw"}]}}`, q.ID))
		if got := soon(t, roots); got != "file:///raw" {
			t.Errorf("the roots are %s", got)
		}
	})
}

func TestSubscribeAndUnsubscribeHandlers(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 10)
	r := newRig(&mcp.ServerOptions{
		SubscribeHandler: func(_ context.Context, req *mcp.SubscribeRequest) error {
			calls <- "subscribe " + req.Params.URI
			return nil
		},
		UnsubscribeHandler: func(_ context.Context, req *mcp.UnsubscribeRequest) error {
			calls <- "unsubscribe " + req.Params.URI
			return nil
		},
	})
	r.more = func(s *mcp.Server) {
		s.AddResource(&mcp.Resource{Name: "r", URI: "x://r"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{}, nil
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		for _, call := range []string{"subscribe", "unsubscribe"} {
			if m := c.Call(t, "resources/"+call, `{"uri":"x://r"}`); m.Error != nil {
				t.Errorf("%s: %s", call, m.Error)
			}
			if got := soon(t, calls); got != call+" x://r" {
				t.Errorf("the handler was called with %q", got)
			}
		}
		if len(calls) > 0 {
			t.Errorf("and with %q", <-calls)
		}
	})
}

func TestCompletionMiddlewareAndCustomMethods(t *testing.T) {
	t.Parallel()
	type searchParams struct {
		mcp.ParamsBase
		Query string `json:"query"`
	}
	type searchResult struct {
		mcp.ResultBase
		Hits []string `json:"hits"`
	}
	var mu sync.Mutex
	var passed []string
	see := func(direction string) mcp.Middleware {
		return func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				mu.Lock()
				passed = append(passed, direction+" "+method)
				mu.Unlock()
				return next(ctx, method, req)
			}
		}
	}
	r := newRig(&mcp.ServerOptions{CompletionHandler: func(_ context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
		return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{req.Params.Argument.Value + "!"}}}, nil
	}})
	r.more = func(s *mcp.Server) {
		err := mcp.AddReceivingCustomMethod(s, "acme/search", func(_ context.Context, ss *mcp.ServerSession, p *searchParams) (*searchResult, error) {
			return &searchResult{Hits: []string{p.Query, ss.InitializeParams().ClientInfo.Name}}, nil
		})
		if err != nil {
			t.Error(err)
		}
		s.AddReceivingMiddleware(see("in"))
		s.AddSendingMiddleware(see("out"))
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		synctest.Wait() // the handler of notifications/initialized runs after its 202
		for _, call := range []struct{ method, params, want string }{
			{"completion/complete", `{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"v"}}`, `{"completion":{"values":["v!"]}}`},
			{"acme/search", `{"query":"q"}`, `{"hits":["q","raw"]}`},
		} {
			for range s.instances {
				if m := c.Call(t, call.method, call.params); string(m.Result) != call.want {
					t.Errorf("%s: %s %s, want %s", call.method, m.Result, m.Error, call.want)
				}
			}
		}
		wantText(t, c.CallTool(t, "count", `{"n":1}`), "1")
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []string{
			"in initialize", "in notifications/initialized",
			"in completion/complete", "in completion/complete", "in acme/search", "in acme/search",
			"in tools/call", "out notifications/progress",
		}
		if diff := cmp.Diff(want, passed); diff != "" {
			t.Errorf("what middleware saw: (-want +got)\n%s", diff)
		}
	})
}

// A handler that returns what it wants to know, as of 2026-07-28, has it asked
// of clients of the protocols before.
func TestInputRequestsOfAnOldClient(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		s.AddTool(&mcp.Tool{Name: "form", InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				got, ok := req.Params.InputResponses["name"].(*mcp.ElicitResult)
				if !ok {
					return &mcp.CallToolResult{
						InputRequests: mcp.InputRequestMap{"name": &mcp.ElicitParams{Message: "name?"}},
						RequestState:  "state",
					}, nil
				}
				said := fmt.Sprint(got.Action, got.Content["answer"], " ", req.Params.RequestState)
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: said}}}, nil
			})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		for _, version := range []string{"2025-06-18", "2025-11-25"} {
			c := s.client(t)
			c.Initialize(t, version, everyCapability)
			stream := fleettest.NewStream(at(c, s.instances[0].url).Post(t, fleettest.Request(1, "tools/call", `{"name":"form","arguments":{}}`)))
			q := stream.Message(t)
			accepts(t, at(c, s.instances[1].url), responseTo(q.ID, " me"))
			wantText(t, stream.Message(t), "accept me state")
		}
	})
}

// The server asks from wherever it pleases, and the response may come to any instance.
func TestServerRequestsOfEveryKindFromEveryHandler(t *testing.T) {
	t.Parallel()
	responses := map[string]struct{ method, result, want string }{
		"form":     {"elicitation/create", `{"action":"accept","content":{"answer":" yes"}}`, "accept yes"},
		"url":      {"elicitation/create", `{"action":"accept"}`, "accept<nil>"},
		"sampling": {"sampling/createMessage", `{"role":"assistant","model":"m","content":{"type":"text","text":"sampled"}}`, "sampled"},
		"roots":    {"roots/list", `{"roots":[{"uri":"file:///root"}]}`, "file:///root"},
	}
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		for kind := range responses {
			s.AddPrompt(&mcp.Prompt{Name: kind}, func(ctx context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				said, err := ask(ctx, req.Session, kind)
				return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: said}}}}, err
			})
			s.AddResource(&mcp.Resource{Name: kind, URI: "ask://" + kind}, func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				said, err := ask(ctx, req.Session, kind)
				return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: req.Params.URI, Text: said}}}, err
			})
		}
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		for _, version := range []string{"2025-06-18", "2025-11-25"} {
			c := s.client(t)
			c.Initialize(t, version, everyCapability)
			for kind, a := range responses {
				for _, call := range []struct{ method, params string }{
					{"tools/call", fmt.Sprintf(`{"name":"ask","arguments":{"name":%q}}`, kind)},
					{"prompts/get", fmt.Sprintf(`{"name":%q}`, kind)},
					{"resources/read", fmt.Sprintf(`{"uri":"ask://%s"}`, kind)},
				} {
					stream := fleettest.NewStream(at(c, s.instances[0].url).Post(t, fleettest.Request(1, call.method, call.params)))
					q := stream.Message(t)
					if q.Method != a.method {
						t.Fatalf("%s asks with %s", kind, q.Method)
					}
					accepts(t, at(c, s.instances[1].url), fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, a.result))
					if m := stream.Message(t); !strings.Contains(string(m.Result), `"text":`+quote(a.want)) {
						t.Errorf("%s, %s from %s: %s %s, want %q", version, kind, call.method, m.Result, m.Error, a.want)
					}
				}
			}
		}
	})
}

// quote returns s as the SDK's JSON has it.
func quote(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can be marshalled
	}
	return string(quoted)
}

// A client that cannot respond is not asked.
func TestServerRequestsThatTheClientCannotServe(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.client(t)
		c.Initialize(t, "2025-11-25", "{}")
		for _, kind := range []string{"form", "url", "sampling", "roots"} {
			began := time.Now()
			m := c.CallTool(t, "ask", fmt.Sprintf(`{"name":%q}`, kind))
			if !strings.Contains(string(m.Error), "does not support") || time.Since(began) > time.Second {
				t.Errorf("%s: %s %s after %v", kind, m.Result, m.Error, time.Since(began))
			}
		}
	})
}

func TestLogLevelOfOneInstanceIsThatOfAll(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "log", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			for _, level := range []mcp.LoggingLevel{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"} {
				if err := req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: level, Data: "x"}); err != nil {
					return "", err
				}
			}
			return "logged", nil
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c, other := s.session(t), s.session(t)
		logged := func(c *fleettest.Client, instance *simulatedInstance) (levels []string) {
			res := at(c, instance.url).Post(t, fleettest.Request(1, "tools/call", `{"name":"log","arguments":{}}`))
			for line := range strings.Lines(read(t, res).Body) {
				if _, level, ok := strings.Cut(line, `"level":"`); ok {
					level, _, _ = strings.Cut(level, `"`)
					levels = append(levels, level)
				}
			}
			return levels
		}
		all := []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}
		for i, level := range []string{"warning", "debug", "emergency", "notice"} {
			a, b := s.instances[i%2], s.instances[1-i%2]
			if m := at(c, a.url).Call(t, "logging/setLevel", fmt.Sprintf(`{"level":%q}`, level)); m.Error != nil {
				t.Fatalf("%s", m.Error)
			}
			want := all[slices.Index(all, level):]
			for _, instance := range []*simulatedInstance{b, a} {
				if diff := cmp.Diff(want, logged(c, instance)); diff != "" {
					t.Errorf("after %s: (-want +got)\n%s", level, diff)
				}
				if got := logged(other, instance); len(got) > 0 {
					t.Errorf("another session, which has set no level, gets %v", got)
				}
			}
		}
	})
}

// A handler may send its client away for a while; the client finds the rest of
// the stream elsewhere.
func TestCloseSSEStream(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "pause", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			if err := progress(ctx, req.Session, 1, "before"); err != nil {
				return "", err
			}
			req.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: 7 * time.Second})
			if err := progress(ctx, req.Session, 2, "after"); err != nil {
				return "", err
			}
			return "resumed", nil
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		stream := fleettest.NewStream(at(c, s.instances[0].url).Post(t, fleettest.Request(1, "tools/call", `{"name":"pause","arguments":{}}`)))
		var retry time.Duration
		var got []string
		for {
			e, err := stream.Next()
			if err != nil {
				break
			}
			retry = max(retry, e.Retry)
			if len(e.Data) > 0 {
				got = append(got, string(e.Data))
			}
		}
		if len(got) != 1 || !strings.Contains(got[0], "before") || retry != 7*time.Second {
			t.Errorf("before the stream was closed came %q and a retry of %v", got, retry)
		}
		rest := at(c, s.instances[1].url).Get(t, stream.Last)
		if m := rest.Message(t); !strings.Contains(string(m.Params), "after") {
			t.Errorf("resumed, the stream has %s", m.Params)
		}
		wantText(t, rest.Message(t), "resumed")
		old := s.client(t) // has no id to resume from before the first message, so its streams stay
		old.Initialize(t, "2025-06-18", "{}")
		wantText(t, old.CallTool(t, "pause", "{}"), "resumed")
	})
}

// Progress goes out on the stream of the call it is about, under the client's
// own token, and not on the standalone one.
func TestProgressGoesOutOnTheCallsOwnStream(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "progress", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			for i := range 3 {
				err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i)})
				if err != nil {
					return "", err
				}
			}
			return "done", nil
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		standalone := messages(c.Get(t, ""))
		for _, token := range []string{`"a"`, `7`, `"7"`} {
			stream := fleettest.NewStream(c.Post(t, fleettest.Request(1, "tools/call", `{"name":"progress","arguments":{},"_meta":{"progressToken":`+token+`}}`)))
			for i := range 3 {
				var p struct {
					Token    json.RawMessage `json:"progressToken"`
					Progress float64         `json:"progress"`
				}
				m := stream.Message(t)
				if err := json.Unmarshal(m.Params, &p); err != nil || string(p.Token) != token || p.Progress != float64(i) {
					t.Errorf("progress %d of %s is %s, %v", i, token, m.Params, err)
				}
			}
			wantText(t, stream.Message(t), "done")
		}
		synctest.Wait()
		if len(standalone) > 0 {
			t.Errorf("on the standalone stream is %+v", <-standalone)
		}
	})
}

// getServer may make a server for each request: nothing keeps it.
func TestServersOfOneRequestAreNotKept(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var servers []weak.Pointer[mcp.Server]
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for range 2 {
			s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server {
				server := s.server()
				mu.Lock()
				defer mu.Unlock()
				servers = append(servers, weak.Make(server))
				return server
			})
		}
		s.instances = s.instances[2:]
		for n, i := range s.instances {
			i.url = fmt.Sprintf("http://%d.test/", n)
		}
		for range 10 {
			c := s.session(t)
			wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
			wantText(t, c.CallTool(t, "count", `{"n":3}`), "3")
			q := asked(t, c, "form")
			accepts(t, c, responseTo(q.ID, ""))
			wantText(t, q.stream.Message(t), "accept")
			stream := c.Get(t, "")
			stream.Close()
		}
		time.Sleep(5 * time.Second)
		if len(servers) != 10*7 {
			t.Errorf("getServer was called %d times, want once for each request", len(servers))
		}
		kept := 0
		for range 10 { // finalizers of the last collection may keep what the next one frees
			runtime.GC()
			kept = 0
			for _, server := range servers {
				if server.Value() != nil {
					kept++
				}
			}
			if kept == 0 {
				return
			}
		}
		t.Errorf("%d of %d servers are kept", kept, len(servers))
	})
}
