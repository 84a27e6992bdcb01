package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// The tests of this file let handlers fail in ways that end the process, or leave
// the client without an answer, when the SDK serves them by itself.

// A faultyResult is a custom method's, and cannot be encoded without a panic.
type faultyResult struct{ mcp.ResultBase }

func (faultyResult) MarshalJSON() ([]byte, error) { panic("while encoding") }

// A faultyError cannot be asked what it says.
type faultyError struct{ text *string }

func (e *faultyError) Error() string { return *e.text }

type faultyParams struct{ mcp.ParamsBase }

// Faults are what is thrown, and what is returned, by name.
var faultyTools = map[string]func() (*mcp.CallToolResult, error){
	"panic":       func() (*mcp.CallToolResult, error) { panic("a tool") },
	"no result":   func() (*mcp.CallToolResult, error) { return nil, nil },
	"nil content": func() (*mcp.CallToolResult, error) { return content(nil), nil },
	"typed nil":   func() (*mcp.CallToolResult, error) { return content((*mcp.TextContent)(nil)), nil },
	"nil resource": func() (*mcp.CallToolResult, error) {
		return content(&mcp.ToolResultContent{Content: []mcp.Content{nil}}), nil
	},
	"content in itself": func() (*mcp.CallToolResult, error) {
		c := &mcp.ToolResultContent{}
		c.Content = []mcp.Content{c}
		return content(c), nil
	},
	"empty raw":   func() (*mcp.CallToolResult, error) { return structured(json.RawMessage("")), nil },
	"invalid raw": func() (*mcp.CallToolResult, error) { return structured(json.RawMessage(`{"a":`)), nil },
	"infinite":    func() (*mcp.CallToolResult, error) { return structured(map[string]any{"n": math.Inf(1)}), nil },
	"channel":     func() (*mcp.CallToolResult, error) { return structured(map[string]any{"c": make(chan int)}), nil },
	"cyclic": func() (*mcp.CallToolResult, error) {
		m := map[string]any{}
		m["m"] = m
		return structured(m), nil
	},
	"NaN": func() (*mcp.CallToolResult, error) {
		return content(&mcp.TextContent{Text: "x", Annotations: &mcp.Annotations{Priority: math.NaN()}}), nil
	},
	"unencodable meta":    func() (*mcp.CallToolResult, error) { return &mcp.CallToolResult{Meta: mcp.Meta{"f": func() {}}}, nil },
	"panic in an encoder": func() (*mcp.CallToolResult, error) { return structured(faultyResult{}), nil },
	"faulty error":        func() (*mcp.CallToolResult, error) { return nil, &faultyError{} },
	"nil error":           func() (*mcp.CallToolResult, error) { return nil, (*jsonrpc.Error)(nil) },
	"invalid data": func() (*mcp.CallToolResult, error) {
		return nil, &jsonrpc.Error{Code: -32603, Message: "x", Data: json.RawMessage("{")}
	},
	"plain error": func() (*mcp.CallToolResult, error) { return nil, errors.New("plain") },
	"code 0": func() (*mcp.CallToolResult, error) {
		return nil, fmt.Errorf("more: %w", &jsonrpc.Error{Message: "zero"})
	},
}

func content(c ...mcp.Content) *mcp.CallToolResult { return &mcp.CallToolResult{Content: c} }

func structured(v any) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{}, StructuredContent: v}
}

func faultyPrompt(name string) (*mcp.GetPromptResult, error) {
	switch name {
	case "panic":
		panic("a prompt")
	case "nil message":
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{nil}}, nil
	case "nil content":
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user"}}}, nil
	case "plain error":
		return nil, errors.New("plain")
	default:
		return nil, nil
	}
}

func faultyResource(uri string) (*mcp.ReadResourceResult, error) {
	switch uri {
	case "faulty://panic":
		panic("a resource")
	case "faulty://plain":
		return nil, errors.New("plain")
	case "faulty://meta":
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{Meta: mcp.Meta{"n": math.Inf(-1)}}}}, nil
	default:
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{nil}}, nil
	}
}

