package mcp_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

const bom = "\ufeff"

func TestEncodedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		sessions, batches, old, stateless := s.session(t), s.batching(t), s.sse(t, 0, ""), s.stateless(t)
		want := errorResponse(415, "null", -32000, "Content-Encoding must be identity")
		ping := fleettest.Request(1, "ping", "{}")
		for _, i := range s.instances {
			for _, coding := range []string{"gzip", "br", "deflate", "identity, gzip", "GZip", "no-such"} {
				for name, c := range map[string]*fleettest.Client{
					"a session": at(sessions, i.url), "initialize": at(s.client(t), i.url), "an SSE session": old.at(i.url).Client,
				} {
					body := ping
					if name == "initialize" {
						body = initializeBody
					}
					res := c.Post(t, body, set("Content-Encoding", coding))
					if accepts := res.Header.Get("Accept-Encoding"); accepts != "identity" {
						t.Errorf("%s: Accept-Encoding %q", name, accepts)
					}
					if diff := cmp.Diff(want, read(t, res)); diff != "" {
						t.Errorf("%s, %s: (-want +got)\n%s", name, coding, diff)
					}
				}
				if diff := cmp.Diff(want, read(t, at(batches, i.url).Post(t, array(ping), set("Content-Encoding", coding)))); diff != "" {
					t.Errorf("a batch, %s: (-want +got)\n%s", coding, diff)
				}
				if diff := cmp.Diff(want, read(t, statelessCall(t, at(stateless, i.url), "echo", "{}", set("Content-Encoding", coding)))); diff != "" {
					t.Errorf("2026-07-28, %s: (-want +got)\n%s", coding, diff)
				}
			}
			if diff := cmp.Diff(pong, read(t, at(sessions, i.url).Post(t, ping, set("Content-Encoding", "Identity")))); diff != "" {
				t.Errorf("identity: (-want +got)\n%s", diff)
			}
		}
	})
}

// RFC 8259, section 8.1.
func TestAByteOrderMarkIsIgnored(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		sessions, batches, old, stateless := s.session(t), s.batching(t), s.sse(t, 0, ""), s.stateless(t)
		ping := fleettest.Request(1, "ping", "{}")
		for _, i := range s.instances {
			if diff := cmp.Diff(pong, read(t, at(sessions, i.url).Post(t, bom+ping))); diff != "" {
				t.Errorf("a session: (-want +got)\n%s", diff)
			}
			if got := read(t, at(s.client(t), i.url).Post(t, bom+initializeBody)); got.Status != 200 {
				t.Errorf("initialize: %+v", got)
			}
			if got := read(t, at(batches, i.url).Post(t, bom+array(ping))); got.Status != 200 || !strings.Contains(got.Body, `"result":{}`) {
				t.Errorf("a batch: %+v", got)
			}
			if m := old.at(i.url).call(t, bom+ping); string(m.Result) != "{}" {
				t.Errorf("an SSE session: %s %s", m.Result, m.Error)
			}
			body := statelessBody(1, "tools/call", `{"name":"echo","arguments":{"text":"hi"}}`)
			if got := read(t, at(stateless, i.url).Post(t, bom+body, named("tools/call", "echo"))); got.Status != 200 || !strings.Contains(got.Body, "hi") {
				t.Errorf("2026-07-28: %+v", got)
			}
			if got := read(t, at(sessions, i.url).Post(t, bom+bom+ping)); got.Status != 400 {
				t.Errorf("two of them: %+v", got)
			}
		}
	})
}
