package everything

import (
	"context"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// addBasicTools adds the tools that need nothing but their arguments.
func addBasicTools(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "echo",
		Title:       "Echo",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		Description: "Echoes back the input",
		InputSchema: inputSchema[echoArgs](nil),
	}, echo)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "add",
		Title:       "Add Numbers",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		Description: "Adds two numbers",
		InputSchema: inputSchema[addArgs](nil),
	}, add)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "getTinyImage",
		Title:       "Tiny Image",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		Description: "Returns the MCP_TINY_IMAGE",
		InputSchema: inputSchema[noArgs](nil),
	}, getTinyImage)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "annotatedMessage",
		Title:       "Annotated Message",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		Description: "Demonstrates how annotations can be used to provide metadata about content",
		InputSchema: inputSchema[annotatedMessageArgs](func(p map[string]*jsonschema.Schema) {
			p["messageType"].Enum = []any{"error", "success", "debug"}
			p["includeImage"].Default = marshal(false)
		}),
	}, annotatedMessage)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "getResourceReference",
		Title:       "Resource Reference",
		Annotations: lookup(),
		Icons:       icons(documentIcon),
		Description: "Returns a resource reference that can be used by MCP clients",
		InputSchema: inputSchema[resourceReferenceArgs](func(p map[string]*jsonschema.Schema) {
			bound(p["resourceId"], 1, resourceCount)
		}),
	}, getResourceReference)
}

type noArgs struct{}

type echoArgs struct {
	Message string `json:"message" jsonschema:"Message to echo"`
}

func echo(_ context.Context, _ *mcp.CallToolRequest, in echoArgs) (*mcp.CallToolResult, any, error) {
	return textResult("Echo: " + in.Message), nil, nil
}

type addArgs struct {
	A float64 `json:"a" jsonschema:"First number"`
	B float64 `json:"b" jsonschema:"Second number"`
}

func add(_ context.Context, _ *mcp.CallToolRequest, in addArgs) (*mcp.CallToolResult, any, error) {
	return textResult(fmt.Sprintf("The sum of %s and %s is %s.",
		formatNumber(in.A), formatNumber(in.B), formatNumber(in.A+in.B))), nil, nil
}

func getTinyImage(context.Context, *mcp.CallToolRequest, noArgs) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{
		text("This is a tiny image:"),
		tinyImage(nil),
		text("The image above is the MCP tiny image."),
	}}, nil, nil
}

type annotatedMessageArgs struct {
	MessageType  string `json:"messageType" jsonschema:"Type of message to demonstrate different annotation patterns"`
	IncludeImage bool   `json:"includeImage,omitempty" jsonschema:"Whether to include an example image"`
}

func annotatedMessage(_ context.Context, _ *mcp.CallToolRequest, in annotatedMessageArgs) (*mcp.CallToolResult, any, error) {
	message := &mcp.TextContent{}
	switch in.MessageType {
	case "error":
		message.Text = "Error: Operation failed"
		message.Annotations = &mcp.Annotations{Priority: 1, Audience: []mcp.Role{"user", "assistant"}}
	case "success":
		message.Text = "Operation completed successfully"
		message.Annotations = &mcp.Annotations{Priority: 0.7, Audience: []mcp.Role{"user"}}
	default: // "debug": the schema allows no other
		message.Text = "Debug: Cache hit ratio 0.95, latency 150ms"
		message.Annotations = &mcp.Annotations{Priority: 0.3, Audience: []mcp.Role{"assistant"}}
	}
	result := &mcp.CallToolResult{Content: []mcp.Content{message}}
	if in.IncludeImage {
		image := tinyImage(&mcp.Annotations{Priority: 0.5, Audience: []mcp.Role{"user"}})
		result.Content = append(result.Content, image)
	}
	return result, nil, nil
}

type resourceReferenceArgs struct {
	ResourceID int `json:"resourceId" jsonschema:"ID of the resource to reference (1-100)"`
}

func getResourceReference(_ context.Context, _ *mcp.CallToolRequest, in resourceReferenceArgs) (*mcp.CallToolResult, any, error) {
	id := resourceID(in.ResourceID)
	return &mcp.CallToolResult{Content: []mcp.Content{
		text(fmt.Sprintf("Returning resource reference for %s:", id.name())),
		&mcp.EmbeddedResource{Resource: id.contents()},
		text("You can access this resource using the URI: " + id.uri()),
	}}, nil, nil
}

func text(s string) *mcp.TextContent {
	return &mcp.TextContent{Text: s}
}

func textResult(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{text(s)}}
}
