package mcp_test

import (
	"context"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// See sdkcompat.WithoutNullArguments: a panic here would end the test's process.
func TestNullArgumentsAreNoArguments(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t, fleettest.Config{Server: func() *mcp.Server {
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		schema := map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer", "default": 5}}}
		handler := func(context.Context, *mcp.CallToolRequest, struct{ N int }) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "called"}}}, nil, nil
		}
		mcp.AddTool(server, &mcp.Tool{Name: "defaulted", InputSchema: schema}, handler)
		return server
	}})
	c := fleettest.Initialized(t, f.URL)
	for _, params := range []string{
		`{"name":"defaulted","arguments":null}`,
		`{"name":"defaulted", "arguments" : null }`,
		`{"arguments":{},"name":"defaulted","arguments":null}`,
		`{"name":"defaulted","argument\u0073":null}`,
		`{"name":"defaulted"}`,
		`{"name":"defaulted","arguments":{}}`,
	} {
		if m := c.Call(t, "tools/call", params); m.Error != nil {
			t.Errorf("%s: %s", params, m.Error)
		}
		stateless := *c
		stateless.Version, stateless.Session = statelessVersion, ""
		for _, id := range []any{1, int64(1)<<60 + 1} {
			if m := c.Message(t, stateless.Post(t, statelessBody(id, "tools/call", params), named("tools/call", "defaulted"))); m.Error != nil {
				t.Errorf("without a session, request %d: %s: %s", id, params, m.Error)
			}
		}
	}
}
