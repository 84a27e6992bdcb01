package sdkcompat

import (
	"context"
	"errors"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK that this is tested with does what the stand-ins need; one that did not would
// be noticed, and so would be the lack of stand-ins.
func TestWhatRoundsRelyOnIsChecked(t *testing.T) {
	t.Parallel()
	if err := CheckRounds(); err != nil {
		t.Error(err)
	}
	for name, dispatch := range map[string]mcp.MethodHandler{
		"fails":  func(context.Context, string, mcp.Request) (mcp.Result, error) { return nil, errors.New("no") },
		"panics": func(context.Context, string, mcp.Request) (mcp.Result, error) { panic("no") },
		"does something else": func(_ context.Context, method string, _ mcp.Request) (mcp.Result, error) {
			return map[string]mcp.Result{"tools/call": &mcp.CallToolResult{}, "prompts/get": &mcp.GetPromptResult{}, "resources/read": &mcp.ReadResourceResult{}}[method], nil
		},
	} {
		r := NewRounds(true)
		r.dispatch = dispatch
		if checkRounds(r) == nil {
			t.Errorf("a dispatcher that %s is not noticed", name)
		}
	}
	without := NewRounds(false)
	if checkRounds(without) == nil {
		t.Error("without stand-ins nothing is noticed")
	}
}
