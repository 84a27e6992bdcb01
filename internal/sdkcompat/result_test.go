package sdkcompat

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestAToolsResultIsEncodedAsTheSDKDoes(t *testing.T) {
	t.Parallel()
	results := map[string]*mcp.CallToolResult{
		"nil":     nil,
		"nothing": {},
		"content": {
			Meta: mcp.Meta{"a": "<b>"},
			Content: []mcp.Content{
				&mcp.TextContent{Text: "<script>&\u2028\xff\"\n"},
				&mcp.ImageContent{Data: []byte{0, 1, 2}, MIMEType: "image/png"},
				&mcp.ToolResultContent{ToolUseID: "1", Content: []mcp.Content{&mcp.TextContent{Text: "within"}}},
			},
			IsError: true,
		},
		"structured":     {StructuredContent: map[string]any{"b": 1.5, "a": []any{nil, "<"}}},
		"raw":            {StructuredContent: json.RawMessage("{ \"a\" :\t\"<&\u2029\" }\n")},
		"raw and broken": {StructuredContent: json.RawMessage("{")},
		"not JSON":       {StructuredContent: make(chan int)},
		"input requests": {InputRequests: mcp.InputRequestMap{"q": &mcp.ElicitParams{Message: "<who>?"}}},
	}
	for name, result := range results {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, wantErr := encodeJSON(result)
			got, err := encodeResult(result)
			if diff := cmp.Diff(string(want), string(got)); diff != "" || (err != nil) != (wantErr != nil) {
				t.Errorf("error %v, want %v; -want +got:\n%s", err, wantErr, diff)
			}
		})
	}
}
