package everything

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// prompt is a prompt with what is known about it: how to get it, and the values
// its arguments may be completed with.
type prompt struct {
	prompt *mcp.Prompt
	get    func(arguments map[string]string) ([]*mcp.PromptMessage, error)
	values map[string]choices
}

// choices returns the values an argument may be completed with, given those
// arguments that have a value already.
type choices func(chosen map[string]string) []string

func fixed(values ...string) choices {
	return func(map[string]string) []string { return values }
}

func newPrompts() []prompt {
	return []prompt{
		{
			prompt: &mcp.Prompt{
				Name:        "simple_prompt",
				Title:       "Simple Prompt",
				Description: "A prompt without arguments",
				Icons:       icons(promptIcon),
			},
			get: simplePrompt,
		},
		{
			prompt: &mcp.Prompt{
				Name:        "complex_prompt",
				Title:       "Complex Prompt",
				Description: "A prompt with arguments",
				Icons:       icons(promptIcon),
				Arguments: []*mcp.PromptArgument{
					{Name: "temperature", Title: "Temperature", Description: "Temperature setting", Required: true},
					{Name: "style", Title: "Style", Description: "Output style"},
				},
			},
			get: complexPrompt,
			values: map[string]choices{
				"temperature": fixed("0", "0.5", "0.7", "1.0"),
				"style":       fixed("casual", "formal", "technical", "friendly"),
			},
		},
		{
			prompt: &mcp.Prompt{
				Name:        "resource_prompt",
				Title:       "Resource Prompt",
				Description: "A prompt that includes an embedded resource reference",
				Icons:       icons(promptIcon),
				Arguments: []*mcp.PromptArgument{
					{Name: "resourceId", Title: "Resource ID", Description: "Resource ID to include (1-100)", Required: true},
				},
			},
			get:    resourcePrompt,
			values: map[string]choices{"resourceId": fixed(resourceIDs()...)},
		},
		{
			prompt: &mcp.Prompt{
				Name:        "weather_prompt",
				Title:       "Weather Prompt",
				Description: "A prompt with an argument whose completion depends on another one",
				Icons:       icons(promptIcon),
				Arguments: []*mcp.PromptArgument{
					{Name: "country", Title: "Country", Description: "Country to go to", Required: true},
					{Name: "city", Title: "City", Description: "City of that country", Required: true},
				},
			},
			get: weatherPrompt,
			values: map[string]choices{
				"country": fixed(countries()...),
				"city":    func(chosen map[string]string) []string { return cities(chosen["country"]) },
			},
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

func weatherPrompt(args map[string]string) ([]*mcp.PromptMessage, error) {
	country, city := args["country"], args["city"]
	if !slices.Contains(cities(country), city) {
		return nil, invalidParams("Unknown city: %s in %s.", city, country)
	}
	return []*mcp.PromptMessage{
		{Role: "user", Content: text(fmt.Sprintf(
			"I am going to %s in %s. Look up the weather with %s, and tell me what to wear.", city, country, weatherName))},
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
