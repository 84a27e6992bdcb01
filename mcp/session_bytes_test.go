package mcp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// Gateways share one session among many users: as many of its calls may ask
// something as may run.
func TestEveryRunningCallMayHaveAStream(t *testing.T) {
	t.Parallel()
	const calls = 64
	for _, version := range versionsWithSessions {
		if version == "2024-11-05+sse" {
			continue // one stream for all of them
		}
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{}, func(t *testing.T, s *simulation) {
				c := s.client(t)
				c.Initialize(t, version, everyCapability)
				var open []serverRequest
				for i := range calls {
					for n, instance := range s.instances { // each of them may run so many
						open = append(open, askedBy(t, at(c, instance.url), 1000*n+i, "form"))
					}
				}
				for i, q := range open {
					accepts(t, at(c, s.instances[i/2%2].url), responseTo(q.ID, fmt.Sprint(i)))
					wantText(t, q.stream.Message(t), "accept"+fmt.Sprint(i))
				}
			})
		})
	}
}

// A client is told that its response could not be stored, with the id of its call.
func TestAResponseThatItsSessionMayNotStoreIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "tell", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
			return a.Text, progress(ctx, req.Session, 1, "soon")
		})
	}
	simulate(t, simulated{rig: r, wrap: withSSE, options: func(o *fleet.Options) { o.MaxSessionBytes = 50_000 }}, func(t *testing.T, s *simulation) {
		large := fmt.Sprintf(`{"name":"form","text":%q}`, strings.Repeat("x", 60_000))
		c := s.session(t)
		stream := fleettest.NewStream(c.Post(t, toolCall(7, "tell", large)))
		if m := stream.Message(t); m.Method != "notifications/progress" {
			t.Errorf("the stream begins with %s %s %.100s", m.ID, m.Error, m.Result)
		}
		if m := stream.Message(t); string(m.ID) != "7" || !strings.Contains(string(m.Error), "too much is stored") {
			t.Errorf("got %s %s %.100s", m.ID, m.Error, m.Result)
		}
		old := s.sse(t, 0, "")
		for _, instance := range s.instances {
			accepts(t, old.at(instance.url).Client, toolCall(8, "echo", large))
			if m := old.next(t); string(m.ID) != "8" || !strings.Contains(string(m.Error), "too much is stored") {
				t.Errorf("got %s %s %.100s", m.ID, m.Error, m.Result)
			}
		}
	})
}
