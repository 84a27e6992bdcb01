package mcp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// An icon may be an image. What clients may say of themselves is for all protocol
// versions the same.
func TestAClientWithALargeIconConnects(t *testing.T) {
	t.Parallel()
	const client = `{"name":"n","title":"t","version":"v","websiteUrl":"https://client.example","icons":[{"src":"data:image/png;base64,%s","mimeType":"image/png"}]}`
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "client", func(_ context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			p := req.Session.InitializeParams()
			return fmt.Sprint(p.ClientInfo.Name, p.ClientInfo.Title, p.ClientInfo.Version, p.ClientInfo.WebsiteURL, " ", len(p.ClientInfo.Icons), " ", p.Capabilities.Elicitation != nil), nil
		})
	}
	for _, test := range []struct {
		icon  int
		icons int // that handlers see in sessions
	}{{100, 1}, {17 << 10, 0}, {3 << 20, 0}} {
		info := fmt.Sprintf(client, strings.Repeat("A", test.icon))
		initialize := func(version string) string {
			return fleettest.Request(1, "initialize", fmt.Sprintf(`{"protocolVersion":%q,"capabilities":%s,"clientInfo":%s,"_meta":{"x":1}}`, version, everyCapability, info))
		}
		want := fmt.Sprint("ntvhttps://client.example ", test.icons, " true")
		simulate(t, simulated{rig: r, wrap: withSSE}, func(t *testing.T, s *simulation) {
			for _, version := range sessionVersions {
				c := s.client(t)
				res := c.Post(t, initialize(version))
				if res.StatusCode != 200 {
					t.Fatalf("%s: %+v", version, read(t, res))
				}
				c.Session, c.Version = res.Header.Get("Mcp-Session-Id"), version
				c.Notify(t, "notifications/initialized", "{}")
				for _, i := range s.instances {
					wantText(t, at(c, i.url).CallTool(t, "client", "{}"), want)
				}
			}
			old := openSSE(t, at(s.client(t), s.instances[0].url), "").at(balancer)
			if m := old.call(t, initialize("2024-11-05")); m.Result == nil {
				t.Fatalf("HTTP+SSE: %s", m.Error)
			}
			for _, i := range s.instances {
				wantText(t, old.at(i.url).call(t, toolCall(1, "client", "{}")), want)
			}
			stateless := strings.Replace(statelessBody(1, "tools/call", `{"name":"client","arguments":{}}`), `{"name":"raw","version":"1"}`, info, 1)
			for _, i := range s.instances {
				c := at(s.stateless(t), i.url)
				wantText(t, c.Message(t, c.Post(t, stateless, named("tools/call", "client"))), "ntvhttps://client.example 1 true")
			}
			for _, k := range redistest.Keys(t, s.redis.Client(t), s.prefix) {
				if n, err := s.redis.Client(t).Do(t.Context(), s.redis.Client(t).B().Hstrlen().Key(k.Name).Field("params").Build()).AsInt64(); err == nil && n > 16<<10 {
					t.Errorf("%s has parameters of %d bytes", k.Name, n)
				}
			}
		})
	}
}