func faultyCompletion(name string) (*mcp.CompleteResult, error) {
	switch name {
	case "panic":
		panic("a completion")
	case "plain error":
		return nil, errors.New("plain")
	default:
		return nil, nil
	}
}

// faulty returns a rig whose servers have a handler for each fault.
func faulty() *rig {
	uri := func(uri string) error {
		if uri == "faulty://panic" {
			panic("a subscription")
		}
		return errors.New("plain")
	}
	r := newRig(&mcp.ServerOptions{
		CompletionHandler: func(_ context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			return faultyCompletion(req.Params.Argument.Name)
		},
		SubscribeHandler:            func(_ context.Context, req *mcp.SubscribeRequest) error { return uri(req.Params.URI) },
		UnsubscribeHandler:          func(_ context.Context, req *mcp.UnsubscribeRequest) error { return uri(req.Params.URI) },
		InitializedHandler:          func(context.Context, *mcp.InitializedRequest) { panic("initialized") },
		RootsListChangedHandler:     func(context.Context, *mcp.RootsListChangedRequest) { panic("roots") },
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationServerRequest) { panic("progress") },
	})
	r.more = func(s *mcp.Server) {
		for name, run := range faultyTools {
			s.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)},
				func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return run() })
		}
		for _, name := range []string{"panic", "no result", "nil message", "nil content", "plain error"} {
			s.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				return faultyPrompt(name)
			})
		}
		s.AddResourceTemplate(&mcp.ResourceTemplate{Name: "faulty", URITemplate: "faulty://{what}"},
			func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				return faultyResource(req.Params.URI)
			})
		for method, run := range map[string]func() (*faultyResult, error){
			"acme/panic":  func() (*faultyResult, error) { panic("a custom method") },
			"acme/nil":    func() (*faultyResult, error) { return nil, nil },
			"acme/faulty": func() (*faultyResult, error) { return &faultyResult{}, nil },
			"acme/plain":  func() (*faultyResult, error) { return nil, errors.New("plain") },
		} {
			err := mcp.AddReceivingCustomMethod(s, method, func(context.Context, *mcp.ServerSession, *faultyParams) (*faultyResult, error) { return run() })
			if err != nil {
				panic(err) // a mistake in the test
			}
		}
	}
	return r
}

// A faultyCall is a call whose handler fails.
type faultyCall struct{ method, name, params, message string }

const (
	panicked = "internal error"
	unsent   = "internal error: the result cannot be sent"
)

func faultyCalls() []faultyCall {
	messages := map[string]string{
		"panic": panicked, "panic in an encoder": panicked, "faulty error": panicked, "nil error": panicked,
		"plain error": "plain", "code 0": "more: zero", "invalid data": "x",
	}
	var calls []faultyCall
	add := func(method, name, params, message string) {
		if message == "" {
			message = unsent
		}
		calls = append(calls, faultyCall{method, name, params, message})
	}
	for name := range faultyTools {
		add("tools/call", name, fmt.Sprintf(`{"name":%q,"arguments":{"secret":"sesame"}}`, name), messages[name])
	}
	for _, name := range []string{"panic", "no result", "nil message", "nil content", "plain error"} {
		add("prompts/get", name, fmt.Sprintf(`{"name":%q}`, name), messages[name])
	}
	for uri, message := range map[string]string{"faulty://panic": panicked, "faulty://nil": panicked, "faulty://meta": "", "faulty://plain": "plain"} {
		add("resources/read", uri, fmt.Sprintf(`{"uri":%q}`, uri), message)
	}
	for _, name := range []string{"panic", "no result", "plain error"} {
		add("completion/complete", "", fmt.Sprintf(`{"ref":{"type":"ref/prompt","name":"panic"},"argument":{"name":%q,"value":""}}`, name), messages[name])
	}
	add("acme/panic", "", "{}", panicked)
	add("acme/nil", "", "{}", "")
	add("acme/faulty", "", "{}", panicked)
	add("acme/plain", "", "{}", "plain")
	return calls
}

