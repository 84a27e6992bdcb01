package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// progressing is a rig whose tool "report" sends the progress that its client asked
// for, and says what it was told of the token.
func progressing() *rig {
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "report", func(ctx context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			token := req.Params.GetProgressToken()
			for i := range 2 {
				if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: float64(i)}); err != nil {
					return "", err
				}
			}
			return fmt.Sprintf("%T", token), nil
		})
	}
	return r
}

// A client knows its call by the token that it sent, and by no other.
func TestProgressTokensAreExact(t *testing.T) {
	t.Parallel()
	tokens := []string{
		`7`, `0`, `-7`, `9007199254740992`, `9007199254740993`, `-9007199254740993`, `9223372036854775807`, `18446744073709551617`,
		`123456789012345678901234567890123456789012345678901234567891`, `1.5`, `1e3`, `1.0`, `-0`,
		`"p"`, `""`, `"7"`, `"9007199254740993"`, `"a\"b"`, `"\ud800"`, `"é"`, `"</script>"`, `"a.b.1"`,
	}
	for _, version := range append([]string{statelessVersion}, versionsWithSessions...) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: progressing(), wrap: withSSE}, func(t *testing.T, s *simulation) {
				for n, token := range tokens {
					url := s.instances[n%2].url
					for _, m := range progressOf(t, s, version, url, token) {
						var params struct {
							Token json.RawMessage `json:"progressToken"`
						}
						if err := json.Unmarshal(m.Params, &params); err != nil || m.Method != "notifications/progress" {
							t.Fatalf("%s: %s %s %s", token, m.Method, m.Params, m.Error)
						}
						if got := string(params.Token); got != token && !sameString(got, token) {
							t.Errorf("the token %s comes back as %s", token, got)
						}
					}
				}
			})
		})
	}
}

// sameString reports whether two texts are one JSON string, however it is escaped.
func sameString(a, b string) bool {
	var x, y string
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && x == y && !strings.Contains(x, "\uFFFD")
}

// progressOf calls the tool "report" on an instance, and returns the notifications of
// its progress.
func progressOf(t testing.TB, s *simulation, version, url, token string) []*jsonrpcmsg.Message {
	t.Helper()
	params := fmt.Sprintf(`{"name":"report","arguments":{"progressToken":9007199254740993},"_meta":{"progressToken":%s}}`, token)
	switch version {
	case "2024-11-05+sse":
		c := s.sse(t, 0, "")
		accepts(t, c.at(url).Client, fleettest.Request(1, "tools/call", params))
		return []*jsonrpcmsg.Message{c.next(t), c.next(t)}
	case statelessVersion:
		params = strings.Replace(params, `"_meta":{`, `"_meta":{`+statelessMeta+`,`, 1)
		stream := fleettest.NewStream(at(s.stateless(t), url).Post(t, fleettest.Request(1, "tools/call", params), named("tools/call", "report")))
		return []*jsonrpcmsg.Message{stream.Message(t), stream.Message(t)}
	default:
		c := s.client(t)
		c.Initialize(t, version, everyCapability)
		stream := fleettest.NewStream(at(c, url).Post(t, fleettest.Request(1, "tools/call", params)))
		return []*jsonrpcmsg.Message{stream.Message(t), stream.Message(t)}
	}
}
