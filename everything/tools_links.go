package everything

import (
	"context"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const maxLinks = 10

func addLinksTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "getResourceLinks",
		Title:       "Resource Links",
		Description: "Returns links to resources, which a client may read or not",
		Annotations: lookup(),
		Icons:       icons(documentIcon),
		InputSchema: inputSchema[linksArgs](func(p map[string]*jsonschema.Schema) {
			p["count"].Default = marshal(3)
			bound(p["count"], 1, maxLinks)
		}),
	}, getResourceLinks)
}

type linksArgs struct {
	Count int `json:"count,omitempty" jsonschema:"Number of links to return (1-10)"`
}

func getResourceLinks(_ context.Context, _ *mcp.CallToolRequest, in linksArgs) (*mcp.CallToolResult, any, error) {
	content := []mcp.Content{text(fmt.Sprintf("Here are %d of %d resources:", in.Count, resourceCount))}
	for id := resourceID(1); int(id) <= in.Count; id++ {
		content = append(content, id.link())
	}
	return &mcp.CallToolResult{Content: content}, nil, nil
}