// sessionFaults are only in protocols with sessions.
func sessionFaults() []faultyCall {
	var calls []faultyCall
	for _, method := range []string{"resources/subscribe", "resources/unsubscribe"} {
		calls = append(calls,
			faultyCall{method, "", `{"uri":"faulty://panic"}`, panicked},
			faultyCall{method, "", `{"uri":"faulty://plain"}`, "plain"})
	}
	return calls
}

func (c faultyCall) wants(t *testing.T, m *jsonrpcmsg.Message) {
	t.Helper()
	what, want := fmt.Sprint(c.method, " ", c.params), fmt.Sprintf(`{"code":-32603,"message":%q}`, c.message)
	if diff := cmp.Diff(want, string(m.Error)); diff != "" {
		t.Errorf("%s: %s (-want +got)\n%s", what, m.Result, diff)
	}
}

// at most this long may pass before a call that has failed is answered.
const atOnce = 500 * time.Millisecond

// Each fault in each protocol, on each transport: the call is answered at once, and
// nobody else notices.
func TestAHandlersFaultIsItsCallsError(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: faulty()}, func(t *testing.T, s *simulation) {
				c := s.client(t)
				c.Initialize(t, version, everyCapability)
				survives(t, s, append(faultyCalls(), sessionFaults()...), func(f faultyCall) *jsonrpcmsg.Message {
					return c.Call(t, f.method, f.params)
				})
			})
		})
	}
	t.Run("HTTP+SSE", func(t *testing.T) {
		t.Parallel()
		simulate(t, simulated{rig: faulty(), wrap: withSSE}, func(t *testing.T, s *simulation) {
			c := s.sse(t, 0, "")
			survives(t, s, append(faultyCalls(), sessionFaults()...), func(f faultyCall) *jsonrpcmsg.Message {
				return c.call(t, fleettest.Request(1, f.method, f.params))
			})
		})
	})
	t.Run("batch", func(t *testing.T) {
		t.Parallel()
		simulate(t, simulated{rig: faulty()}, func(t *testing.T, s *simulation) {
			c := s.batching(t)
			survives(t, s, append(faultyCalls(), sessionFaults()...), func(f faultyCall) *jsonrpcmsg.Message {
				got := read(t, c.Post(t, array(fleettest.Request(1, f.method, f.params), toolCall(2, "echo", `{"text":"hi"}`))))
				var members []json.RawMessage
				if err := json.Unmarshal([]byte(got.Body), &members); err != nil || len(members) != 2 {
					t.Fatalf("%+v", got)
				}
				m, err := jsonrpcmsg.Decode(members[0])
				if err != nil {
					t.Fatal(err)
				}
				return m
			})
		})
	})
	t.Run("2026-07-28", func(t *testing.T) {
		t.Parallel()
		simulate(t, simulated{rig: faulty()}, func(t *testing.T, s *simulation) {
			c := s.stateless(t)
			survives(t, s, faultyCalls(), func(f faultyCall) *jsonrpcmsg.Message {
				return c.Message(t, c.Post(t, statelessBody(1, f.method, f.params), named(f.method, f.name)))
			})
		})
	})
}

// survives makes each of the calls, and then one that succeeds at each instance.
func survives(t *testing.T, s *simulation, calls []faultyCall, send func(faultyCall) *jsonrpcmsg.Message) {
	t.Helper()
	for _, f := range calls {
		began := time.Now()
		f.wants(t, send(f))
		if took := time.Since(began); took > atOnce {
			t.Errorf("%s %s: answered after %v", f.method, f.params, took)
		}
	}
	for _, instance := range s.instances {
		wantText(t, at(s.session(t), instance.url).CallTool(t, "echo", `{"text":"hi"}`), "hi")
	}
}

