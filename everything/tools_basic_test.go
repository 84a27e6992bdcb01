package everything_test

import (
	"bytes"
	"encoding/json"
	"image/png"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

func TestEchoRepeatsTheMessage(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		for _, message := range []string{"hello", "", "two\nlines", "<b>&\u2028\x00 \U0001f6a2", strings.Repeat("x", 100_000)} {
			wantText(t, call(t, cs, "echo", map[string]any{"message": message}), "Echo: "+message)
		}
	})
}

func TestAddFormatsNumbersLikeJavaScript(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, nil)
	for _, tt := range []struct{ args, want string }{
		{`{"a": 1, "b": 2}`, "The sum of 1 and 2 is 3."},
		{`{"a": 0.1, "b": 0.2}`, "The sum of 0.1 and 0.2 is 0.30000000000000004."},
		{`{"a": 1.0, "b": -2.50}`, "The sum of 1 and -2.5 is -1.5."},
		{`{"a": 1e21, "b": 0}`, "The sum of 1e+21 and 0 is 1e+21."},
		{`{"a": 1e20, "b": 0}`, "The sum of 100000000000000000000 and 0 is 100000000000000000000."},
		{`{"a": 1e-7, "b": -0.0}`, "The sum of 1e-7 and 0 is 1e-7."},
		{`{"a": 1e308, "b": 1e308}`, "The sum of 1e+308 and 1e+308 is Infinity."},
		{`{"a": -1e308, "b": -1e308}`, "The sum of -1e+308 and -1e+308 is -Infinity."},
	} {
		wantText(t, call(t, cs, "add", json.RawMessage(tt.args)), tt.want)
	}
}

// wrongArguments are arguments that do not fit a tool, and what its error names.
var wrongArguments = []struct{ tool, args, want string }{
	{"echo", `{}`, `missing properties: ["message"]`},
	{"echo", `null`, `missing properties: ["message"]`},
	{"echo", `{"message": null}`, "message"},
	{"echo", `{"message": 1}`, "message"},
	{"echo", `{"Message": "wrong case"}`, "Message"},
	{"echo", `{"message": "hi", "loud": true}`, "loud"},
	{"echo", `[]`, "arguments"},
	{"echo", `"hi"`, "arguments"},
	{"annotatedMessage", `null`, `missing properties: ["messageType"]`},
	{"add", `{"a": 1}`, `missing properties: ["b"]`},
	{"add", `{"a": "1", "b": 2}`, "/properties/a"},
	{"add", `{"a": 1e999, "b": 2}`, "arguments"},
	{"getTinyImage", `{"size": 1}`, "size"},
	{"annotatedMessage", `{}`, `missing properties: ["messageType"]`},
	{"annotatedMessage", `{"messageType": "warning"}`, "messageType"},
	{"annotatedMessage", `{"messageType": "error", "includeImage": "yes"}`, "includeImage"},
	{"getResourceReference", `{}`, `missing properties: ["resourceId"]`},
	{"getResourceReference", `{"resourceId": 0}`, "less than 1"},
	{"getResourceReference", `{"resourceId": 101}`, "greater than 100"},
	{"getResourceReference", `{"resourceId": 1.5}`, "resourceId"},
	{"getResourceReference", `{"resourceId": "7"}`, "resourceId"},
	{"longRunningOperation", `{"duration": -1}`, "less than 0"},
	{"longRunningOperation", `{"duration": 3600.1}`, "is greater than 3600"},
	{"longRunningOperation", `{"duration": 1e300}`, "is greater than 3600"},
	{"longRunningOperation", `{"duration": "10"}`, "duration"},
	{"longRunningOperation", `{"duration": "NaN"}`, "duration"},
	{"longRunningOperation", `{"steps": 0}`, "less than 1"},
	{"longRunningOperation", `{"steps": -3}`, "less than 1"},
	{"longRunningOperation", `{"steps": 1001}`, "greater than 1000"},
	{"longRunningOperation", `{"steps": 2.5}`, "steps"},
	{"longRunningOperation", `{"steps": 1e30}`, "steps"},
	{"sampleLLM", `{}`, `missing properties: ["prompt"]`},
	{"sampleLLM", `{"prompt": ["hi"]}`, "prompt"},
	{"sampleLLM", `{"prompt": "hi", "maxTokens": 0}`, "less than 1"},
	{"sampleLLM", `{"prompt": "hi", "maxTokens": 1.5}`, "maxTokens"},
	{"sampleLLM", `{"prompt": "hi", "maxTokens": 1e18}`, "is greater than"},
	{"elicitInputs", `{"name": "me"}`, "name"},
	{"mcp_apps_hello_world", `{"x": 1}`, "x"},
	{"getWeather", `{}`, `missing properties: ["city"]`},
	{"getWeather", `{"city": "Atlantis"}`, "city"},
	{"getWeather", `{"city": "oslo"}`, "city"},
	{"getTinyAudio", `{"loud": true}`, "loud"},
	{"getResourceLinks", `{"count": 0}`, "less than 1"},
	{"getResourceLinks", `{"count": 11}`, "greater than 10"},
	{"getResourceLinks", `{"count": 1.5}`, "count"},
	{"listRoots", `{"all": true}`, "all"},
	{"elicitUrl", `{"url": "https://evil.example"}`, "url"},
	{"guessNumber", `{"max": 1}`, "max"},
	{"guessNumber", `{"max": 1000000001}`, "max"},
	{"sampleWithTools", `{}`, `missing properties: ["prompt"]`},
	{"sampleWithTools", `{"prompt": null}`, "prompt"},
	{"toggleResource", `{}`, `missing properties: ["on"]`},
	{"toggleResource", `{"on": 1}`, "on"},
	{"toggleTool", `{}`, `missing properties: ["on"]`},
	{"toggleTool", `{"on": "yes"}`, "on"},
	{"toggleTool", `{"on": null}`, "on"},
	{"toggleTool", `{"on": true, "tool": "echo"}`, "tool"},
}

