package everything_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// model is a client with a model that responds with given samples and records the
// requests for them. It repeats the last sample.
type model struct {
	says  [][]mcp.Content
	asked []*mcp.CreateMessageWithToolsParams
}

func (m *model) options() *mcp.ClientOptions {
	return &mcp.ClientOptions{
		CreateMessageWithToolsHandler: func(_ context.Context, req *mcp.CreateMessageWithToolsRequest) (*mcp.CreateMessageWithToolsResult, error) {
			content := m.says[min(len(m.asked), len(m.says)-1)]
			m.asked = append(m.asked, req.Params)
			return &mcp.CreateMessageWithToolsResult{Role: "assistant", Model: "test", Content: content}, nil
		},
	}
}

func says(content ...mcp.Content) []mcp.Content { return content }

func words(s string) mcp.Content { return &mcp.TextContent{Text: s} }

func use(id, tool string, input map[string]any) mcp.Content {
	return &mcp.ToolUseContent{ID: id, Name: tool, Input: input}
}

func weatherOf(id, city string) mcp.Content {
	return use(id, "getWeather", map[string]any{"city": city})
}

func TestSampleWithToolsGoesOnUntilTheModelIsDone(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		m := &model{says: [][]mcp.Content{
			says(words("Let me see."), weatherOf("1", "Oslo"), weatherOf("2", "Lima")),
			says(weatherOf("3", "Hanoi")),
			says(words("Take"), words("an umbrella.")),
		}}
		wantText(t, call(t, connect(m.options()), "sampleWithTools", map[string]any{"prompt": "What to wear?"}),
			"LLM sampling result: Take\nan umbrella.")

		if len(m.asked) != 3 {
			t.Fatalf("the model was asked %d times, want 3", len(m.asked))
		}
		wantJSON(t, m.asked[0].Messages, `[{"role": "user", "content": {"type": "text", "text": "What to wear?"}}]`)
		wantJSON(t, m.asked[2].Messages, `[
			{"role": "user", "content": {"type": "text", "text": "What to wear?"}},
			{"role": "assistant", "content": [
				{"type": "text", "text": "Let me see."},
				{"type": "tool_use", "id": "1", "name": "getWeather", "input": {"city": "Oslo"}},
				{"type": "tool_use", "id": "2", "name": "getWeather", "input": {"city": "Lima"}}
			]},
			{"role": "user", "content": [
				`+weatherResult("1", "Oslo", "Norway", "11", "Partly cloudy", 64)+`,
				`+weatherResult("2", "Lima", "Peru", "18.5", "Fog", 88)+`
			]},
			{"role": "assistant", "content": {"type": "tool_use", "id": "3", "name": "getWeather", "input": {"city": "Hanoi"}}},
			{"role": "user", "content": `+weatherResult("3", "Hanoi", "Vietnam", "29", "Thunderstorms", 83)+`}
		]`)
		for i, params := range m.asked {
			if diff := cmp.Diff(&mcp.ToolChoice{Mode: "auto"}, params.ToolChoice); diff != "" {
				t.Errorf("tool choice %d (-want +got):\n%s", i, diff)
			}
			if params.MaxTokens != 1000 || params.SystemPrompt == "" || params.IncludeContext != "" {
				t.Errorf("request %d is %s", i, encode(t, params))
			}
			if len(params.Tools) != 1 || params.Tools[0].Name != "getWeather" || params.Tools[0].Description == "" {
				t.Errorf("tools of request %d are %s", i, encode(t, params.Tools))
			}
		}
	})
}

// weatherResult is the result of a use of getWeather.
func weatherResult(id, city, country, temperature, conditions string, humidity int) string {
	weather := fmt.Sprintf(`{"city":%q,"country":%q,"temperature":%s,"conditions":%q,"humidity":%d}`,
		city, country, temperature, conditions, humidity)
	return fmt.Sprintf(`{"type": "tool_result", "toolUseId": %q, "structuredContent": %s,
		"content": [{"type": "text", "text": %q}]}`, id, weather, weather)
}

