package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// With an SDK that we do not know, handlers that wait for answers work as ever, and what
// handlers return is asked by the SDK, once, and waits as their questions do.
func TestRoundsWithAnSDKThatIsNotKnown(t *testing.T) {
	t.Parallel()
	rig := blockingRig()
	blocking := rig.more
	inputs := mcp.InputRequestMap{"mine": &mcp.ElicitParams{Message: "?"}, "too": &mcp.ListRootsParams{}}
	say := func(answers mcp.InputResponseMap, state string) string {
		return fmt.Sprintf("%T %T %s", answers["mine"], answers["too"], state)
	}
	rig.more = func(s *mcp.Server) {
		blocking(s)
		s.AddTool(&mcp.Tool{Name: "returns", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if req.Params.InputResponses == nil {
				return &mcp.CallToolResult{InputRequests: inputs, RequestState: "state"}, nil
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: say(req.Params.InputResponses, req.Params.RequestState)}}}, nil
		})
		s.AddPrompt(&mcp.Prompt{Name: "returns"}, func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			if req.Params.InputResponses == nil {
				return &mcp.GetPromptResult{InputRequests: inputs, RequestState: "state", Messages: []*mcp.PromptMessage{}}, nil
			}
			return &mcp.GetPromptResult{Description: say(req.Params.InputResponses, req.Params.RequestState), Messages: []*mcp.PromptMessage{}}, nil
		})
		s.AddResource(&mcp.Resource{URI: "news://returns", Name: "returns"}, func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			if req.Params.InputResponses == nil {
				return &mcp.ReadResourceResult{InputRequests: inputs, RequestState: "state", Contents: []*mcp.ResourceContents{}}, nil
			}
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "news://returns", Text: say(req.Params.InputResponses, req.Params.RequestState)}}}, nil
		})
	}
	simulate(t, simulated{rig: rig, instances: 3}, func(t *testing.T, s *simulation) {
		for _, i := range s.instances {
			i.handler.WithoutStandIns()
		}
		for what, want := range map[string]string{"returns": "*mcp.ElicitResult *mcp.ListRootsResult state", "interview": "yes sampled file:///r"} {
			for _, q := range []*rounded{
				roundedTool(what),
				{method: "prompts/get", name: what, params: fmt.Sprintf(`{"name":%q`, what)},
				{method: "resources/read", name: "news://" + what, params: fmt.Sprintf(`{"uri":"news://%s"`, what)},
			} {
				c := s.stateless(t)
				got := q.send(t, c, "", "")
				for round := 0; got.ResultType == "input_required" && round < 5; round++ {
					if !strings.HasPrefix(got.RequestState, "mcpfleet.") {
						t.Fatalf("%s of what %s: the state is %q", q.method, what, got.RequestState)
					}
					got = q.send(t, c, got.RequestState, got.answers())
				}
				if got.ResultType != "complete" || !strings.Contains(string(got.Result), want) {
					t.Errorf("%s of what %s: %s%s", q.method, what, got.Result, got.Error)
				}
			}
		}
	})
}
