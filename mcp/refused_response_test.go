package mcp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// An asked client has been sent a server request, whose raw id is %s in the bodies
// below.
type askedClient struct {
	client *fleettest.Client // its URL is the endpoint for messages
	id     string
	result func(t testing.TB) string // waits for what the tool said
}

// askOn has a tool ask a client of each protocol version with sessions, which is
// called on one instance and answers on another.
func askOn(t *testing.T, s *simulation, version string, n int, ask func(askedClient)) {
	t.Helper()
	asks, answers := s.instances[n%2], s.instances[(n/2)%2]
	if version == "2024-11-05+sse" {
		c := s.sse(t, (n+1)%2, "")
		accepts(t, c.at(asks.url).Client, toolCall(1, "ask", `{"name":"form"}`))
		q := c.next(t)
		ask(askedClient{c.at(answers.url).Client, string(q.ID), func(t testing.TB) string { return said(t, c.next(t)) }})
		return
	}
	c := s.client(t)
	c.Initialize(t, version, everyCapability)
	q := asked(t, at(c, asks.url), "form")
	ask(askedClient{at(c, answers.url), string(q.ID), func(t testing.TB) string { return said(t, q.stream.Message(t)) }})
}

// said returns what a tool said, or the error that it failed with.
func said(t testing.TB, m *jsonrpcmsg.Message) string {
	t.Helper()
	if m.Error != nil {
		return string(m.Error)
	}
	return text(t, m)
}

var versionsWithSessions = []string{"2024-11-05+sse", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}

// These are taken by the SDK's own clients and servers, and sent by some of others.
func TestResponsesWithNullFields(t *testing.T) {
	t.Parallel()
	for _, version := range versionsWithSessions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
				for n := range 4 {
					for body, want := range map[string]string{
						`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"answer":"yes"}},"error":null}`:             "acceptyes",
						`{"jsonrpc":"2.0","id":%s,"method":null,"result":{"action":"accept","content":{"answer":"yes"}}}`:            "acceptyes",
						`{"error":null,"method":null,"params":null,"result":{"action":"decline"},"jsonrpc":"2.0","id":%s}`:           "decline",
						`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"the user left"},"result":null}`:                      "the user left",
						`{"jsonrpc":"2.0","id":%s,"method":null,"error":{"code":-1,"message":"the user left"},"result":null}`:        "the user left",
						`{"jsonrpc":"2.0","id":%s,"error":{"code":9007199254740993,"message":"the user left","data":{}}}`:            "the user left",
						`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"the user left","extra":[]},"result":null,"more":{}}`: "the user left",
					} {
						askOn(t, s, version, n, func(q askedClient) {
							accepts(t, q.client, fmt.Sprintf(body, q.id))
							if got := q.result(t); !strings.Contains(got, want) {
								t.Errorf("%s: the tool said %q", body, got)
							}
						})
					}
				}
			})
		})
	}
}

// A client that has answered does not answer again: what cannot be used fails the
// request that it answers, and does not leave it waiting.
func TestARefusedResponseFailsItsRequest(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	large := strings.Repeat("x", limit)
	for _, version := range versionsWithSessions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{wrap: withSSE, options: func(o *fleet.Options) { o.MaxBody = limit }}, func(t *testing.T, s *simulation) {
				for body, status := range map[string]int{
					`{"jsonrpc":"2.0","id":%s,"error":"the user left"}`:                          400,
					`{"jsonrpc":"2.0","id":%s,"error":{"code":1.5,"message":"m"}}`:               400,
					`{"jsonrpc":"2.0","id":%s,"error":{"code":"E_LEFT","message":"m"}}`:          400,
					`{"jsonrpc":"2.0","id":%s,"error":{"code":1,"message":7}}`:                   400,
					`{"jsonrpc":"2.0","id":%s,"error":[]}`:                                       400,
					`{"jsonrpc":"2.0","id":%s,"error":null}`:                                     400,
					`{"jsonrpc":"2.0","id":%s,"result":{},"error":{"code":1,"message":"m"}}`:     400,
					`{"jsonrpc":"1.0","id":%s,"result":{}}`:                                      400,
					`{"id":%s,"result":{"action":"decline"}}`:                                    400,
					`{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"`:                      400, // cut short
					`{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"}} {}`:                 400,
					`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","x":"` + large + `"}}`: 413,
					`{"result":{"action":"accept","x":"` + large + `"},"jsonrpc":"2.0","id":%s}`: 413, // as the TypeScript SDK has it
					`{"result":"` + large[:limit-11] + `","jsonrpc":"2.0","id":%s}`:              413, // its end is at the bound
					`{"result":"` + large[:limit-12] + `","jsonrpc":"2.0","id":%s}`:              413,
					`{"result":"` + large[:limit-10] + `","jsonrpc":"2.0","id":%s}`:              413,
					`{"jsonrpc":"2.0","id":%s,"error":{"code":1,"message":"` + large + `"}}`:     413,
				} {
					for n := range 4 {
						askOn(t, s, version, n, func(q askedClient) {
							start := time.Now()
							got := read(t, q.client.Post(t, strings.Replace(body, "%s", q.id, 1)))
							if got.Status != status {
								t.Errorf("%.100s: status %d %s", body, got.Status, got.Body)
							}
							if got := q.result(t); !strings.Contains(got, "refused") || time.Since(start) > 15*time.Second {
								t.Errorf("%.100s: the tool said %q after %v", body, got, time.Since(start))
							}
						})
					}
				}
			})
		})
	}
}

