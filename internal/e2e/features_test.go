//go:build unix

package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestGoClientUsesEveryFeature(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3)
	logged := make(chan any, 10)
	progress := make(chan float64, 1000)
	cs := f.connect(t, &mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			prompt := req.Params.Messages[0].Content.(*mcp.TextContent).Text
			return &mcp.CreateMessageResult{Model: "e2e", Role: "assistant", Content: &mcp.TextContent{Text: "sampled " + prompt}}, nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada"}}, nil
		},
		LoggingMessageHandler: func(_ context.Context, req *mcp.LoggingMessageRequest) { logged <- req.Params.Data },
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			progress <- req.Params.Progress
		},
	}, nil)
	for _, use := range []struct {
		feature string
		run     func(*testing.T, *mcp.ClientSession)
	}{
		{"ping", func(t *testing.T, cs *mcp.ClientSession) { must(t, cs.Ping(t.Context(), nil)) }},
		{"tools", useTools},
		{"resources", useResources},
		{"prompts and completion", usePrompts},
		{"log level", func(t *testing.T, cs *mcp.ClientSession) {
			must(t, cs.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "debug"}))
			if got := receive(t, logged); got != "Logging level set to: debug" {
				t.Errorf("log says %q", got)
			}
		}},
		{"progress", func(t *testing.T, cs *mcp.ClientSession) {
			wantText(t, cs, longOperation(0.5, 5), "Long running operation completed. Duration: 0.5 seconds, Steps: 5.")
			for want := 1.0; want <= 5; want++ {
				if got := receive(t, progress); got != want {
					t.Errorf("progress %v, want %v", got, want)
				}
			}
		}},
		{"cancellation", func(t *testing.T, cs *mcp.ClientSession) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-progress
				cancel()
			}()
			if _, err := cs.CallTool(ctx, longOperation(60, 600)); !errors.Is(err, context.Canceled) {
				t.Errorf("a cancelled call: %v", err)
			}
		}},
	} {
		t.Run(use.feature, func(t *testing.T) { use.run(t, cs) })
	}
}

// A tool has its stream closed under it, and the client comes back for the rest
// to whatever process the balancer chooses.
func TestStreamClosedByTheServerResumesAnywhere(t *testing.T) {
	t.Parallel()
	f := startFleet(t, conformance, 3)
	cs := f.connect(t, nil, nil)
	for range 10 {
		res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "test_reconnection"})
		must(t, err)
		if !strings.HasPrefix(text(res), "Reconnection test completed successfully.") {
			t.Fatalf("the tool says %q", text(res))
		}
	}
}

// longOperation is a call of a tool that says how far it is, in steps.
func longOperation(seconds float64, steps int) *mcp.CallToolParams {
	params := &mcp.CallToolParams{
		Name:      "longRunningOperation",
		Arguments: map[string]any{"duration": seconds, "steps": steps},
	}
	params.SetProgressToken("steps")
	return params
}

func useTools(t *testing.T, cs *mcp.ClientSession) {
	list, err := cs.ListTools(t.Context(), nil)
	must(t, err)
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	want := []string{
		"add", "annotatedMessage", "echo", "elicitInputs", "getResourceReference", "getTinyImage",
		"longRunningOperation", "mcp_apps_hello_world", "sampleLLM",
	}
	if !slices.Equal(names, want) {
		t.Errorf("tools %v, want %v", names, want)
	}
	for _, call := range []struct {
		tool string
		args map[string]any
		want string
	}{
		{"echo", map[string]any{"message": "hi"}, "Echo: hi"},
		{"add", map[string]any{"a": 1, "b": 2.5}, "The sum of 1 and 2.5 is 3.5."},
		{"getTinyImage", nil, "This is a tiny image:"},
		{"annotatedMessage", map[string]any{"messageType": "error", "includeImage": true}, "Error: Operation failed"},
		{"getResourceReference", map[string]any{"resourceId": 3}, "Returning resource reference for Resource 3:"},
		{"mcp_apps_hello_world", nil, "If this client supports MCP Apps, an interactive UI should have rendered for the user."},
		{"sampleLLM", map[string]any{"prompt": "this"}, "LLM sampling result: sampled Resource sampleLLM context: this"},
	} {
		wantText(t, cs, &mcp.CallToolParams{Name: call.tool, Arguments: call.args}, call.want)
	}
	res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "elicitInputs"})
	must(t, err)
	if !strings.Contains(text(res), `"name": "Ada"`) {
		t.Errorf("elicitInputs says %q", text(res))
	}
	res, err = cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo"})
	must(t, err)
	if !res.IsError {
		t.Errorf("echo without a message says %q", text(res))
	}
}

// resourceNotFound is the code of the 2025 revisions.
const resourceNotFound = -32002

func useResources(t *testing.T, cs *mcp.ClientSession) {
	seen := map[string]bool{}
	for resource, err := range cs.Resources(t.Context(), nil) {
		must(t, err)
		seen[resource.URI] = true
	}
	if len(seen) != 101 {
		t.Errorf("%d resources", len(seen))
	}
	for uri := range seen {
		if _, err := cs.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri}); err != nil {
			t.Errorf("read %s: %v", uri, err)
		}
	}
	_, err := cs.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "test://static/resource/101"})
	if wire, ok := errors.AsType[*jsonrpc.Error](err); !ok || wire.Code != resourceNotFound {
		t.Errorf("an unknown resource: %v", err)
	}
	templates, err := cs.ListResourceTemplates(t.Context(), nil)
	must(t, err)
	if len(templates.ResourceTemplates) != 1 {
		t.Errorf("templates %v", templates.ResourceTemplates)
	}
	must(t, cs.Subscribe(t.Context(), &mcp.SubscribeParams{URI: "test://static/resource/1"}))
	must(t, cs.Unsubscribe(t.Context(), &mcp.UnsubscribeParams{URI: "test://static/resource/1"}))
}

func usePrompts(t *testing.T, cs *mcp.ClientSession) {
	list, err := cs.ListPrompts(t.Context(), nil)
	must(t, err)
	if len(list.Prompts) != 3 {
		t.Errorf("prompts %v", list.Prompts)
	}
	prompt, err := cs.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "complex_prompt", Arguments: map[string]string{"temperature": "0.5"}})
	must(t, err)
	if len(prompt.Messages) != 3 {
		t.Errorf("complex_prompt has %d messages", len(prompt.Messages))
	}
	completion, err := cs.Complete(t.Context(), &mcp.CompleteParams{
		Ref:      &mcp.CompleteReference{Type: "ref/prompt", Name: "complex_prompt"},
		Argument: mcp.CompleteParamsArgument{Name: "style", Value: "f"},
	})
	must(t, err)
	if want := []string{"formal", "friendly"}; !slices.Equal(completion.Completion.Values, want) {
		t.Errorf("completions %v, want %v", completion.Completion.Values, want)
	}
}

func wantText(t *testing.T, cs *mcp.ClientSession, params *mcp.CallToolParams, want string) {
	t.Helper()
	res, err := cs.CallTool(t.Context(), params)
	if err != nil {
		t.Errorf("%s: %v", params.Name, err)
	} else if got := text(res); got != want {
		t.Errorf("%s says %q, want %q", params.Name, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
