package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// inputsOfEachKind are input requests, and the capability that each needs.
var inputsOfEachKind = map[string]struct {
	input mcp.InputRequest
	needs string // as data.requiredCapabilities has it
	text  string
}{
	"form":     {&mcp.ElicitParams{Message: "?"}, `{"elicitation":{"form":{}}}`, `"form" elicitation`},
	"url":      {&mcp.ElicitParams{Message: "?", URL: "https://example.com/"}, `{"elicitation":{"url":{}}}`, `"url" elicitation`},
	"sampling": {&mcp.CreateMessageParams{MaxTokens: 1}, `{"sampling":{}}`, "sampling"},
	"context":  {&mcp.CreateMessageParams{MaxTokens: 1, IncludeContext: "thisServer"}, `{"sampling":{}}`, "sampling"},
	"tools": {&mcp.CreateMessageWithToolsParams{MaxTokens: 1, Tools: []*mcp.Tool{{Name: "t", InputSchema: json.RawMessage(`{"type":"object"}`)}}},
		`{"sampling":{"tools":{}}}`, "sampling with tools"},
	"choice": {&mcp.CreateMessageWithToolsParams{MaxTokens: 1, ToolChoice: &mcp.ToolChoice{Mode: "none"}}, `{"sampling":{"tools":{}}}`, "sampling with tools"},
	"roots":  {&mcp.ListRootsParams{}, `{"roots":{}}`, "roots"},
}

// capabilityRig has a tool, a prompt and a resource for each kind of input request, which
// return it, and tools "asks …" that ask for it and return the error. "everything" returns
// all kinds at once.
func capabilityRig() *rig {
	r := newRig(nil)
	ask := func(ctx context.Context, ss *mcp.ServerSession, input mcp.InputRequest) (err error) {
		switch p := input.(type) {
		case *mcp.ElicitParams:
			_, err = ss.Elicit(ctx, p)
		case *mcp.CreateMessageParams:
			_, err = ss.CreateMessage(ctx, p)
		case *mcp.CreateMessageWithToolsParams:
			_, err = ss.CreateMessageWithTools(ctx, p)
		case *mcp.ListRootsParams:
			_, err = ss.ListRoots(ctx, p)
		}
		return err
	}
	r.more = func(s *mcp.Server) {
		schema := json.RawMessage(`{"type":"object"}`)
		add := func(name string, inputs mcp.InputRequestMap) {
			s.AddTool(&mcp.Tool{Name: name, InputSchema: schema}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return &mcp.CallToolResult{InputRequests: inputs, RequestState: "state"}, nil
			})
			s.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				return &mcp.GetPromptResult{InputRequests: inputs, RequestState: "state", Messages: []*mcp.PromptMessage{}}, nil
			})
			s.AddResource(&mcp.Resource{URI: "news://" + name, Name: name}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				return &mcp.ReadResourceResult{InputRequests: inputs, RequestState: "state", Contents: []*mcp.ResourceContents{}}, nil
			})
		}
		everything := mcp.InputRequestMap{}
		for name, kind := range inputsOfEachKind {
			everything[name] = kind.input
			add(name, mcp.InputRequestMap{"mine": kind.input})
			s.AddTool(&mcp.Tool{Name: "asks " + name, InputSchema: schema}, func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				if err := ask(ctx, req.Session, kind.input); err != nil {
					return nil, fmt.Errorf("I asked: %w", err)
				}
				return &mcp.CallToolResult{Content: []mcp.Content{}}, nil
			})
		}
		add("everything", everything)
	}
	return r
}

// byEachMethod are the requests that get input requests of a kind.
func byEachMethod(kind string) map[string]*rounded {
	return map[string]*rounded{
		"returned by a tool":     roundedTool(kind),
		"returned by a prompt":   {method: "prompts/get", name: kind, params: fmt.Sprintf(`{"name":%q`, kind)},
		"returned by a resource": {method: "resources/read", name: "news://" + kind, params: fmt.Sprintf(`{"uri":"news://%s"`, kind)},
		"asked by a tool":        roundedTool("asks " + kind),
	}
}

