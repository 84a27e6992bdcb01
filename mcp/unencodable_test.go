package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/session"
)

// unencodable is what a handler says to its client, and JSON cannot express. Each
// returns the error that it got.
var unencodable = map[string]func(context.Context, *mcp.ServerSession) error{
	"elicitation": func(ctx context.Context, ss *mcp.ServerSession) error {
		_, err := ss.Elicit(ctx, &mcp.ElicitParams{Message: "?", RequestedSchema: map[string]any{"type": "object", "c": make(chan int)}})
		return err
	},
	"elicitation, raw": func(ctx context.Context, ss *mcp.ServerSession) error {
		_, err := ss.Elicit(ctx, &mcp.ElicitParams{Message: "?", RequestedSchema: json.RawMessage(`{"type":`)})
		return err
	},
	"elicitation, meta": func(ctx context.Context, ss *mcp.ServerSession) error {
		_, err := ss.Elicit(ctx, &mcp.ElicitParams{Message: "?", Meta: mcp.Meta{"n": math.NaN()}})
		return err
	},
	"sampling": func(ctx context.Context, ss *mcp.ServerSession) error {
		_, err := ss.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1, Metadata: map[string]any{"n": math.Inf(1)}})
		return err
	},
	"sampling, content": func(ctx context.Context, ss *mcp.ServerSession) error {
		text := &mcp.TextContent{Text: "x", Annotations: &mcp.Annotations{Priority: math.NaN()}}
		_, err := ss.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1, Messages: []*mcp.SamplingMessage{{Role: "user", Content: text}}})
		return err
	},
	"sampling, temperature": func(ctx context.Context, ss *mcp.ServerSession) error {
		_, err := ss.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1, Temperature: math.NaN()})
		return err
	},
	"roots": func(ctx context.Context, ss *mcp.ServerSession) error {
		_, err := ss.ListRoots(ctx, &mcp.ListRootsParams{Meta: mcp.Meta{"f": func() {}}})
		return err
	},
	"progress": func(ctx context.Context, ss *mcp.ServerSession) error {
		return ss.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p", Progress: math.NaN()})
	},
	"progress, token": func(ctx context.Context, ss *mcp.ServerSession) error {
		return ss.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: make(chan int), Progress: 1})
	},
	"log": func(ctx context.Context, ss *mcp.ServerSession) error {
		return ss.Log(ctx, &mcp.LoggingMessageParams{Level: "error", Data: make(chan int)})
	},
	"log, raw": func(ctx context.Context, ss *mcp.ServerSession) error {
		return ss.Log(ctx, &mcp.LoggingMessageParams{Level: "error", Data: json.RawMessage("")})
	},
}

func unencodableRig() *rig {
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "say", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
			if err := unencodable[a.Name](ctx, req.Session); err != nil {
				return "failed: " + err.Error(), nil
			}
			return "said", nil
		})
		s.AddTool(&mcp.Tool{Name: "input", InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				var a toolArguments
				if err := json.Unmarshal(req.Params.Arguments, &a); err != nil {
					return nil, err
				}
				return &mcp.CallToolResult{InputRequests: inputRequests[a.Name]}, nil
			})
	}
	return r
}

// inputRequests are what a handler may return to have its client asked.
var inputRequests = map[string]mcp.InputRequestMap{
	"channel": {"q": &mcp.ElicitParams{Message: "?", RequestedSchema: map[string]any{"type": "object", "c": make(chan int)}}},
	"NaN":     {"q": &mcp.CreateMessageParams{MaxTokens: 1, Temperature: math.NaN()}},
	"nil":     {"q": nil},
}

func nilInputRequest() *rig {
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		s.AddTool(&mcp.Tool{Name: "nil", InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"q": (*mcp.CreateMessageParams)(nil)}}, nil
			})
	}
	return r
}

// In sessions it ends the process: see TestPanicsThatNoMiddlewareReaches.
func TestANilAmongInputRequestsIsTheCallsError(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: nilInputRequest()}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		if m := c.Message(t, statelessCall(t, c, "nil", "{}")); !strings.HasPrefix(string(m.Error), `{"code":-32603,`) {
			t.Errorf("%s%s", m.Result, m.Error)
		}
	})
}

// The handler is told, and goes on: it does not wait for an answer to what was not
// asked.
func TestWhatCannotBeEncodedIsTheHandlersError(t *testing.T) {
	t.Parallel()
	every := func(t *testing.T, call func(tool, name string) *jsonrpcmsg.Message) {
		t.Helper()
		for name := range unencodable {
			began := time.Now()
			if got := text(t, call("say", name)); !strings.HasPrefix(got, "failed: ") {
				t.Errorf("%s: %s", name, got)
			}
			if took := time.Since(began); took > atOnce {
				t.Errorf("%s: answered after %v", name, took)
			}
		}
		for name := range inputRequests {
			began := time.Now()
			if m := call("input", name); m.Error == nil || !strings.HasPrefix(string(m.Error), `{"code":-32603,`) {
				t.Errorf("%s: %s%s", name, m.Result, m.Error)
			}
			if took := time.Since(began); took > atOnce {
				t.Errorf("%s: answered after %v", name, took)
			}
		}
	}
	for _, version := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: unencodableRig()}, func(t *testing.T, s *simulation) {
				c := s.client(t)
				c.Initialize(t, version, everyCapability)
				c.Call(t, "logging/setLevel", `{"level":"debug"}`)
				every(t, func(tool, name string) *jsonrpcmsg.Message {
					return c.CallTool(t, tool, fmt.Sprintf(`{"name":%q}`, name))
				})
			})
		})
	}
	t.Run("HTTP+SSE", func(t *testing.T) {
		t.Parallel()
		simulate(t, simulated{rig: unencodableRig(), wrap: withSSE}, func(t *testing.T, s *simulation) {
			c := s.sse(t, 0, "")
			c.call(t, fleettest.Request(1, "logging/setLevel", `{"level":"debug"}`))
			every(t, func(tool, name string) *jsonrpcmsg.Message {
				return c.call(t, toolCall(1, tool, fmt.Sprintf(`{"name":%q}`, name)))
			})
		})
	})
	t.Run("2026-07-28", func(t *testing.T) {
		t.Parallel()
		simulate(t, simulated{rig: unencodableRig()}, func(t *testing.T, s *simulation) {
			c := s.stateless(t)
			every(t, func(tool, name string) *jsonrpcmsg.Message {
				const meta = `"io.modelcontextprotocol/logLevel":"debug",`
				body := strings.Replace(statelessBody(1, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":{"name":%q}}`, tool, name)), `"_meta":{`, `"_meta":{`+meta, 1)
				return c.Message(t, c.Post(t, body, named("tools/call", tool)))
			})
		})
	})
}

// What is said outside of calls fails as well, and is stored nowhere.
func TestWhatCannotBeEncodedIsNotStored(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		h := s.instances[0].handler
		for _, v := range []any{math.NaN(), make(chan int), json.RawMessage("{"), map[string]any{"f": func() {}}} {
			if err := h.Notify(t.Context(), c.Session, "notifications/x", map[string]any{"v": v}); err == nil {
				t.Errorf("Notify with a %T: no error", v)
			}
			_, err := session.NewValues[any](h.Sessions(), "v").Update(t.Context(), c.Session, func(any) (any, error) { return v, nil })
			if err == nil {
				t.Errorf("Update with a %T: no error", v)
			}
		}
		wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
	})
}
