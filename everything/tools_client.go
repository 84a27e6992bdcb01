package everything

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxSampleTokens bounds what sampleLLM asks for: far more than a demonstration
// needs, and small enough for every client's integer type.
const maxSampleTokens = 1_000_000

// addClientTools adds the tools that send the client a request for sampling or
// elicitation.
func addClientTools(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "sampleLLM",
		Title:       "Sample an LLM",
		Annotations: inquiry(),
		Icons:       icons(speechIcon),
		Description: "Samples from an LLM using MCP's sampling feature",
		InputSchema: inputSchema[sampleArgs](func(p map[string]*jsonschema.Schema) {
			p["maxTokens"].Default = marshal(100)
			bound(p["maxTokens"], 1, maxSampleTokens)
		}),
	}, sampleLLM)

	form := newInputForm()
	mcp.AddTool(server, &mcp.Tool{
		Name:        "elicitInputs",
		Title:       "Elicit Inputs",
		Annotations: inquiry(),
		Icons:       icons(speechIcon),
		Description: "Elicitation test tool that demonstrates how to request user input with various field types",
		InputSchema: inputSchema[noArgs](nil),
	}, form.elicitInputs)
}

type sampleArgs struct {
	Prompt    string `json:"prompt" jsonschema:"The prompt to send to the LLM"`
	MaxTokens int64  `json:"maxTokens,omitempty" jsonschema:"Maximum number of tokens to generate"`
}

func sampleLLM(ctx context.Context, req *mcp.CallToolRequest, in sampleArgs) (*mcp.CallToolResult, any, error) {
	if caps := req.ClientCapabilities(); caps == nil || caps.Sampling == nil {
		return nil, nil, missingCapability(req, "sampling", map[string]any{"sampling": map[string]any{}})
	}
	response, err := ask(ctx, req.Session.CreateMessageWithTools, samplingParams(in))
	if err != nil {
		return nil, nil, err
	}
	return samplingResult(response.Content)
}

func samplingParams(in sampleArgs) *mcp.CreateMessageWithToolsParams {
	return &mcp.CreateMessageWithToolsParams{
		Messages: []*mcp.SamplingMessageV2{{
			Role:    "user",
			Content: []mcp.Content{text("Resource sampleLLM context: " + in.Prompt)},
		}},
		SystemPrompt:   "You are a helpful test server.",
		MaxTokens:      in.MaxTokens,
		Temperature:    0.7,
		IncludeContext: "thisServer",
	}
}

func samplingResult(content []mcp.Content) (*mcp.CallToolResult, any, error) {
	sample, err := sampledText(content)
	if err != nil {
		return nil, nil, err
	}
	return textResult("LLM sampling result: " + sample), nil, nil
}

// sampledText joins the text blocks of a sample, most often one.
func sampledText(content []mcp.Content) (string, error) {
	var texts []string
	for _, c := range content {
		if t, ok := c.(*mcp.TextContent); ok {
			texts = append(texts, t.Text)
		}
	}
	if texts == nil {
		return "", errors.New("the client's sample has no text")
	}
	return strings.Join(texts, "\n"), nil
}

// inputForm is the form of elicitInputs. It is not changed after its creation.
type inputForm struct {
	schema   *jsonschema.Schema
	resolved *jsonschema.Resolved
}

func newInputForm() *inputForm {
	schema := inputFormSchema()
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		panic(fmt.Sprintf("schema of elicitInputs: %v", err))
	}
	return &inputForm{schema: schema, resolved: resolved}
}

func (f *inputForm) elicitInputs(ctx context.Context, req *mcp.CallToolRequest, _ noArgs) (*mcp.CallToolResult, any, error) {
	if !fillsInForms(req.ClientCapabilities()) {
		return nil, nil, missingForm(req)
	}
	response, err := ask(ctx, req.Session.Elicit, &mcp.ElicitParams{
		Mode:            "form",
		Message:         "Please provide inputs for the following fields:",
		RequestedSchema: f.schema,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := f.check(response); err != nil {
		return nil, nil, err
	}
	return elicitationText(response)
}

// fillsInForms reports whether the client supports form elicitation: expressly,
// or, as before there was another kind, by supporting elicitation at all.
func fillsInForms(caps *mcp.ClientCapabilities) bool {
	if caps == nil || caps.Elicitation == nil {
		return false
	}
	return caps.Elicitation.Form != nil || caps.Elicitation.URL == nil
}

// check refuses what the user accepted without content, which lacks the required
// fields. Other content the SDK has checked, and has filled in the defaults.
func (f *inputForm) check(response *mcp.ElicitResult) error {
	if response.Action != "accept" || response.Content != nil {
		return nil
	}
	if err := f.resolved.Validate(map[string]any{}); err != nil {
		return fmt.Errorf("elicitation result does not match the requested schema: %w", err)
	}
	return nil
}

// elicitationText shows a response as indented JSON, without escapes for HTML: it
// is read by people and models, not by a browser.
func elicitationText(response *mcp.ElicitResult) (*mcp.CallToolResult, any, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(response); err != nil {
		return nil, nil, fmt.Errorf("encode elicitation result: %w", err)
	}
	return textResult("Elicitation result: " + strings.TrimSuffix(buf.String(), "\n")), nil, nil
}
