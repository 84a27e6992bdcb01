package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A name that is not safe in a header comes in another form (specification
// 2026-07-28, "Value Encoding").
func TestNamesMayBeEncodedInTheirHeader(t *testing.T) {
	t.Parallel()
	r := newsRig()
	more := r.more
	r.more = func(s *mcp.Server) {
		more(s)
		for _, uri := range []string{"any://a", "any://é"} {
			s.AddResource(&mcp.Resource{URI: uri, Name: uri}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: uri}}}, nil
			})
		}
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		for _, test := range []struct {
			uri, header string
			code        int // of the error, if any
		}{
			{"any://a", "any://a", 0},
			{"any://a", "=?base64?YW55Oi8vYQ==?=", 0},
			{"any://é", "=?base64?YW55Oi8vw6k=?=", 0},
			{"any://é", "any://é", 0}, // as the go-sdk's client has it
			{"any://a", "=?base64?YW55Oi8vYg==?=", -32020},
			{"any://a", "=?base64?not base64?=", -32020},
			{"any://a", "=?base64?YW55Oi8vYQ==", -32020},
			{"any://a", "=?BASE64?YW55Oi8vYQ==?=", -32020},
			{"any://a", "=?base64??=", -32020},
		} {
			c := s.stateless(t)
			m := c.Message(t, c.Post(t, statelessBody(1, "resources/read", fmt.Sprintf(`{"uri":%q}`, test.uri)), named("resources/read", test.header)))
			var e struct{ Code int }
			if m.Error != nil {
				must(t, json.Unmarshal(m.Error, &e))
			}
			if e.Code != test.code {
				t.Errorf("%s as %s: %s%s, want error code %d", test.uri, test.header, m.Result, m.Error, test.code)
			}
		}
	})
}

// A client that asks for a version there is not learns which there are.
func TestTheErrorForAnUnknownVersionNamesTheKnownOnes(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for _, header := range []string{"1900-01-01", ""} {
			c := s.stateless(t)
			body := fmt.Sprintf(`{"jsonrpc":"2.0","id":"v","method":"tools/list","params":{"_meta":{%q:"1900-01-01"}}}`, "io.modelcontextprotocol/protocolVersion")
			got := read(t, c.Post(t, body, named("tools/list", ""), set("Mcp-Protocol-Version", header)))
			const want = `{"jsonrpc":"2.0","id":"v","error":{"code":-32022,"message":"unsupported protocol version","data":` +
				`{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"1900-01-01"}}}`
			if got.Status != 400 || got.Body != want {
				t.Errorf("with the header %q: %+v", header, got)
			}
		}
	})
}
