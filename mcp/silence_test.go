package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// joinLogged adds an instance, and returns what counts the warnings of a call of the
// SDK that reaches nobody.
func (s *simulation) joinLogged(t testing.TB, getServer func(*http.Request) *mcp.Server) (i *simulatedInstance, warnings func(call string) int) {
	t.Helper()
	log := &safeBuffer{}
	i = s.joinServing(t, simulated{wrap: withSSE, options: logTo(log)}, getServer)
	return i, func(call string) (n int) {
		time.Sleep(time.Second) // the SDK waits before it tells
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "reaches nobody") && strings.Contains(line, call) {
				n++
				if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "server=rig") || !strings.Contains(line, "instead=") {
					t.Errorf("the line is %s", line)
				}
			}
		}
		return n
	}
}

func TestServerResourceUpdatedIsWarnedOf(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig(), wrap: withSSE}, func(t *testing.T, s *simulation) {
		server := s.server()
		one, warnings := s.joinLogged(t, func(*http.Request) *mcp.Server { return server })
		c := at(s.session(t), one.url)
		updates := func(uri string, want int) {
			t.Helper()
			must(t, server.ResourceUpdated(t.Context(), &mcp.ResourceUpdatedNotificationParams{URI: uri}))
			if n := warnings("Server.ResourceUpdated"); n != want {
				t.Errorf("after an update of %s: %d warnings, want %d", uri, n, want)
			}
		}
		wantText(t, c.CallTool(t, "echo", "{}"), "")
		if m := c.Call(t, "resources/subscribe", `{"uri":"news://refused"}`); m.Error == nil {
			t.Error("it is not refused")
		}
		subscribe(t, c, "news://a", "news://a", "news://b")
		updates("news://nobody", 0) // which is as with the SDK's handler
		updates("news://refused", 0)
		must(t, one.handler.ResourceUpdated(t.Context(), "news://a")) // ours
		if n := warnings("Server.ResourceUpdated"); n != 0 {
			t.Errorf("of our own call: %d warnings", n)
		}
		updates("news://b", 1)
		updates("news://b", 1)
		updates("news://a", 1)
		subscribe(t, c, "news://c")
		updates("news://c", 1)
	})
}

// As many resources as there may be, and as little as possible of each stays.
func TestFewSessionsStayToNoticeUpdates(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		server := s.server()
		one, _ := s.joinLogged(t, func(*http.Request) *mcp.Server { return server })
		c := at(s.session(t), one.url)
		wantText(t, c.CallTool(t, "echo", "{}"), "")
		full := s.session(t)
		for i := range 1000 {
			subscribe(t, at(full, s.instances[0].url), fmt.Sprint("news://", i))
		}
		if m := at(full, one.url).Call(t, "resources/subscribe", `{"uri":"news://unstored"}`); m.Error == nil {
			t.Error("one too many is confirmed")
		}
		time.Sleep(time.Second)
		if n := len(slices.Collect(server.Sessions())); n != 1 {
			t.Errorf("%d sessions stay for a subscription that was not stored", n)
		}
		for i := range 30 {
			subscribe(t, c, "news://"+strings.Repeat("x", 1+i%15))
		}
		time.Sleep(time.Second)
		n := 0
		for ss := range server.Sessions() {
			n++
			if err := ss.Ping(t.Context(), nil); err == nil {
				t.Error("a session that stays responds")
			}
		}
		if n != 9 { // and that which hears of changes
			t.Errorf("%d sessions stay", n)
		}
	})
}

func TestChangesOfUnwatchedListsAreWarnedOf(t *testing.T) {
	t.Parallel()
	for name, feature := range features {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
				var latest *mcp.Server
				one, warnings := s.joinLogged(t, func(*http.Request) *mcp.Server {
					latest = s.server()
					return latest
				})
				c := at(s.session(t), one.url)
				stateless := at(s.stateless(t), one.url)
				during := func(call func(), gate string) {
					t.Helper()
					done := make(chan struct{})
					go func() {
						defer close(done)
						call()
					}()
					s.runs(t, gate)
					feature.add(latest)
					if n := warnings("AddTool"); n != 1 {
						t.Errorf("%s: %d warnings", gate, n)
					}
					s.open(gate)
					soon(t, done)
				}
				during(func() { c.CallTool(t, "wait", `{"name":"first"}`) }, "first")
				during(func() { c.CallTool(t, "wait", `{"name":"again"}`) }, "again")
				during(func() {
					_, _ = stateless.Do(t.Context(), "POST", statelessBody(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`), named("tools/call", "wait"))
				}, "w")
			})
		})
	}
}

func TestChangesOfWatchedListsAreNotWarnedOf(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		server := s.server()
		one, warnings := s.joinLogged(t, func(*http.Request) *mcp.Server { return server })
		c := at(s.session(t), one.url)
		wantText(t, c.CallTool(t, "echo", "{}"), "")
		response := make(chan *jsonrpcmsg.Message, 1)
		go func() { response <- c.CallTool(t, "wait", `{"name":"w"}`) }()
		s.runs(t, "w")
		for _, feature := range features {
			feature.add(server)
		}
		if n := warnings(""); n != 0 {
			t.Errorf("%d warnings", n)
		}
		s.open("w")
		wantText(t, soon(t, response), "went on")
	})
}

func TestAKeptServerSessionIsWarnedOf(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2025-11-25", "2025-03-26", "HTTP+SSE", statelessVersion} {
		for what, use := range map[string]func(context.Context, *mcp.ServerSession) error{
			"progress": func(ctx context.Context, ss *mcp.ServerSession) error { return progress(ctx, ss, 1, "late") },
			"ping":     func(ctx context.Context, ss *mcp.ServerSession) error { return ss.Ping(ctx, nil) },
		} {
			t.Run(protocol+"/"+what, func(t *testing.T) {
				t.Parallel()
				r := newRig(nil)
				var kept *mcp.ServerSession
				r.more = func(s *mcp.Server) {
					tool(s, "keep", func(_ context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
						kept = req.Session
						return "kept", nil
					})
				}
				simulate(t, simulated{rig: r, wrap: withSSE}, func(t *testing.T, s *simulation) {
					server := s.server()
					one, warnings := s.joinLogged(t, func(*http.Request) *mcp.Server { return server })
					for range 3 {
						switch c := s.client(t); protocol {
						case "HTTP+SSE":
							wantText(t, s.sse(t, 0, "").at(one.url).call(t, toolCall(1, "keep", "{}")), "kept")
						case statelessVersion:
							c = at(s.stateless(t), one.url)
							wantText(t, c.Message(t, statelessCall(t, c, "keep", "{}")), "kept")
						default:
							c = at(c, one.url)
							c.Initialize(t, protocol, everyCapability)
							wantText(t, c.CallTool(t, "keep", "{}"), "kept")
						}
					}
					// What the SDK says to sessions that have ended is nobody's mistake.
					for _, feature := range features {
						feature.add(server)
					}
					if n := warnings("*ServerSession"); n != 0 {
						t.Errorf("before it is used: %d warnings", n)
					}
					for range 2 {
						if err := use(t.Context(), kept); err == nil {
							t.Error("it can be used")
						}
						if n := warnings("*ServerSession"); n != 1 {
							t.Errorf("%d warnings", n)
						}
					}
				})
			})
		}
	}
}
