package everything_test

import (
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestPromptsAreListedWithTheirArguments(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		res, err := connect(nil).ListPrompts(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range res.Prompts {
			wantIcons(t, p.Name, p.Icons)
		}
		wantJSON(t, without(t, res.Prompts, "icons"), `[
			{
				"name": "complex_prompt",
				"title": "Complex Prompt",
				"description": "A prompt with arguments",
				"arguments": [
					{"name": "temperature", "title": "Temperature", "description": "Temperature setting", "required": true},
					{"name": "style", "title": "Style", "description": "Output style"}
				]
			},
			{
				"name": "resource_prompt",
				"title": "Resource Prompt",
				"description": "A prompt that includes an embedded resource reference",
				"arguments": [
					{"name": "resourceId", "title": "Resource ID",
						"description": "Resource ID to include (1-100)", "required": true}
				]
			},
			{"name": "simple_prompt", "title": "Simple Prompt", "description": "A prompt without arguments"},
			{
				"name": "weather_prompt",
				"title": "Weather Prompt",
				"description": "A prompt with an argument whose completion depends on another one",
				"arguments": [
					{"name": "country", "title": "Country", "description": "Country to go to", "required": true},
					{"name": "city", "title": "City", "description": "City of that country", "required": true}
				]
			}
		]`)
	})
}

func getPrompt(t *testing.T, cs *mcp.ClientSession, name string, args map[string]string) *mcp.GetPromptResult {
	t.Helper()
	res, err := cs.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: name, Arguments: args})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestSimplePrompt(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		for _, args := range []map[string]string{nil, {"unknown": "is ignored"}} {
			res := getPrompt(t, cs, "simple_prompt", args)
			if res.Description != "A prompt without arguments" {
				t.Errorf("description is %q", res.Description)
			}
			wantJSON(t, res.Messages, `[
				{"role": "user", "content": {"type": "text", "text": "This is a simple prompt without arguments."}}
			]`)
		}
	})
}

func TestComplexPrompt(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		for _, tt := range []struct {
			args map[string]string
			want string
		}{
			{map[string]string{"temperature": "0.7", "style": "formal"}, "temperature=0.7, style=formal"},
			{map[string]string{"temperature": "0.7"}, "temperature=0.7"},
			{map[string]string{"temperature": "0.7", "style": ""}, "temperature=0.7"},
		} {
			messages := getPrompt(t, cs, "complex_prompt", tt.args).Messages
			if len(messages) != 3 {
				t.Fatalf("got %d messages, want 3", len(messages))
			}
			wantJSON(t, messages[0], `{"role": "user", "content": {"type": "text",
				"text": "This is a complex prompt with arguments: `+tt.want+`"}}`)
			wantJSON(t, messages[1], `{"role": "assistant", "content": {"type": "text",
				"text": "I understand. You've provided a complex prompt with temperature and style arguments. How would you like me to proceed?"}}`)
			if messages[2].Role != "user" {
				t.Errorf("role of the image is %s", messages[2].Role)
			}
			wantTinyImage(t, messages[2].Content, nil)
		}
	})
}

func TestResourcePrompt(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		wantJSON(t, getPrompt(t, connect(nil), "resource_prompt", map[string]string{"resourceId": "9"}).Messages, `[
			{"role": "user", "content": {"type": "text",
				"text": "This prompt includes Resource 9. Please analyze the following resource:"}},
			{"role": "user", "content": {"type": "resource", "resource": {
				"uri": "test://static/resource/9", "mimeType": "text/plain",
				"text": "Resource 9: This is a plaintext resource"}}}
		]`)
	})
}

func TestWeatherPrompt(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		args := map[string]string{"country": "Norway", "city": "Tromsø"}
		wantJSON(t, getPrompt(t, connect(nil), "weather_prompt", args).Messages, `[
			{"role": "user", "content": {"type": "text", "text":
				"I am going to Tromsø in Norway. Look up the weather with getWeather, and tell me what to wear."}}
		]`)
	})
}

func TestWrongPromptRequestsAreInvalidParams(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		for _, tt := range []struct {
			name string
			args map[string]string
			want string
		}{
			{"unknown", nil, `unknown prompt "unknown"`},
			{"complex_prompt", nil, `missing required argument "temperature"`},
			{"complex_prompt", map[string]string{"style": "formal"}, `missing required argument "temperature"`},
			{"complex_prompt", map[string]string{"temperature": ""}, `missing required argument "temperature"`},
			{"resource_prompt", nil, `missing required argument "resourceId"`},
			{"resource_prompt", map[string]string{"resourceID": "7"}, `missing required argument "resourceId"`},
			{"resource_prompt", map[string]string{"resourceId": "0"}, "Invalid resourceId: 0. Must be a number between 1 and 100."},
			{"resource_prompt", map[string]string{"resourceId": "101"}, "Invalid resourceId: 101. Must be a number between 1 and 100."},
			{"resource_prompt", map[string]string{"resourceId": "3abc"}, "Invalid resourceId: 3abc. Must be a number between 1 and 100."},
			{"resource_prompt", map[string]string{"resourceId": "1.5"}, "Invalid resourceId: 1.5."},
			{"resource_prompt", map[string]string{"resourceId": " 7"}, "Invalid resourceId:  7."},
			{"resource_prompt", map[string]string{"resourceId": "%d"}, "Invalid resourceId: %d."},
			{"weather_prompt", map[string]string{"country": "Norway"}, `missing required argument "city"`},
			{"weather_prompt", map[string]string{"city": "Oslo"}, `missing required argument "country"`},
			{"weather_prompt", map[string]string{"country": "Peru", "city": "Oslo"}, "Unknown city: Oslo in Peru."},
			{"weather_prompt", map[string]string{"country": "%s", "city": "%d"}, "Unknown city: %d in %s."},
		} {
			_, err := cs.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: tt.name, Arguments: tt.args})
			wantRPCError(t, err, -32602, tt.want)
			if strings.Contains(err.Error(), "%!") {
				t.Errorf("message is badly formatted: %v", err)
			}
		}
	})
}
