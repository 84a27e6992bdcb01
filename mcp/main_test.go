package mcp_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(benchServerEnv); kind != "" {
		fmt.Fprintln(os.Stderr, runBenchServer(kind))
		os.Exit(1)
	}
	os.Exit(redistest.Main(m))
}

func TestSDKClientThroughTheBalancer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := fleettest.Start(t, fleettest.Config{Redis: s, Instances: 3, Server: func() *mcp.Server { return everything.New(nil) }})
		cs := f.Connect(t, nil)
		for range 10 {
			res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": "hi"}})
			if err != nil {
				t.Fatal(err)
			}
			if got := res.Content[0].(*mcp.TextContent).Text; got != "Echo: hi" {
				t.Fatalf("got %q", got)
			}
		}
	})
}
