package mcp_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/nginxtest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// begins fails the test unless the response is a stream that begins with a
// comment, which comes with its headers.
func begins(t testing.TB, what string, res *http.Response) {
	t.Helper()
	begun := time.Now()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if took := time.Since(begun); res.StatusCode != 200 || !strings.HasPrefix(line, ":") || took != 0 {
		t.Errorf("%s: status %d, begins with %q (%v) after %v; want a comment at once", what, res.StatusCode, line, err, took)
	}
	_ = res.Body.Close()
}

// sessionVersions are the protocol versions that have sessions.
var sessionVersions = []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}

// Some proxies hold the headers back until there is a body.
func TestEveryStreamBeginsWithAComment(t *testing.T) {
	t.Parallel()
	waits := func(id string) string { return fmt.Sprintf(`{"name":"wait","arguments":{"name":%q}}`, id) }
	for _, version := range sessionVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{options: func(o *fleet.Options) { o.RedisTimeout = time.Second }}, func(t *testing.T, s *simulation) {
				c := s.client(t)
				c.Initialize(t, version, everyCapability)
				ids := streamed(t, c, "7", 1)
				begins(t, "a standalone stream", c.Get(t, "").Response)
				begins(t, "a resumed call", c.Get(t, ids[0]).Response)
				begins(t, "a lost call", c.Get(t, strings.Split(ids[0], ".")[0]+".9.AAAAAA").Response)
				begins(t, "a lost standalone stream", c.Get(t, "g.9.AAAAAA").Response)
				begins(t, "a call", c.Post(t, fleettest.Request(1, "tools/call", waits("call"))))
				if version == "2025-03-26" {
					begins(t, "a batch", c.Post(t, "["+fleettest.Request(2, "tools/call", waits("batch"))+"]"))
				}
				for _, i := range s.instances {
					i.link.Cut()
				}
				begins(t, "a stream that waits for Redis", c.Get(t, "").Response)
			})
		})
	}
	t.Run("HTTP+SSE", func(t *testing.T) {
		t.Parallel()
		simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
			begins(t, "a session", at(s.client(t), s.instances[0].url+"sse").Get(t, "").Response)
		})
	})
	t.Run(statelessVersion, func(t *testing.T) {
		t.Parallel()
		simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
			c := s.stateless(t)
			begins(t, "a listener", listen(t, c, "1", allNews).Response)
			begins(t, "a call", statelessCall(t, c, "wait", `{"name":"call"}`))
		})
	})
}

// nginx with HTTP/2 to the client sends the headers of a response with its first
// byte. The keep-alive, which would be one, is out of reach here.
func TestClientsBehindNginxConnectAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	f := fleettest.Start(t, fleettest.Config{Server: r.server, Options: func(o *fleet.Options) { o.KeepAlive = time.Hour }})
	var backends []string
	for _, i := range f.Instances {
		u, err := url.Parse(i.URL)
		must(t, err)
		backends = append(backends, u.Host)
	}
	proxy := nginxtest.Start(t, "", backends...)
	for _, version := range append([]string{statelessVersion}, sessionVersions...) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
			cs, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: proxy.URL, HTTPClient: proxy.Client(t)},
				&mcp.ClientSessionOptions{ProtocolVersion: version})
			must(t, err)
			defer func() { _ = cs.Close() }()
			res, err := cs.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": "hi"}})
			must(t, err)
			if got := res.Content[0].(*mcp.TextContent).Text; got != "hi" {
				t.Errorf("the tool said %q", got)
			}
		})
	}
}
