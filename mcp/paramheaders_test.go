package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// routed is an input schema with annotated properties.
const routed = `{"type":"object","properties":{
	"region":{"type":"string","x-mcp-header":"Region"},
	"count":{"type":"integer","x-mcp-header":"Count"},
	"dry":{"type":"boolean","x-mcp-header":"Dry"},
	"free":{"type":"string"},
	"where":{"type":"object","properties":{"zone":{"type":"object","properties":{"name":{"type":"string","x-mcp-header":"Zone-Name"}}}}}}}`

// routedSchemas are routed in each form that the SDK takes.
func routedSchemas(t testing.TB) map[string]any {
	t.Helper()
	var decoded map[string]any
	typed := &jsonschema.Schema{}
	if json.Unmarshal([]byte(routed), &decoded) != nil || json.Unmarshal([]byte(routed), typed) != nil {
		t.Fatal("the schema is not JSON")
	}
	return map[string]any{
		"raw": json.RawMessage(routed), "escaped": json.RawMessage(strings.ReplaceAll(routed, "x-mcp", `\u0078-mcp`)),
		"map": decoded, "typed": typed, "struct": struct {
			Type       string `json:"type"`
			Properties any    `json:"properties"`
		}{"object", decoded["properties"]},
	}
}

func addRouted(s *mcp.Server, name string, schema any, called func()) {
	s.AddTool(&mcp.Tool{Name: name, InputSchema: schema}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		called()
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "routed"}}}, nil
	})
}

// params returns a change of headers, given as "Name: value".
func params(headers ...string) func(http.Header) {
	return func(h http.Header) {
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			h.Add("Mcp-Param-"+name, value)
		}
	}
}

// The cases of the specification ("Server Behavior for Custom Headers", "Value
// Encoding"), and what else can disagree.
func TestHeadersOfAnnotatedParameters(t *testing.T) {
	t.Parallel()
	for form, schema := range routedSchemas(t) {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			calls := 0
			r := newRig(nil)
			r.more = func(s *mcp.Server) { addRouted(s, "routed", schema, func() { calls++ }) }
			simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
				for arguments, tests := range map[string]map[string]bool{
					`{"region":"us-west1"}`: {
						"Region: us-west1": true, "region: us-west1": true, "": false, "Region: us-east1": false, "Region: US-WEST1": false,
						"Region: us-west1|Region: us-west1": false, "Region: us-west1|Region: other": false, "Region: ": false,
						"Region: us-west1|Count: 1": false, "Region: us-west1|Free: x": true, "Region: us-west1|Other: x": true,
					},
					`{"region":"Hello"}`: {
						"Region: =?base64?SGVsbG8=?=": true, "Region: Hello": true, "Region: =?base64?SGVsbG8?=": false, "Region: =?base64?SGVs!!!bG8=?=": false,
						"Region: SGVsbG8=": false, "Region: =?base64?SGVsbG8=": false, "Region: =?BASE64?SGVsbG8=?=": false, "Region: =?base64?SGVsbG9=?=": false,
					},
					`{"region":"SGVsbG8="}`:               {"Region: SGVsbG8=": true},
					`{"region":"=?base64?SGVsbG8="}`:      {"Region: =?base64?SGVsbG8=": true},
					`{"region":"=?base64?="}`:             {"Region: =?base64?=": true},
					`{"region":"Zürich"}`:                 {"Region: =?base64?WsO8cmljaA==?=": true, "Region: Zürich": false},
					`{"region":" a "}`:                    {"Region: =?base64?IGEg?=": true, "Region: a": false},
					`{"region":""}`:                       {"Region: ": true, "": false, "Region: x": false},
					`{"region":null}`:                     {"": true, "Region: null": false, "Region: x": false},
					`{}`:                                  {"": true, "Region: us-west1": false},
					`{"region":7}`:                        {"Region: 7": true, "": false},
					`{"region":{}}`:                       {"Region: {}": false, "": false},
					`{"Region":"us-west1"}`:               {"Region: us-west1": false, "": true},
					`{"region":"a","region":"b"}`:         {"Region: a": false, "Region: b": true},
					`{"count":42}`:                        {"Count: 42": true, "Count: 42.0": true, "Count: 4.2e1": true, "Count: 43": false, "Count: 0x2a": false, "Count: =?base64?NDI=?=": true, "Count: x": false, "": false},
					`{"count":42.0}`:                      {"Count: 42": true},
					`{"count":-1}`:                        {"Count: -1": true, "Count: 1": false},
					`{"count":4.5}`:                       {"Count: 4.5": false, "": false},
					`{"count":9007199254740991}`:          {"Count: 9007199254740991": true, "Count: 9007199254740990": false},
					`{"count":9007199254740993}`:          {"Count: 9007199254740993": false, "Count: 9007199254740992": false},
					`{"count":"42"}`:                      {"Count: 42": true, "Count: 42.0": false},
					`{"dry":true}`:                        {"Dry: true": true, "Dry: True": false, "Dry: false": false, "Dry: 1": false, "": false},
					`{"dry":false}`:                       {"Dry: false": true},
					`{"where":{"zone":{"name":"z"}}}`:     {"Zone-Name: z": true, "Zone-Name: y": false, "": false},
					`{"where":{"zone":{"name":null}}}`:    {"": true, "Zone-Name: z": false},
					`{"where":{"zone":"z"},"zone":"z"}`:   {"": true, "Zone-Name: z": false},
					`{"where":null}`:                      {"": true},
					`{"free":"x","region":"a","count":1}`: {"Region: a|Count: 1": true, "Region: a": false, "Count: 1": false},
				} {
					for headers, agree := range tests {
						for i, instance := range s.instances {
							calls = 0
							c := at(s.stateless(t), instance.url)
							var sent []string
							if headers != "" {
								sent = strings.Split(headers, "|")
							}
							res := statelessCall(t, c, "routed", arguments, params(sent...))
							m := c.Message(t, res)
							if ok := m.Error == nil && calls == 1 && res.StatusCode == 200; agree && !ok {
								t.Errorf("instance %d: %s with %q: %s %s, %d calls", i, arguments, headers, res.Status, m.Error, calls)
							}
							if refused := res.StatusCode == 400 && strings.Contains(string(m.Error), `"code":-32020`) && calls == 0; !agree && !refused {
								t.Errorf("instance %d: %s with %q: %s %s, %d calls", i, arguments, headers, res.Status, m.Error, calls)
							}
						}
					}
				}
			})
		})
	}
}