// Nobody waits for the handler of a notification.
func TestAPanicInANotificationHandlerIsLogged(t *testing.T) {
	t.Parallel()
	log := &safeBuffer{}
	r := faulty()
	simulate(t, simulated{rig: r, wrap: withSSE, options: logTo(log)}, func(t *testing.T, s *simulation) {
		c, sse := s.session(t), s.sse(t, 0, "")
		for _, method := range []string{"notifications/roots/list_changed", "notifications/progress"} {
			params := `{"progressToken":"x","progress":1}`
			c.Notify(t, method, params)
			accepts(t, sse.Client, fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params))
		}
		stateless := s.stateless(t)
		res := stateless.Post(t, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"x","progress":1,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`,
			named("notifications/progress", ""))
		if res.StatusCode != http.StatusAccepted {
			t.Errorf("2026-07-28: %s", res.Status)
		}
		synctest.Wait()
		for what, times := range map[string]int{"panic=initialized": 2, "panic=roots": 2, "panic=progress": 3} {
			if n := strings.Count(log.String(), what); n != times {
				t.Errorf("%s is logged %d times, want %d", what, n, times)
			}
		}
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
	})
}

// An operator learns where it happened, and nothing that is the client's.
func TestAFaultIsLoggedWithStackAndRequest(t *testing.T) {
	t.Parallel()
	log := &safeBuffer{}
	simulate(t, simulated{rig: faulty(), options: logTo(log)}, func(t *testing.T, s *simulation) {
		c, stateless := s.session(t), s.stateless(t)
		for _, name := range []string{"panic", "infinite"} {
			params := fmt.Sprintf(`{"name":%q,"arguments":{"secret":"sesame"}}`, name)
			c.Message(t, c.Post(t, fleettest.Request("the-"+name, "tools/call", params)))
			stateless.Message(t, stateless.Post(t, statelessBody("stateless-"+name, "tools/call", params), named("tools/call", name)))
		}
		c.Message(t, c.Post(t, fleettest.Request(strings.Repeat("long", 10_000), "tools/call", `{"name":"panic"}`)))
		synctest.Wait()
		got := log.String()
		for _, want := range []string{`the-panic`, `stateless-panic`, `the-infinite`, `stateless-infinite`, "method=tools/call", "faults_test.go", "unsupported value: +Inf"} {
			if !strings.Contains(got, want) {
				t.Errorf("the log has no %s:\n%s", want, got)
			}
		}
		if strings.Contains(got, "sesame") || strings.Contains(got, c.Session) || strings.Contains(got, strings.Repeat("long", 100)) {
			t.Errorf("the log has what it should not:\n%s", got)
		}
	})
}

// A server that getServer makes for one request is guarded too, and not kept.
func TestServersOfOneRequestAreGuardedAndForgotten(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		var mu sync.Mutex
		made, freed := 0, 0
		one := s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server {
			server := faulty().server()
			mu.Lock()
			defer mu.Unlock()
			made++
			runtime.AddCleanup(server, func(struct{}) {
				mu.Lock()
				defer mu.Unlock()
				freed++
			}, struct{}{})
			return server
		})
		c, stateless := at(s.session(t), one.url), at(s.stateless(t), one.url)
		f := faultyCall{"tools/call", "panic", `{"name":"panic","arguments":{}}`, panicked}
		for range 10 {
			f.wants(t, c.Call(t, f.method, f.params))
			f.wants(t, stateless.Message(t, stateless.Post(t, statelessBody(1, f.method, f.params), named(f.method, f.name))))
		}
		// The last ones may still be on some goroutine's stack.
		for range 100 {
			synctest.Wait()
			runtime.GC()
			time.Sleep(time.Minute) // timers of net/http know the request
			mu.Lock()
			enough := made >= 20 && freed >= made-4
			mu.Unlock()
			if enough {
				return
			}
		}
		t.Errorf("of %d servers, %d were freed", made, freed)
	})
}

// The SDK adds its fields to a result; a handler may return one result to many.
func TestAResultThatIsSharedStaysAsItIs(t *testing.T) {
	t.Parallel()
	shared := &mcp.CallToolResult{Meta: mcp.Meta{"own": "<x>"}, Content: []mcp.Content{&mcp.TextContent{Text: "<&>"}}}
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		s.AddTool(&mcp.Tool{Name: "shared", InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				own := *shared // the SDK itself sets the result type before any middleware
				return &own, nil
			})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c, stateless := s.session(t), s.stateless(t)
		if diff := cmp.Diff(`{"_meta":{"own":"<x>"},"content":[{"type":"text","text":"<&>"}]}`, plain(c.CallTool(t, "shared", "{}").Result)); diff != "" {
			t.Error("-want +got\n" + diff)
		}
		m := stateless.Message(t, statelessCall(t, stateless, "shared", "{}"))
		want := `{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"rig","version":"1"},"own":"<x>"},"content":[{"type":"text","text":"<&>"}],"resultType":"complete"}`
		if diff := cmp.Diff(want, plain(m.Result)); diff != "" {
			t.Error("-want +got\n" + diff)
		}
		if len(shared.Meta) != 1 {
			t.Errorf("the handler's own: %v", shared.Meta)
		}
	})
}

// plain returns JSON without escaped angle brackets, which some encoders write.
func plain(raw json.RawMessage) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(raw))
}

// Middleware may come at any time, and the server may be served by others as well, say
// over stdio: what it sees is the SDK's.
func TestMiddlewareSeesTheSDKsResults(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		server := s.server()
		one, other := s.joinWith(t, server), s.joinWith(t, server)
		seen := map[string]int{}
		see := func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				res, err := next(ctx, method, req)
				switch res.(type) {
				case *mcp.CallToolResult, *mcp.ListToolsResult:
					seen[method]++
				}
				return res, err
			}
		}
		call := func(url string) {
			t.Helper()
			c := at(s.session(t), url)
			wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
			c.Call(t, "tools/list", "{}")
		}
		call(one.url)
		for added := range 3 {
			server.AddReceivingMiddleware(see)
			call(one.url)
			call(other.url)
			if want := 2 * (added + 1); seen["tools/call"] != want || seen["tools/list"] != want {
				t.Errorf("%d times added, middleware has seen %v, want %d of each", added+1, seen, want)
			}
			clear(seen)
		}
		here, there := mcp.NewInMemoryTransports()
		ss, err := server.Connect(t.Context(), here, nil)
		must(t, err)
		cs, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), there, nil)
		must(t, err)
		_, err = cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "x"}})
		must(t, err)
		if seen["tools/call"] != 3 {
			t.Errorf("in a session of another's, middleware has seen %v", seen)
		}
		must(t, cs.Close())
		must(t, ss.Wait())
	})
}

// Middleware that keeps results may return them to another request.
func TestResultsThatMiddlewareKeeps(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		server := s.server()
		one := s.joinWith(t, server)
		c := at(s.session(t), one.url)
		c.CallTool(t, "echo", "{}")
		c.Call(t, "prompts/list", "{}")
		var mu sync.Mutex
		kept := map[string]mcp.Result{}
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				if kept[method] == nil {
					res, err := next(ctx, method, req)
					if err != nil {
						return nil, err
					}
					kept[method] = res
				}
				return kept[method], nil
			}
		})
		wantText(t, c.CallTool(t, "echo", `{"text":"kept"}`), "kept")
		wantText(t, c.CallTool(t, "echo", `{"text":"another"}`), "kept")
		first := c.Call(t, "prompts/list", "{}").Result
		if again := c.Call(t, "prompts/list", "{}").Result; string(first) != string(again) || !strings.Contains(string(first), `"prompts":[`) {
			t.Errorf("%s, then %s", first, again)
		}
	})
}

// A log that may be read while it is written.
type safeBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func logTo(b *safeBuffer) func(*fleet.Options) {
	return func(o *fleet.Options) { o.Logger = slog.New(slog.NewTextHandler(b, nil)) }
}

// getServer runs on a goroutine of ours when it is called for a batch.
func TestAPanicInGetServerIsItsRequestsError(t *testing.T) {
	t.Parallel()
	log := &safeBuffer{}
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		session, batching := s.session(t), s.batching(t)
		one := s.joinServing(t, simulated{wrap: withSSE, options: logTo(log)}, func(*http.Request) *mcp.Server { panic("no server") })
		const want = `{"code":-32603,"message":"internal error"}`
		wants := func(what string, m *jsonrpcmsg.Message) {
			t.Helper()
			if string(m.Error) != want {
				t.Errorf("%s: %s %s", what, m.Result, m.Error)
			}
		}
		c := at(session, one.url)
		wants("a call", c.CallTool(t, "echo", "{}"))
		if res := c.Post(t, notification); res.StatusCode != http.StatusInternalServerError {
			t.Errorf("a notification: %s", res.Status)
		}
		got := read(t, at(batching, one.url).Post(t, array(toolCall(1, "echo", "{}"))))
		if diff := cmp.Diff(`{"jsonrpc":"2.0","id":null,"error":`+want+`}`, got.Body); diff != "" {
			t.Error("a batch: -want +got\n" + diff)
		}
		stateless := at(s.stateless(t), one.url)
		wants("2026-07-28", stateless.Message(t, statelessCall(t, stateless, "echo", "{}")))
		wants("listen", stateless.Message(t, stateless.Post(t, statelessBody(1, "subscriptions/listen", `{"notifications":{"toolsListChanged":true}}`), named("subscriptions/listen", ""))))
		if res := c.Get(t, ""); res.StatusCode != http.StatusInternalServerError {
			t.Errorf("GET: %s", res.Status)
		}
		origin, err := url.Parse(one.url)
		must(t, err)
		origin.Path = "/sse"
		if res := at(s.client(t), origin.String()).Get(t, ""); res.StatusCode != http.StatusInternalServerError {
			t.Errorf("HTTP+SSE: %s", res.Status)
		}
		if n := strings.Count(log.String(), `msg="getServer panicked"`); n < 6 || !strings.Contains(log.String(), "faults_test.go") {
			t.Errorf("it is logged %d times:\n%s", n, log)
		}
	})
}

// A stream goes on without its OnStream.
func TestAPanicInOnStreamEndsNothing(t *testing.T) {
	t.Parallel()
	log := &safeBuffer{}
	simulate(t, simulated{rig: newsRig(), options: func(o *fleet.Options) {
		logTo(log)(o)
		o.OnStream = func(context.Context, *fleet.Stream) { panic("on a stream") }
	}}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		subscribe(t, c, "news://a")
		events, received := messages(c.Get(t, "")), acknowledged(t, s.stateless(t), `1`, allNews)
		must(t, s.instances[0].handler.ResourceUpdated(t.Context(), "news://a"))
		receives(t, events, updated("news://a"))
		receives(t, received, updatedFor(`1`, "news://a"))
		if n := strings.Count(log.String(), `msg="OnStream panicked"`); n != 2 {
			t.Errorf("it is logged %d times:\n%s", n, log)
		}
	})
}

// What a call has said before it fails is the client's, on any instance.
func TestAFaultIsTheLastEventOfItsStream(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "late", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
			if err := progress(ctx, req.Session, 1, "so far"); err != nil {
				return "", err
			}
			panic("late")
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		stream := fleettest.NewStream(at(c, s.instances[0].url).Post(t, toolCall(1, "late", "{}")))
		first, err := stream.Next()
		must(t, err)
		stream.Close()
		resumed := at(c, s.instances[1].url).Get(t, first.ID)
		if m := resumed.Message(t); m.Method != "notifications/progress" {
			t.Errorf("first: %+v", m)
		}
		faultyCall{"tools/call", "late", "{}", panicked}.wants(t, resumed.Message(t))
		stateless := s.stateless(t)
		faultyCall{"tools/call", "late", "{}", panicked}.wants(t, stateless.Message(t, statelessCall(t, stateless, "late", "{}")))
	})
}

// A session may have 64 calls that run on an instance.
func TestCallsThatFailDoNotFillTheSession(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: faulty()}, func(t *testing.T, s *simulation) {
		c := at(s.session(t), s.instances[0].url)
		for n := range 100 {
			for _, name := range []string{"panic", "infinite"} {
				if m := c.CallTool(t, name, "{}"); m.Error == nil || !strings.Contains(string(m.Error), "-32603") {
					t.Fatalf("%s, call %d: %s%s", name, n, m.Result, m.Error)
				}
			}
		}
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
	})
}

// The SDK calls SetCacheable with its lock held.
func TestAPanicWhileListingHoldsNothingUp(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	r := newRig(&mcp.ServerOptions{SetCacheable: func(context.Context, mcp.Request, *mcp.Cacheable) {
		if calls.Add(1)%2 == 1 {
			panic("while listing")
		}
	}})
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c, stateless := s.session(t), s.stateless(t)
		f := faultyCall{"tools/list", "", "{}", panicked}
		f.wants(t, c.Call(t, f.method, f.params))
		if m := c.Call(t, f.method, f.params); m.Error != nil {
			t.Errorf("afterwards: %s", m.Error)
		}
		f.wants(t, stateless.Message(t, stateless.Post(t, statelessBody(1, f.method, f.params), named(f.method, ""))))
		if m := stateless.Message(t, stateless.Post(t, statelessBody(1, f.method, f.params), named(f.method, ""))); m.Error != nil {
			t.Errorf("afterwards, 2026-07-28: %s", m.Error)
		}
	})
}

// No session begins with an initialize that fails, and no listener with a
// subscription that does.
func TestAPanicWhileBeginningBeginsNothing(t *testing.T) {
	t.Parallel()
	r := faulty()
	more := r.more
	r.more = func(s *mcp.Server) {
		more(s)
		s.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				if method == "initialize" || method == "server/discover" {
					panic("middleware")
				}
				return next(ctx, method, req)
			}
		})
	}
	simulate(t, simulated{rig: r, wrap: withSSE}, func(t *testing.T, s *simulation) {
		f := faultyCall{"initialize", "", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}`, panicked}
		c := s.client(t)
		res := c.Post(t, fleettest.Request(1, f.method, f.params))
		f.wants(t, c.Message(t, res))
		if id := res.Header.Get("Mcp-Session-Id"); id != "" {
			t.Errorf("there is a session %s", id)
		}
		f.wants(t, openSSE(t, at(s.client(t), s.instances[0].url), "").call(t, fleettest.Request(1, f.method, f.params)))
		stateless := s.stateless(t)
		f = faultyCall{"server/discover", "", "{}", panicked}
		f.wants(t, stateless.Message(t, stateless.Post(t, statelessBody(1, f.method, f.params), named(f.method, ""))))
		f = faultyCall{"subscriptions/listen", "", `{"notifications":{"resourceSubscriptions":["faulty://panic"]}}`, panicked}
		f.wants(t, stateless.Message(t, stateless.Post(t, statelessBody(1, f.method, f.params), named(f.method, ""))))
	})
}

