package everything

import (
	"context"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	// maxSamples is how often one call of sampleWithTools samples. In the last
	// sample the model may not use tools.
	maxSamples      = 5
	maxAgentTokens  = 1000
	agentPromptText = "You are a helpful test server. The tool getWeather knows the weather in some cities."
)

func addAgentTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "sampleWithTools",
		Title:       "Sample with Tools",
		Description: "Demonstrates sampling with tools: the client's LLM may ask the server for the weather",
		Annotations: inquiry(),
		Icons:       icons(speechIcon),
		InputSchema: inputSchema[agentArgs](nil),
	}, sampleWithTools)
}

type agentArgs struct {
	Prompt string `json:"prompt" jsonschema:"The prompt to send to the LLM"`
}

// sampleWithTools samples until the model responds with text instead of using
// tools.
func sampleWithTools(ctx context.Context, req *mcp.CallToolRequest, in agentArgs) (*mcp.CallToolResult, any, error) {
	if caps := req.ClientCapabilities(); caps == nil || caps.Sampling == nil || caps.Sampling.Tools == nil {
		return nil, nil, missingCapability(req, "sampling with tools",
			map[string]any{"sampling": map[string]any{"tools": map[string]any{}}})
	}
	var history []*mcp.SamplingMessageV2
	for sample := 1; sample <= maxSamples; sample++ {
		params := agentParams(in.Prompt, history, sample == maxSamples)
		response, err := ask(ctx, req.Session.CreateMessageWithTools, params)
		if err != nil {
			return nil, nil, err
		}
		results := useTools(response.Content)
		if results == nil {
			return samplingResult(response.Content)
		}
		history = append(history,
			&mcp.SamplingMessageV2{Role: "assistant", Content: response.Content},
			&mcp.SamplingMessageV2{Role: "user", Content: results})
	}
	return nil, nil, fmt.Errorf("the client's model still uses tools after %d samples", maxSamples)
}

func agentParams(prompt string, history []*mcp.SamplingMessageV2, last bool) *mcp.CreateMessageWithToolsParams {
	first := &mcp.SamplingMessageV2{Role: "user", Content: []mcp.Content{text(prompt)}}
	choice := "auto"
	if last {
		choice = "none"
	}
	return &mcp.CreateMessageWithToolsParams{
		Messages:     append([]*mcp.SamplingMessageV2{first}, history...),
		SystemPrompt: agentPromptText,
		MaxTokens:    maxAgentTokens,
		Tools: []*mcp.Tool{{
			Name:        weatherName,
			Description: "Returns the weather in a city",
			InputSchema: weatherSchema(),
		}},
		ToolChoice: &mcp.ToolChoice{Mode: choice},
	}
}

// useTools returns the results of all tools a sample uses, or nil if it uses none.
func useTools(content []mcp.Content) []mcp.Content {
	var results []mcp.Content
	for _, c := range content {
		if use, ok := c.(*mcp.ToolUseContent); ok {
			results = append(results, useTool(use))
		}
	}
	return results
}

// useTool returns errors as results, for the model to learn from.
func useTool(use *mcp.ToolUseContent) *mcp.ToolResultContent {
	result := &mcp.ToolResultContent{ToolUseID: use.ID}
	city, _ := use.Input["city"].(string)
	w, ok := weatherIn(city)
	switch {
	case use.Name != weatherName:
		result.IsError = true
		result.Content = []mcp.Content{text(fmt.Sprintf("unknown tool %q", use.Name))}
	case !ok:
		result.IsError = true
		result.Content = []mcp.Content{text(fmt.Sprintf("no weather for the city %q", city))}
	default:
		result.Content = []mcp.Content{text(string(marshal(w)))}
		result.StructuredContent = w
	}
	return result
}