// Clients with sessions send no such headers.
func TestHeadersOfAnnotatedParametersAreOfOneProtocol(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	r.more = func(s *mcp.Server) { addRouted(s, "routed", json.RawMessage(routed), func() {}) }
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		wantText(t, s.session(t).CallTool(t, "routed", `{"region":"a"}`), "routed")
	})
}

// Whatever a server does to its lists, a call is compared with the tool as it is.
func TestParameterHeadersFollowTheTool(t *testing.T) {
	t.Parallel()
	hide := func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if method == "tools/list" {
				return &mcp.ListToolsResult{Tools: []*mcp.Tool{}}, nil
			}
			return next(ctx, method, req)
		}
	}
	for name, opts := range map[string]*mcp.ServerOptions{
		"plain": nil, "pages": {PageSize: 1}, "told of nothing": {Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{}, func(t *testing.T, s *simulation) {
				var servers []*mcp.Server
				for range 2 {
					server := mcp.NewServer(&mcp.Implementation{Name: "rig", Version: "1"}, opts)
					server.AddReceivingMiddleware(hide)
					for i := range 3 {
						addRouted(server, fmt.Sprint("another", i), json.RawMessage(`{"type":"object"}`), func() {})
					}
					servers = append(servers, server)
					s.joinWith(t, server)
				}
				agrees := func(when string, header string, want bool) {
					t.Helper()
					for _, instance := range s.instances[2:] {
						c := at(s.stateless(t), instance.url)
						m := c.Message(t, statelessCall(t, c, "changing", `{"region":"a"}`, params("Region: "+header)))
						if agreed := m.Error == nil; agreed != want {
							t.Errorf("%s: a header %q: %s %s", when, header, m.Result, m.Error)
						}
					}
				}
				change := func(schema string) {
					for _, server := range servers {
						addRouted(server, "changing", json.RawMessage(schema), func() {})
					}
				}
				change(`{"type":"object"}`)
				agrees("at first", "b", true)
				agrees("again, when it is watched", "b", true)
				change(routed)
				settle()
				agrees("when it has annotations", "b", false)
				agrees("when it has annotations", "a", true)
				change(`{"type":"object"}`)
				agrees("at once when it has none", "b", true)
				settle()
				agrees("when it has none", "b", true)
			})
		})
	}
}

// A server that is made for a single request is not watched.
func TestParameterHeadersOfServersOfOneRequest(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for range 2 {
			s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server {
				server := s.server()
				addRouted(server, "routed", json.RawMessage(routed), func() {})
				return server
			})
		}
		for i := range 6 {
			c := at(s.stateless(t), s.instances[2+i%2].url)
			if res := statelessCall(t, c, "routed", `{"region":"a"}`, params("Region: b")); res.StatusCode != 400 {
				t.Errorf("%d: %s", i, res.Status)
			}
			wantText(t, c.Message(t, statelessCall(t, c, "routed", `{"region":"a"}`, params("Region: a"))), "routed")
			wantText(t, c.Message(t, statelessCall(t, c, "echo", `{"text":"a"}`, params("Region: b"))), "a")
			unknown := c.Message(t, statelessCall(t, c, "unknown", `{"region":"a"}`))
			if !strings.Contains(string(unknown.Error), `-32602`) {
				t.Errorf("%d: an unknown tool: %s", i, unknown.Error)
			}
		}
	})
}

// settle returns when the SDK has told what has changed.
func settle() { time.Sleep(time.Second) }

// Schemas are looked at when they have changed, not at each call.
func TestSchemasAreLookedAtOnce(t *testing.T) {
	t.Parallel()
	var lists atomic.Int64 // of tools, which SetCacheable is called for
	r := newRig(&mcp.ServerOptions{SetCacheable: func(_ context.Context, req mcp.Request, _ *mcp.Cacheable) {
		if _, ok := req.GetParams().(*mcp.ListToolsParams); ok {
			lists.Add(1)
		}
	}})
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		server := s.server()
		one := s.joinWith(t, server)
		c := at(s.stateless(t), one.url)
		call := func(n int) {
			for range n {
				wantText(t, c.Message(t, statelessCall(t, c, "echo", `{"text":"a"}`)), "a")
			}
		}
		call(2)
		first := lists.Load()
		call(20)
		if n := lists.Load(); n != first || first > 2 {
			t.Errorf("after two calls %d, after more %d", first, n)
		}
		features["tools"].add(server)
		settle()
		call(20)
		if n := lists.Load(); n != first+1 {
			t.Errorf("after a change %d, want one more than %d", n, first)
		}
	})
}