// A faultyLogger panics at every line.
type faultyLogger struct{ slog.Handler }

func (faultyLogger) Enabled(context.Context, slog.Level) bool  { return true }
func (faultyLogger) Handle(context.Context, slog.Record) error { panic("a logger") }
func (l faultyLogger) WithAttrs([]slog.Attr) slog.Handler      { return l }
func (l faultyLogger) WithGroup(string) slog.Handler           { return l }

func TestAPanicInTheLoggerEndsNothing(t *testing.T) {
	t.Parallel()
	options := func(o *fleet.Options) { o.Logger = slog.New(faultyLogger{}) }
	simulate(t, simulated{rig: faulty(), options: options, wrap: withSSE}, func(t *testing.T, s *simulation) {
		c, sse := s.session(t), s.sse(t, 0, "")
		f := faultyCall{"tools/call", "panic", `{"name":"panic","arguments":{}}`, panicked}
		f.wants(t, c.Call(t, f.method, f.params))
		f.wants(t, sse.call(t, fleettest.Request(1, f.method, f.params)))
		s.instances[0].link.Cut() // there is a lot to log
		time.Sleep(time.Minute)
		s.instances[0].link.Heal()
		time.Sleep(time.Minute)
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
	})
}

// endsProcess fails the test unless the process ends in which run is called, with a panic.
func endsProcess(t *testing.T, what string, run func()) {
	t.Helper()
	const child = "MCPFLEET_TEST_CRASH"
	switch os.Getenv(child) {
	case what:
		run()
	case "":
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"="+what)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "panic: "+what) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}