// A client is never sent an input request of a kind that it did not declare, whether the
// handler returns it or asks: the call fails, and says which capability it takes.
func TestInputRequestsThatTheClientDidNotDeclare(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		`{}`:                                   nil,
		`{"elicitation":{}}`:                   {"form"},
		`{"elicitation":{"form":{}}}`:          {"form"},
		`{"elicitation":{"url":{}}}`:           {"url"},
		`{"elicitation":{"form":{},"url":{}}}`: {"form", "url"},
		`{"sampling":{}}`:                      {"sampling", "context"},
		`{"sampling":{"context":{}}}`:          {"sampling", "context"},
		`{"sampling":{"tools":{}}}`:            {"sampling", "context", "tools", "choice"},
		`{"roots":{}}`:                         {"roots"},
	}
	simulate(t, simulated{rig: capabilityRig()}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		for capabilities, may := range allowed {
			for name, kind := range inputsOfEachKind {
				for how, q := range byEachMethod(name) {
					q.capabilities = capabilities
					what := fmt.Sprintf("%s, %s, with %s", name, how, capabilities)
					got := q.send(t, c, "", "")
					if strings.Contains(" "+strings.Join(may, " ")+" ", " "+name+" ") {
						if got.Status != 200 || got.ResultType != "input_required" || len(got.InputRequests) != 1 {
							t.Errorf("%s: %d %s%s", what, got.Status, got.Result, got.Error)
						}
						continue
					}
					wantMissing(t, what, got, kind.text, kind.needs)
				}
			}
		}
	})
}

// wantMissing checks that a call got the error that names the capabilities it takes.
func wantMissing(t *testing.T, what string, got round, text, needs string) {
	t.Helper()
	var e jsonrpc.Error
	if got.Error == nil || json.Unmarshal(got.Error, &e) != nil {
		t.Errorf("%s: %d %s", what, got.Status, got.Result)
		return
	}
	if strings.HasSuffix(e.Message, "support elicitation") { // by the SDK, which then looks no further
		text, needs = "elicitation", `{"elicitation":{}}`
	}
	if got.Status != 400 || e.Code != mcp.CodeMissingRequiredClientCapabilities || !strings.Contains(e.Message, "client does not support "+text) {
		t.Errorf("%s: %d %s", what, got.Status, got.Error)
	}
	if diff := cmp.Diff(`{"requiredCapabilities":`+needs+`}`, string(e.Data)); diff != "" {
		t.Errorf("%s: data (-want +got)\n%s", what, diff)
	}
}

// All that is missing is named at once.
func TestAllCapabilitiesThatAreMissingAreNamed(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: capabilityRig()}, func(t *testing.T, s *simulation) {
		for _, i := range s.instances {
			q := roundedTool("everything")
			q.capabilities = `{"elicitation":{"form":{}},"sampling":{}}`
			wantMissing(t, "everything", q.send(t, at(s.stateless(t), i.url), "", ""),
				`"url" elicitation, roots, sampling with tools`, `{"elicitation":{"url":{}},"roots":{},"sampling":{"tools":{}}}`)
			q.capabilities = `{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}`
			if got := q.send(t, at(s.stateless(t), i.url), "", ""); len(got.InputRequests) != len(inputsOfEachKind) {
				t.Errorf("with all of them: %s%s", got.Result, got.Error)
			}
		}
	})
}

// With an SDK that we do not know the same holds.
func TestInputRequestsThatTheClientDidNotDeclareWithoutStandIns(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: capabilityRig()}, func(t *testing.T, s *simulation) {
		for _, i := range s.instances {
			i.handler.WithoutStandIns()
		}
		c := s.stateless(t)
		for name, kind := range inputsOfEachKind {
			for how, q := range byEachMethod(name) {
				q.capabilities = `{}`
				wantMissing(t, name+" "+how, q.send(t, c, "", ""), kind.text, kind.needs)
			}
		}
	})
}

// In a session, too: there it is the handler's own error, as the protocol has none.
func TestServerRequestsThatTheClientDidNotDeclareInASession(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: capabilityRig()}, func(t *testing.T, s *simulation) {
		c := s.client(t)
		c.Initialize(t, "2025-11-25", `{"sampling":{}}`)
		for name := range inputsOfEachKind {
			if name == "sampling" || name == "context" {
				continue
			}
			for _, tool := range []string{name, "asks " + name} {
				m := c.CallTool(t, tool, "{}")
				if !strings.Contains(string(m.Error), `"code":-32603`) || !strings.Contains(string(m.Error), "client does not support ") {
					t.Errorf("%s: %s%s", tool, m.Result, m.Error)
				}
			}
		}
	})
}
