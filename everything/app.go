package everything

import (
	"context"
	_ "embed"
	"math/rand/v2"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	appURI      = "ui://hello-world/app.html"
	appMIMEType = "text/html;profile=mcp-app"
)

// appHTML is the whole app. It loads nothing, so that it runs under the most
// restrictive policy a host applies to an app.
//
//go:embed app.html
var appHTML string

// appMeta is what a host has to know to show the app: it may load nothing, and
// is to be told apart from the chat around it.
func appMeta() mcp.Meta {
	none := []string{}
	return mcp.Meta{"ui": map[string]any{
		"csp":           map[string]any{"connectDomains": none, "resourceDomains": none},
		"prefersBorder": true,
	}}
}

// addApp adds the tool that is shown with an app, the app as a resource, and a tool
// that only the app calls.
func addApp(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "mcp_apps_hello_world",
		Title:       "Hello World App",
		Annotations: lookup(),
		Icons:       icons(screenIcon),
		Description: "Demonstrates MCP Apps - returns an interactive UI that runs in the client",
		InputSchema: inputSchema[noArgs](nil),
		Meta: mcp.Meta{
			"ui":             map[string]any{"resourceUri": appURI},
			"ui/resourceUri": appURI, // for hosts of before 2026
		},
	}, helloWorld)
	mcp.AddTool(server, &mcp.Tool{
		Name:        "mcp_apps_server_time",
		Title:       "Server Time",
		Annotations: lookup(),
		Icons:       icons(screenIcon),
		Description: "Tells the time of the server, for the Hello World App; hosts do not show it to models",
		InputSchema: inputSchema[noArgs](nil),
		Meta:        mcp.Meta{"ui": map[string]any{"visibility": []string{"app"}}},
	}, serverTime)
	server.AddResource(&mcp.Resource{
		URI:         appURI,
		Name:        "Hello World MCP App",
		Title:       "Hello World App",
		Description: "Interactive UI for the mcp_apps_hello_world tool",
		MIMEType:    appMIMEType,
		Size:        int64(len(appHTML)),
		Annotations: &mcp.Annotations{Audience: []mcp.Role{"user"}, Priority: 0.5},
		Icons:       icons(screenIcon),
		Meta:        appMeta(),
	}, readApp)
}

// helloWorldContent is what the app shows of a result.
type helloWorldContent struct {
	Greeting  string          `json:"greeting"`
	Timestamp string          `json:"timestamp"`
	Features  []string        `json:"features"`
	Stats     helloWorldStats `json:"stats"`
}

type helloWorldStats struct {
	Version string `json:"version"`
	// RequestCount is a random number below 1000: something that changes. The
	// server counts nothing.
	RequestCount int `json:"requestCount"`
}

func helloWorld(context.Context, *mcp.CallToolRequest, noArgs) (*mcp.CallToolResult, any, error) {
	return &mcp.CallToolResult{
		Meta: mcp.Meta{"exampleKey": "exampleValue", "processed": true},
		Content: []mcp.Content{
			text("If this client supports MCP Apps, an interactive UI should have rendered for the user."),
		},
		StructuredContent: helloWorldContent{
			Greeting:  "Hello from MCP Apps!",
			Timestamp: timestamp(),
			Features:  []string{"Interactive UI", "Tool input and result", "Messages to the host"},
			Stats:     helloWorldStats{Version: "1.0.0", RequestCount: rand.IntN(1000)},
		},
	}, nil, nil
}

func serverTime(context.Context, *mcp.CallToolRequest, noArgs) (*mcp.CallToolResult, any, error) {
	return textResult(timestamp()), nil, nil
}

func timestamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func readApp(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{
		{URI: appURI, MIMEType: appMIMEType, Text: appHTML, Meta: appMeta()},
	}}, nil
}
