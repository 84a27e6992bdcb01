package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/demotest"
)

func TestMain(m *testing.M) { demotest.Main(m, main) }

func TestFixturesAreServed(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t)
	client, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).
		Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: p.URL + "/mcp"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: "test_simple_text"})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Content[0].(*mcp.TextContent).Text; got != "This is a simple text response for testing." {
		t.Errorf("test_simple_text answered %q", got)
	}
	client.Close()
	p.Signal(syscall.SIGTERM)
	if status, _ := p.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestItIsNoAuthorizationServer(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := demotest.Run(t, "AUTH_MODE=auth_server", "INTROSPECTION_CLIENT_SECRET=s")
	if status != 2 || stdout != "" || !strings.HasPrefix(stderr, `AUTH_MODE="auth_server": `) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}
