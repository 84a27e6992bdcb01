package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/transport"
)

// A handler's fault is the error of its call: also without package mcp.
func TestAHandlersFaultIsItsCallsError(t *testing.T) {
	t.Parallel()
	faults := map[string]func() (*mcp.CallToolResult, error){
		"panic":     func() (*mcp.CallToolResult, error) { panic("a tool") },
		"no result": func() (*mcp.CallToolResult, error) { return nil, nil },
		"not JSON": func() (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{StructuredContent: json.RawMessage("")}, nil
		},
		"just fails": func() (*mcp.CallToolResult, error) { return nil, errors.New("plain") },
	}
	f := newFleet(t, redistest.NewMiniredis(t), func(_ *fleet, server *mcp.Server) {
		for name, run := range faults {
			server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)},
				func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return run() })
		}
		tool(server, "x", func(context.Context, *mcp.CallToolRequest) (string, error) { return "x", nil })
	})
	id := initialize(t, f.nodes[0], f.servers[0], "")
	for i, node := range f.nodes {
		for name := range faults {
			got := sendAll(t, serve(t, node, f.servers[i], transport.Request{Session: id, Message: call(1, name)}))
			if len(got) != 1 || !strings.HasPrefix(string(got[0].Message), `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"`) {
				t.Errorf("%s: %s", name, got)
			}
		}
		got := sendAll(t, serve(t, node, f.servers[i], transport.Request{Session: id, Message: call(1, "x")}))
		if len(got) != 1 || !strings.Contains(string(got[0].Message), `"text":"x"`) {
			t.Errorf("afterwards: %s", got)
		}
	}
}
