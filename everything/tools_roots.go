package everything

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func addRootsTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "listRoots",
		Title:       "List Roots",
		Description: "Demonstrates roots: lists what the client lets servers work on",
		Annotations: inquiry(),
		Icons:       icons(speechIcon),
		InputSchema: inputSchema[noArgs](nil),
	}, listRoots)
}

func listRoots(ctx context.Context, req *mcp.CallToolRequest, _ noArgs) (*mcp.CallToolResult, any, error) {
	if caps := req.ClientCapabilities(); caps == nil || caps.RootsV2 == nil {
		return nil, nil, missingCapability(req, "roots", map[string]any{"roots": map[string]any{}})
	}
	response, err := ask(ctx, req.Session.ListRoots, &mcp.ListRootsParams{})
	if err != nil {
		return nil, nil, err
	}
	return textResult(rootsText(response.Roots)), nil, nil
}

func rootsText(roots []*mcp.Root) string {
	var lines []string
	for _, root := range roots {
		if root == nil { // what a client sends may be null
			continue
		}
		lines = append(lines, fmt.Sprintf("\n- %s: %s", cmp.Or(root.Name, "(unnamed)"), root.URI))
	}
	if lines == nil {
		return "The client has no roots."
	}
	return "The client's roots:" + strings.Join(lines, "")
}
