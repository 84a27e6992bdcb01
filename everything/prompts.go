package everything

import (
	"context"
	"fmt"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// prompt is a prompt with what is known about it: how to get it, and the values
// its arguments may be completed with.
type prompt struct {
	prompt *mcp.Prompt
	get    func(arguments map[string]string) ([]*mcp.PromptMessage, error)
	values map[string][]string
}

func newPrompts() []prompt {
	return []prompt{
		{
			prompt: &mcp.Prompt{Name: "simple_prompt", Description: "A prompt without arguments"},
			get:    simplePrompt,
		},
		{
			prompt: &mcp.Prompt{
				Name:        "complex_prompt",
				Description: "A prompt with arguments",
				Arguments: []*mcp.PromptArgument{
					{Name: "temperature", Description: "Temperature setting", Required: true},
					{Name: "style", Description: "Output style"},
				},
			},
			get: complexPrompt,
			values: map[string][]string{
				"temperature": {"0", "0.5", "0.7", "1.0"},
				"style":       {"casual", "formal", "technical", "friendly"},
			},
		},
		{
			prompt: &mcp.Prompt{
				Name:        "resource_prompt",
				Description: "A prompt that includes an embedded resource reference",
				Arguments: []*mcp.PromptArgument{
					{Name: "resourceId", Description: "Resource ID to include (1-100)", Required: true},
				},
			},
			get:    resourcePrompt,
			values: map[string][]string{"resourceId": resourceIDs()},
		},
	}
}

// handle gets the prompt, as a [mcp.PromptHandler]. A required argument that is
// empty counts as missing: forms submit fields nobody filled in that way.
func (p prompt) handle(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	for _, arg := range p.prompt.Arguments {
		if arg.Required && req.Params.Arguments[arg.Name] == "" {
			return nil, invalidParams("prompt %q: missing required argument %q", p.prompt.Name, arg.Name)
		}
	}
	messages, err := p.get(req.Params.Arguments)
	if err != nil {
		return nil, err
	}
	return &mcp.GetPromptResult{Description: p.prompt.Description, Messages: messages}, nil
}

func simplePrompt(map[string]string) ([]*mcp.PromptMessage, error) {
	return []*mcp.PromptMessage{
		{Role: "user", Content: text("This is a simple prompt without arguments.")},
	}, nil
}

func complexPrompt(args map[string]string) ([]*mcp.PromptMessage, error) {
	request := "This is a complex prompt with arguments: temperature=" + args["temperature"]
	if style := args["style"]; style != "" {
		request += ", style=" + style
	}
	return []*mcp.PromptMessage{
		{Role: "user", Content: text(request)},
		{Role: "assistant", Content: text("I understand. You've provided a complex prompt with temperature" +
			" and style arguments. How would you like me to proceed?")},
		{Role: "user", Content: tinyImage(nil)},
	}, nil
}

func resourcePrompt(args map[string]string) ([]*mcp.PromptMessage, error) {
	id, ok := parseResourceID(args["resourceId"])
	if !ok {
		return nil, invalidParams("Invalid resourceId: %s. Must be a number between 1 and %d.",
			args["resourceId"], resourceCount)
	}
	return []*mcp.PromptMessage{
		{Role: "user", Content: text(fmt.Sprintf(
			"This prompt includes %s. Please analyze the following resource:", id.name()))},
		{Role: "user", Content: &mcp.EmbeddedResource{Resource: id.contents()}},
	}, nil
}

// resourceIDs returns the numbers of all static resources, in order.
func resourceIDs() []string {
	ids := make([]string, resourceCount)
	for i := range ids {
		ids[i] = strconv.Itoa(i + 1)
	}
	return ids
}