func TestModelIsOfferedTheCitiesThereAre(t *testing.T) {
	t.Parallel()
	m := &model{says: [][]mcp.Content{says(words("ok"))}}
	cs := connect(t, everything.New(nil), v2025, m.options())
	call(t, cs, "sampleWithTools", map[string]any{"prompt": "?"})
	want := findTool(t, cs, "getWeather").InputSchema
	wantJSON(t, m.asked[0].Tools[0].InputSchema, string(encode(t, want)))
}

func TestModelLearnsFromItsMistakes(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		m := &model{says: [][]mcp.Content{
			says(weatherOf("1", "Atlantis"), use("2", "getWeather", nil), use("3", "echo", map[string]any{"message": "hi"}),
				use("4", "getWeather", map[string]any{"city": 5})),
			says(words("Never mind.")),
		}}
		wantText(t, call(t, connect(m.options()), "sampleWithTools", map[string]any{"prompt": "?"}),
			"LLM sampling result: Never mind.")
		wantJSON(t, m.asked[1].Messages[2].Content, `[
			{"type": "tool_result", "toolUseId": "1", "isError": true,
				"content": [{"type": "text", "text": "no weather for the city \"Atlantis\""}]},
			{"type": "tool_result", "toolUseId": "2", "isError": true,
				"content": [{"type": "text", "text": "no weather for the city \"\""}]},
			{"type": "tool_result", "toolUseId": "3", "isError": true,
				"content": [{"type": "text", "text": "unknown tool \"echo\""}]},
			{"type": "tool_result", "toolUseId": "4", "isError": true,
				"content": [{"type": "text", "text": "no weather for the city \"\""}]}
		]`)
	})
}

func TestModelThatDoesNotStopIsStopped(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		m := &model{says: [][]mcp.Content{says(weatherOf("1", "Oslo"))}}
		wantToolError(t, call(t, connect(m.options()), "sampleWithTools", map[string]any{"prompt": "?"}),
			"the client's model still uses tools after 5 samples")
		var choices []string
		for _, params := range m.asked {
			choices = append(choices, params.ToolChoice.Mode)
		}
		if diff := cmp.Diff([]string{"auto", "auto", "auto", "auto", "none"}, choices); diff != "" {
			t.Errorf("tool choices (-want +got):\n%s", diff)
		}
	})
}

func TestSampleWithToolsNeedsTheCapability(t *testing.T) {
	t.Parallel()
	// Of each call's own: the SDK's client changes them.
	params := func() *mcp.CallToolParams {
		return &mcp.CallToolParams{Name: "sampleWithTools", Arguments: map[string]any{"prompt": "?"}}
	}
	for name, opts := range map[string]*mcp.ClientOptions{
		"no sampling": nil,
		"no tools":    respondingClient(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := connect(t, everything.New(nil), v2025, opts).CallTool(t.Context(), params())
			if err != nil {
				t.Fatal(err)
			}
			wantToolError(t, res, "client does not support sampling with tools")

			_, err = connectHTTP(t, everything.New(nil), v2026, opts).CallTool(t.Context(), params())
			rpcErr := wantRPCError(t, err, -32021, "client does not support sampling with tools")
			wantJSON(t, rpcErr.Data, `{"requiredCapabilities": {"sampling": {"tools": {}}}}`)
		})
	}
}

func TestClientThatRefusesToSampleWithToolsIsAToolError(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, &mcp.ClientOptions{
		CreateMessageWithToolsHandler: func(context.Context, *mcp.CreateMessageWithToolsRequest) (*mcp.CreateMessageWithToolsResult, error) {
			return nil, errors.New("user said no")
		},
	})
	wantToolError(t, call(t, cs, "sampleWithTools", map[string]any{"prompt": "?"}), "user said no")
}