// Nobody else's request fails for it, and no request fails for a call of the client's.
func TestARefusedMessageFailsNoOtherRequest(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	for _, version := range versionsWithSessions {
		simulate(t, simulated{wrap: withSSE, options: func(o *fleet.Options) { o.MaxBody = limit }}, func(t *testing.T, s *simulation) {
			foreign := s.session(t)
			askOn(t, s, version, 1, func(q askedClient) {
				for _, body := range []string{
					`{"jsonrpc":"2.0","id":%s,"method":7}`,
					`{"jsonrpc":"2.0","id":%s,"method":"x","result":{}}`,
					`{"jsonrpc":"2.0","id":%s,"params":{"result":1}}`,
					`{"jsonrpc":"2.0","id":7,"result":{"id":%s},"error":7}`,
					`{"jsonrpc":"2.0","id":7,"error":[{"id":%s,"result":1}]}`,
					`{"jsonrpc":"2.0","params":{"x":"` + strings.Repeat("x", limit) + `"},"method":"m","id":%s}`,
					`"` + strings.Repeat("x", limit) + `\",{\"result\":{},\"id\":%s}"`,
				} {
					q.client.Post(t, strings.Replace(body, "%s", q.id, 1))
				}
				for _, instance := range s.instances {
					for _, body := range []string{
						`{"jsonrpc":"2.0","id":%s,"error":"the user left"}`,
						`{"jsonrpc":"2.0","id":%s,"result":"` + strings.Repeat("x", limit) + `"}`,
					} {
						at(foreign, instance.url).Post(t, strings.Replace(body, "%s", q.id, 1))
					}
				}
				time.Sleep(5 * time.Second)
				accepts(t, q.client, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"}}`, q.id))
				if got := q.result(t); !strings.HasPrefix(got, "decline") {
					t.Errorf("%s: the tool said %q", version, got)
				}
			})
		})
	}
}

// A batch is refused as a whole, but not the responses in it: the requests that they
// answer would wait for ever.
func TestResponsesOfARefusedBatch(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	const good, bad = `{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"}}`, `{"jsonrpc":"2.0","id":%s,"error":"the user left"}`
	simulate(t, simulated{wrap: withSSE, options: func(o *fleet.Options) { o.MaxBody = limit }}, func(t *testing.T, s *simulation) {
		for name, test := range map[string]struct {
			bodies      [2]string
			status      int
			first, last string
		}{
			"with a malformed response": {[2]string{good, bad}, 400, "decline", "refused"},
			"of malformed ones":         {[2]string{bad, bad}, 400, "refused", "refused"},
			"that is cut short":         {[2]string{good, `{"jsonrpc":"2.0","id":%s,"result":{`}, 400, "refused", "refused"},
			"that is too large":         {[2]string{good, `{"jsonrpc":"2.0","result":"` + strings.Repeat("x", limit) + `","id":%s}`}, 413, "refused", "refused"},
			"of two good ones":          {[2]string{good, strings.Replace(good, "decline", "cancel", 1)}, 202, "decline", "cancel"},
		} {
			for n := range 4 {
				c := s.batching(t)
				first, last := asked(t, at(c, s.instances[n%2].url), "form"), askedBy(t, at(c, s.instances[0].url), 2, "form")
				body := array(strings.Replace(test.bodies[0], "%s", string(first.ID), 1), strings.Replace(test.bodies[1], "%s", string(last.ID), 1))
				if got := read(t, at(c, s.instances[n/2].url).Post(t, body)); got.Status != test.status {
					t.Errorf("a batch %s: %+v", name, got)
				}
				if got := said(t, first.stream.Message(t)); !strings.Contains(got, test.first) {
					t.Errorf("a batch %s: the first tool said %q", name, got)
				}
				if got := said(t, last.stream.Message(t)); !strings.Contains(got, test.last) {
					t.Errorf("a batch %s: the last tool said %q", name, got)
				}
			}
		}
	})
}
