package mcp_test

import (
	"context"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// acceptAll is the elicitation handler of a client whose user agrees.
func acceptAll(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"answer": "yes"}}, nil
}