// A model corrects its arguments only if it is shown what was wrong with them,
// so wrong arguments are results and not protocol errors.
func TestWrongArgumentsAreToolErrors(t *testing.T) {
	t.Parallel()
	for _, version := range []string{v2025, v2026} {
		cs := connect(t, everything.New(nil), version, respondingClient())
		for _, tt := range wrongArguments {
			t.Run(version+"/"+tt.tool+tt.args, func(t *testing.T) {
				wantToolError(t, call(t, cs, tt.tool, json.RawMessage(tt.args)), tt.want)
			})
		}
	}
}

// The SDK's client does not send them. A panic here would end the process: it is
// in a goroutine of the SDK.
func TestArgumentsThatAreNullAreNone(t *testing.T) {
	t.Parallel()
	endpoint := serveHTTP(t, everything.New(nil), v2026)
	for _, arguments := range []string{"", `"arguments": null,`, `"arguments": {},`} {
		response := post2026(t, endpoint, "tools/call", `{`+arguments+`"name": "getResourceLinks"}`)
		if content := response["result"].(map[string]any)["content"].([]any); len(content) != 1+3 {
			t.Errorf("%s: %v", arguments, content)
		}
	}
	for _, arguments := range []string{"", `, "arguments": null`} {
		messages := newWire(t).post(t, `{"jsonrpc": "2.0", "id": 1, "method": "tools/call",
			"params": {"name": "getResourceLinks"`+arguments+`}}`)
		if content := messages[0]["result"].(map[string]any)["content"].([]any); len(content) != 1+3 {
			t.Errorf("%s: %v", arguments, content)
		}
	}
}

func TestGetTinyImageReturnsAPicture(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		res := call(t, connect(nil), "getTinyImage", nil)
		if len(res.Content) != 3 {
			t.Fatalf("got %d content blocks, want 3", len(res.Content))
		}
		wantJSON(t, res.Content[0], `{"type": "text", "text": "This is a tiny image:"}`)
		wantTinyImage(t, res.Content[1], nil)
		wantJSON(t, res.Content[2], `{"type": "text", "text": "The image above is the MCP tiny image."}`)
	})
}

func wantTinyImage(t *testing.T, content mcp.Content, annotations *mcp.Annotations) {
	t.Helper()
	got, ok := content.(*mcp.ImageContent)
	if !ok {
		t.Fatalf("content is a %T, want an image", content)
	}
	if got.MIMEType != "image/png" {
		t.Errorf("MIME type is %q, want image/png", got.MIMEType)
	}
	if diff := cmp.Diff(annotations, got.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	img, err := png.Decode(bytes.NewReader(got.Data))
	if err != nil {
		t.Fatal(err)
	}
	if size := img.Bounds().Size(); size.X != 20 || size.Y != 20 {
		t.Errorf("size is %v, want 20x20", size)
	}
}

func TestAnnotatedMessageAnnotatesByType(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, nil)
	for _, tt := range []struct{ messageType, want string }{
		{"error", `{"type": "text", "text": "Error: Operation failed",
			"annotations": {"priority": 1, "audience": ["user", "assistant"]}}`},
		{"success", `{"type": "text", "text": "Operation completed successfully",
			"annotations": {"priority": 0.7, "audience": ["user"]}}`},
		{"debug", `{"type": "text", "text": "Debug: Cache hit ratio 0.95, latency 150ms",
			"annotations": {"priority": 0.3, "audience": ["assistant"]}}`},
	} {
		t.Run(tt.messageType, func(t *testing.T) {
			without := call(t, cs, "annotatedMessage", map[string]any{"messageType": tt.messageType})
			wantJSON(t, without.Content, "["+tt.want+"]")

			with := call(t, cs, "annotatedMessage", map[string]any{"messageType": tt.messageType, "includeImage": true})
			if len(with.Content) != 2 {
				t.Fatalf("got %d content blocks, want 2", len(with.Content))
			}
			wantJSON(t, with.Content[0], tt.want)
			wantTinyImage(t, with.Content[1], &mcp.Annotations{Priority: 0.5, Audience: []mcp.Role{"user"}})
		})
	}
}

func TestGetResourceReferenceEmbedsTheResource(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, nil)
	wantJSON(t, call(t, cs, "getResourceReference", map[string]any{"resourceId": 1}).Content, `[
		{"type": "text", "text": "Returning resource reference for Resource 1:"},
		{"type": "resource", "resource": {
			"uri": "test://static/resource/1", "mimeType": "text/plain",
			"text": "Resource 1: This is a plaintext resource"}},
		{"type": "text", "text": "You can access this resource using the URI: test://static/resource/1"}
	]`)
	// 100.0 is an integer in JSON. The blob is "Resource 100: This is a base64 blob".
	wantJSON(t, call(t, cs, "getResourceReference", json.RawMessage(`{"resourceId": 100.0}`)).Content, `[
		{"type": "text", "text": "Returning resource reference for Resource 100:"},
		{"type": "resource", "resource": {
			"uri": "test://static/resource/100", "mimeType": "application/octet-stream",
			"blob": "UmVzb3VyY2UgMTAwOiBUaGlzIGlzIGEgYmFzZTY0IGJsb2I="}},
		{"type": "text", "text": "You can access this resource using the URI: test://static/resource/100"}
	]`)
}
