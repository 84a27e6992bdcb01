package mcp_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// statelessNotification is a notification of protocol 2026-07-28; params are its other
// params, with a comma behind them.
func statelessNotification(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":{%s"_meta":{%s}}}`, method, params, statelessMeta)
}

// What a well-behaved client does is no error of the operator's: neither our log has
// one, nor that of the SDK's server.
func TestWellBehavedClientsLogNoError(t *testing.T) {
	t.Parallel()
	for what, use := range map[string]func(*testing.T, *simulation){
		"a session": func(t *testing.T, s *simulation) {
			c := s.session(t)
			for method, params := range map[string]string{
				"ping": "{}", "tools/list": "{}", "prompts/list": "{}", "resources/list": "{}",
				"prompts/get": `{"name":"p"}`, "resources/read": `{"uri":"news://a"}`, "logging/setLevel": `{"level":"info"}`,
			} {
				if m := c.Call(t, method, params); m.Error != nil {
					t.Errorf("%s: %s", method, m.Error)
				}
			}
			subscribe(t, c, "news://a")
			c.Call(t, "resources/unsubscribe", `{"uri":"news://a"}`)
			c.Call(t, "no/such", "{}")
			running := c.Post(t, toolCall("long", "wait", `{"name":"long"}`))
			s.runs(t, "long")
			c.Notify(t, "notifications/cancelled", `{"requestId":"long"}`)
			read(t, running)
			c.Notify(t, "notifications/progress", `{"progressToken":"x","progress":1}`)
			c.Notify(t, "notifications/roots/list_changed", "{}")
			everyVerb(t, c)
		},
		"HTTP+SSE": func(t *testing.T, s *simulation) {
			c := s.sse(t, 0, "")
			wantText(t, c.call(t, toolCall(1, "echo", `{"text":"hi"}`)), "hi")
			accepts(t, c.Client, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
			accepts(t, c.Client, notification)
		},
		"2026-07-28": func(t *testing.T, s *simulation) {
			c := s.stateless(t)
			for _, method := range []string{"server/discover", "tools/list", "prompts/list", "resources/list", "no/such"} {
				c.Message(t, c.Post(t, statelessBody(1, method, "{}"), named(method, "")))
			}
			wantText(t, c.Message(t, statelessCall(t, c, "echo", `{"text":"hi"}`)), "hi")
			for _, n := range []string{
				statelessNotification("notifications/cancelled", `"requestId":1,`),
				statelessNotification("notifications/cancelled", ""),
				statelessNotification("notifications/progress", `"progressToken":"x","progress":1,`),
				statelessNotification("notifications/roots/list_changed", ""),
				statelessNotification("notifications/initialized", ""), // some clients say so in any protocol
				statelessNotification("notifications/of_their_own", ""),
				`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
			} {
				accepts(t, c, n)
			}
			wantText(t, c.Message(t, statelessCall(t, c, "count", `{"n":3}`)), "3")
			events := fleettest.NewStream(c.Post(t, statelessBody(2, "subscriptions/listen", `{"notifications":`+allNews+`}`), named("subscriptions/listen", "")))
			events.Message(t)
			events.Close()
			q := &rounded{method: "tools/call", name: "ask", params: `{"name":"ask","arguments":{"name":"form"}`}
			got := q.send(t, c, "", "")
			if got = q.send(t, c, got.RequestState, got.answers()); got.ResultType != "complete" {
				t.Errorf("the end is %s%s", got.Result, got.Error)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			log := &safeBuffer{}
			r := newsRig()
			r.opts.Logger = slog.New(slog.NewTextHandler(log, nil))
			simulate(t, simulated{rig: r, wrap: withSSE, options: logTo(log)}, func(t *testing.T, s *simulation) {
				use(t, s)
				synctest.Wait()
			})
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "level=ERROR") {
					t.Error(line)
				}
			}
		})
	}
}
