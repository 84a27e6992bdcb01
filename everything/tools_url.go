package everything

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// elicitationPage is where elicitUrl sends the user: to a page that explains
// what just happened. The page has no form, so there is no input to wait for.
const elicitationPage = "https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation"

func addURLTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        "elicitUrl",
		Title:       "Elicit by URL",
		Description: "Demonstrates URL elicitation: asks the user to open a page outside of the client",
		Annotations: inquiry(),
		Icons:       icons(speechIcon),
		InputSchema: inputSchema[noArgs](nil),
	}, elicitURL)
}

func elicitURL(ctx context.Context, req *mcp.CallToolRequest, _ noArgs) (*mcp.CallToolResult, any, error) {
	if caps := req.ClientCapabilities(); caps == nil || caps.Elicitation == nil || caps.Elicitation.URL == nil {
		return nil, nil, missingCapability(req, "URL elicitation",
			map[string]any{"elicitation": map[string]any{"url": map[string]any{}}})
	}
	params := &mcp.ElicitParams{
		Mode:          "url",
		Message:       "Please read about elicitation, on the web.",
		URL:           elicitationPage,
		ElicitationID: rand.Text(),
	}
	response, err := ask(ctx, req.Session.Elicit, params)
	if err != nil {
		return nil, nil, err
	}
	if response.Action == "accept" {
		// The page has no form, so opening it completes the elicitation. A client
		// that misses the notification loses nothing.
		_ = req.Session.NotifyElicitationComplete(ctx, &mcp.ElicitationCompleteParams{
			ElicitationID: params.ElicitationID,
		})
	}
	return visitResult(response.Action)
}

// visitResult returns the user's decision as the result of the tool.
func visitResult(action string) (*mcp.CallToolResult, any, error) {
	switch action {
	case "accept":
		return textResult("The user agreed to open " + elicitationPage), nil, nil
	case "decline":
		return textResult("The user declined to open " + elicitationPage), nil, nil
	case "cancel":
		return textResult("The user dismissed the question."), nil, nil
	default:
		return nil, nil, fmt.Errorf("the client answered with the unknown action %q", action)
	}
}
