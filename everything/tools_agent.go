package everything

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	// maxSamples is how often one call of sampleWithTools samples. The last
	// time, the model is told not to use tools.
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
		Icons:       icons(questionIcon),
		InputSchema: inputSchema[agentArgs](nil),
	}, sampleWithTools)
}

type agentArgs struct {
	Prompt string `json:"prompt" jsonschema:"The prompt to send to the LLM"`
}

// sampleWithTools samples until the model says something instead of using
// tools. What was said so far is kept here, or, from 2026-07-28, by the client:
// any instance can go on with it.
func sampleWithTools(ctx context.Context, req *mcp.CallToolRequest, in agentArgs) (*mcp.CallToolResult, any, error) {
	if caps := req.ClientCapabilities(); caps == nil || caps.Sampling == nil || caps.Sampling.Tools == nil {
		return nil, nil, missingCapability(req.Session, "sampling with tools",
			map[string]any{"sampling": map[string]any{"tools": map[string]any{}}})
	}
	said, err := resume(req)
	if err != nil {
		return nil, nil, err
	}
	for sample := len(said)/2 + 1; sample <= maxSamples; sample++ {
		params := agentParams(in.Prompt, said, sample == maxSamples)
		answer, pending, err := ask(ctx, req, fmt.Sprintf("sample%d", sample), params,
			func(ctx context.Context) (*mcp.CreateMessageWithToolsResult, error) {
				return req.Session.CreateMessageWithTools(ctx, params)
			})
		if err != nil {
			return nil, nil, err
		}
		if pending != nil {
			return suspend(pending, said)
		}
		results := useTools(answer.Content)
		if results == nil {
			return samplingResult(answer.Content)
		}
		said = append(said,
			&mcp.SamplingMessageV2{Role: "assistant", Content: answer.Content},
			&mcp.SamplingMessageV2{Role: "user", Content: results})
	}
	return nil, nil, fmt.Errorf("the client's model still uses tools after %d samples", maxSamples)
}

func agentParams(prompt string, said []*mcp.SamplingMessageV2, last bool) *mcp.CreateMessageWithToolsParams {
	question := &mcp.SamplingMessageV2{Role: "user", Content: []mcp.Content{text(prompt)}}
	choice := "auto"
	if last {
		choice = "none"
	}
	return &mcp.CreateMessageWithToolsParams{
		Messages:     append([]*mcp.SamplingMessageV2{question}, said...),
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

// suspend adds what was said so far to a result that asks for more. It is not
// signed: a client that forges it changes what its own model is told, and gains
// nothing from the server.
func suspend(pending *mcp.CallToolResult, said []*mcp.SamplingMessageV2) (*mcp.CallToolResult, any, error) {
	if len(said) == 0 {
		return pending, nil, nil
	}
	state, err := json.Marshal(said)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the conversation: %w", err)
	}
	pending.RequestState = string(state)
	return pending, nil, nil
}

// resume returns what was said before the call was suspended: pairs of a sample
// that uses tools and the results.
func resume(req *mcp.CallToolRequest) ([]*mcp.SamplingMessageV2, error) {
	if !usesInputRequests(req.Session) || req.Params.RequestState == "" {
		return nil, nil
	}
	var said []*mcp.SamplingMessageV2
	err := json.Unmarshal([]byte(req.Params.RequestState), &said)
	if err != nil || len(said)%2 != 0 || len(said)/2 >= maxSamples || slices.Contains(said, nil) {
		return nil, invalidParams("invalid requestState")
	}
	return said, nil
}