func TestCrashOnPanicEndsTheProcess(t *testing.T) {
	t.Parallel()
	crashing := simulated{rig: newRig(nil), options: func(o *fleet.Options) { o.CrashOnPanic = true }}
	crashing.rig.more = func(s *mcp.Server) {
		tool(s, "panic", func(_ context.Context, _ *mcp.CallToolRequest, a toolArguments) (string, error) { panic(a.Text) })
	}
	endsProcess(t, "in a session", func() {
		simulate(t, crashing, func(t *testing.T, s *simulation) { s.session(t).CallTool(t, "panic", `{"text":"in a session"}`) })
	})
	endsProcess(t, "without one", func() {
		simulate(t, crashing, func(t *testing.T, s *simulation) { statelessCall(t, s.stateless(t), "panic", `{"text":"without one"}`) })
	})
}

// A faultyDecoder panics when it is decoded.
type faultyDecoder struct{ mcp.ParamsBase }

func (*faultyDecoder) UnmarshalJSON([]byte) error { panic("a decoder") }

// Whenever it was added, and whoever calls the handler.
func TestAPanicInLateMiddlewareIsItsCallsError(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		server := s.server()
		one := s.joinWith(t, server)
		c, stateless := at(s.session(t), one.url), at(s.stateless(t), one.url)
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
		c.Call(t, "tools/list", "{}")
		server.AddReceivingMiddleware(func(mcp.MethodHandler) mcp.MethodHandler {
			return func(context.Context, string, mcp.Request) (mcp.Result, error) { panic("late middleware") }
		})
		for what, m := range map[string]*jsonrpcmsg.Message{
			"tools/call":               c.CallTool(t, "echo", "{}"),
			"tools/list":               c.Call(t, "tools/list", "{}"),
			"tools/call of 2026-07-28": stateless.Message(t, statelessCall(t, stateless, "echo", "{}")),
			"tools/list of 2026-07-28": stateless.Message(t, stateless.Post(t, statelessBody(1, "tools/list", "{}"), named("tools/list", ""))),
		} {
			if string(m.Error) != `{"code":-32603,"message":"internal error"}` {
				t.Errorf("%s: %s%s", what, m.Error, m.Result)
			}
		}
	})
}

