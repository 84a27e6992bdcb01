package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/session"
)

// The tests of this file show what docs/migrating.md says of code that leans on
// one process. Its other rows name tests elsewhere.

func TestServerResourceUpdatedReachesNobody(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		server := s.server()
		one := s.joinWith(t, server)
		c := s.session(t)
		subscribe(t, at(c, one.url), "news://a")
		events, received := messages(at(c, one.url).Get(t, "")), acknowledged(t, at(s.stateless(t), one.url), `1`, allNews)
		must(t, server.ResourceUpdated(t.Context(), &mcp.ResourceUpdatedNotificationParams{URI: "news://a"}))
		silent(t, events)
		silent(t, received)
		must(t, one.handler.ResourceUpdated(t.Context(), "news://a"))
		receives(t, events, updated("news://a"))
		receives(t, received, updatedFor(`1`, "news://a"))
	})
}

func TestServerSessionsAreTheRunningRequests(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		server := s.server()
		one := s.joinWith(t, server)
		sessions := func() int { return len(slices.Collect(server.Sessions())) }
		c := at(s.session(t), one.url)
		_ = messages(c.Get(t, ""))
		acknowledged(t, at(s.stateless(t), one.url), `1`, allNews)
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
		synctest.Wait()
		if n := sessions(); n != 1 { // that which hears of changes
			t.Errorf("with two open streams and no request there are %d", n)
		}
		go func() {
			_, _ = c.Do(t.Context(), "POST", fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`))
		}()
		s.runs(t, "w")
		if n := sessions(); n != 2 {
			t.Errorf("during a call there are %d", n)
		}
		s.open("w")
	})
}

// What can tell tells: an error, not silence.
func TestKeptServerSessionNamesWhatToUse(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2025-11-25", "2025-03-26", "HTTP+SSE", "2026-07-28"} {
		for name, opts := range map[string]*mcp.ServerOptions{"plain": nil, "KeepAlive": {KeepAlive: time.Minute}} {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				t.Parallel()
				var kept *mcp.ServerSession
				r := newRig(opts)
				r.more = func(s *mcp.Server) {
					tool(s, "keep", func(_ context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
						kept = req.Session
						return "kept", nil
					})
				}
				simulate(t, simulated{rig: r, wrap: withSSE}, func(t *testing.T, s *simulation) {
					switch protocol {
					case "HTTP+SSE":
						wantText(t, s.sse(t, 0, "").call(t, toolCall(1, "keep", "{}")), "kept")
					case "2026-07-28":
						c := s.stateless(t)
						wantText(t, c.Message(t, statelessCall(t, c, "keep", "{}")), "kept")
					default:
						c := s.client(t)
						c.Initialize(t, protocol, everyCapability)
						wantText(t, c.CallTool(t, "keep", "{}"), "kept")
					}
					synctest.Wait()
					wantUseless(t, kept, protocol)
					time.Sleep(10 * time.Minute) // whatever ends later has ended
					wantUseless(t, kept, protocol)
				})
			})
		}
	}
}

// wantUseless fails the test unless each method of the session fails with an error
// that says what to use.
func wantUseless(t *testing.T, kept *mcp.ServerSession, protocol string) {
	t.Helper()
	uses := map[string]func() error{
		"progress": func() error { return progress(t.Context(), kept, 1, "x") },
		"ping":     func() error { return kept.Ping(t.Context(), nil) },
		"elicit": func() error {
			_, err := kept.Elicit(t.Context(), &mcp.ElicitParams{Message: "?"})
			return err
		},
		"sampling": func() error {
			_, err := kept.CreateMessage(t.Context(), &mcp.CreateMessageParams{MaxTokens: 1})
			return err
		},
		"log": func() error {
			return kept.Log(t.Context(), &mcp.LoggingMessageParams{Level: "error", Data: "x"})
		},
	}
	if protocol == "2026-07-28" {
		delete(uses, "log") // there, only a request that asks for them gets log messages
	}
	for what, use := range uses {
		err := use()
		if err == nil || !strings.Contains(err.Error(), "keep its ID and use Notify of fleet.Handler or fleet.Notifier") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestGetServerIsCalledForEachRequest(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		var calls atomic.Int64
		server := s.server()
		one := s.joinServing(t, simulated{wrap: bearer}, func(*http.Request) *mcp.Server {
			calls.Add(1)
			return server
		})
		c := at(s.client(t), one.url)
		c.Header.Set("Authorization", "Bearer alice")
		c.Initialize(t, "2025-11-25", "{}") // two messages
		for range 3 {
			c.CallTool(t, "echo", "{}")
		}
		if n := calls.Load(); n != 5 {
			t.Errorf("for five messages it was called %d times", n)
		}
		stream := c.Get(t, "")
		stream.Close()
		if n := calls.Load(); n != 6 {
			t.Errorf("for a GET it was called %d times", n-5)
		}
		stateless := at(s.stateless(t), one.url)
		stateless.Header.Set("Authorization", "Bearer alice")
		statelessCall(t, stateless, "echo", "{}")
		stateless.Post(t, statelessBody(1, "tools/list", "{}"), named("tools/list", ""))
		acknowledged(t, stateless, `1`, `{"toolsListChanged":true}`)
		if n := calls.Load(); n != 9 {
			t.Errorf("for three messages of 2026-07-28 it was called %d times", n-6)
		}
	})
}

// They come from the bus, not from the server.
func TestSendingMiddlewareDoesNotSeeAnnouncements(t *testing.T) {
	t.Parallel()
	r := newsRig()
	var mu sync.Mutex
	var sent []string
	more := r.more
	r.more = func(s *mcp.Server) {
		more(s)
		s.AddSendingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				mu.Lock()
				sent = append(sent, method)
				mu.Unlock()
				return next(ctx, method, req)
			}
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		subscribe(t, c, "news://a")
		events := messages(c.Get(t, ""))
		h := s.instances[0].handler
		must(t, h.ResourceUpdated(t.Context(), "news://a"))
		must(t, h.ToolsChanged(t.Context()))
		must(t, h.Notify(t.Context(), c.Session, "notifications/weather", nil))
		for range 3 {
			soon(t, events)
		}
		wantText(t, c.CallTool(t, "aside", `{"text":"x"}`), "said")
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(sent, []string{"notifications/progress"}) {
			t.Errorf("it saw %q", sent)
		}
	})
}

// A map in the process has what this process has seen.
func TestStateOfASessionIsKeptInValues(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		var urls []string
		for range 3 {
			inProcess := map[string]int{}
			server := s.server()
			instance := s.joinWith(t, server)
			counts := session.NewValues[int](instance.handler.Sessions(), "count")
			tool(server, "next", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
				id := req.Session.ID()
				inProcess[id]++
				n, err := counts.Update(ctx, id, func(n int) (int, error) { return n + 1, nil })
				return fmt.Sprint(inProcess[id], " ", n), err
			})
			urls = append(urls, instance.url)
		}
		c := s.session(t)
		for i := range 9 {
			wantText(t, at(c, urls[i%3]).CallTool(t, "next", "{}"), fmt.Sprint(1+i/3, " ", i+1))
		}
	})
}

// A ticker for a client belongs where its stream is, and as long as it is there.
func TestTickerOfASessionRunsInOnStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		opened := make(chan watched, 10)
		a, b := s.joinWatching(t, opened, ""), s.joinWatching(t, opened, "")
		tick := func(w watched) {
			for n := 1; ; n++ {
				select {
				case <-time.After(10 * time.Second):
					_ = w.stream.Notify(w.ctx, "notifications/tick", map[string]int{"n": n, "instance": w.instance})
				case <-w.ctx.Done():
					return
				}
			}
		}
		c := s.session(t)
		last := ""
		for _, instance := range []*simulatedInstance{a, b, a} {
			stream := at(c, instance.url).Get(t, last)
			events := messages(stream)
			w := soon(t, opened)
			go tick(w)
			for n := 1; n <= 3; n++ {
				receives(t, events, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/tick","params":{"instance":%d,"n":%d}}`, w.instance, n))
			}
			stream.Close()
			w.left(t)
			last = stream.Last
		}
	})
}

func TestLargeIntegersOfTypedToolsAreRoundedByTheSDK(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		mcp.AddTool(s, &mcp.Tool{Name: "typed"}, func(_ context.Context, _ *mcp.CallToolRequest, in struct {
			N int64  `json:"n"`
			S string `json:"s"`
		}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint(in.N, " ", in.S)}}}, nil, nil
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		const arguments = `{"n":9007199254740993,"s":"9007199254740993"}`
		wantText(t, s.session(t).CallTool(t, "typed", arguments), "9007199254740992 9007199254740993")
		c := s.stateless(t)
		wantText(t, c.Message(t, statelessCall(t, c, "typed", arguments)), "9007199254740992 9007199254740993")
	})
}