// docs/migrating.md says where an application has to recover by itself.
func TestPanicsThatNoMiddlewareReaches(t *testing.T) {
	t.Parallel()
	endsProcess(t, "a goroutine", func() {
		r := newRig(nil)
		r.more = func(s *mcp.Server) {
			tool(s, "start", func(context.Context, *mcp.CallToolRequest, toolArguments) (string, error) {
				go panic("a goroutine")
				return "started", nil
			})
		}
		simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
			s.session(t).CallTool(t, "start", "{}")
			synctest.Wait()
		})
	})
	// A nil among the input requests of a session's call: the SDK asks them on
	// goroutines of its own.
	endsProcess(t, "runtime error: invalid memory address or nil pointer dereference", func() {
		simulate(t, simulated{rig: nilInputRequest()}, func(t *testing.T, s *simulation) { s.session(t).CallTool(t, "nil", "{}") })
	})
	endsProcess(t, "a decoder", func() {
		r := newRig(nil)
		r.more = func(s *mcp.Server) {
			err := mcp.AddReceivingCustomMethod(s, "acme/decoded", func(context.Context, *mcp.ServerSession, *faultyDecoder) (*faultyResult, error) {
				return nil, nil
			})
			must(t, err)
		}
		simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) { s.session(t).Call(t, "acme/decoded", "{}") })
	})
	endsProcess(t, "sending middleware", func() {
		simulate(t, simulated{}, func(t *testing.T, s *simulation) {
			server := s.server()
			must(t, s.joinWith(t, server).handler.Watch(server))
			server.AddSendingMiddleware(func(mcp.MethodHandler) mcp.MethodHandler {
				return func(context.Context, string, mcp.Request) (mcp.Result, error) { panic("sending middleware") }
			})
			server.RemoveTools("echo")
			time.Sleep(time.Second)
		})
	})
}
