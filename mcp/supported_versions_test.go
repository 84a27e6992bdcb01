package mcp_test

import (
	"context"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// withSessions are the protocol versions that have them: what
// ServerOptions.SupportedProtocolVersions is set to by who is not ready for
// 2026-07-28.
var withSessions = []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}

// Code of before 2026-07-28 keeps data by session id, and asks the client while a
// call runs. It serves the newest clients of a server with every version too, but what is
// kept is found only with authentication. With the versions before, they are clients like
// any other. Nothing is ever another client's.
func TestSupportedProtocolVersionsKeepClientsWithSessions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		supported []string
		version   string
		kept      bool // a client finds what it kept
		asked     bool // a blocked question reaches the client
	}{
		"every version": {nil, "2026-07-28", false, true},
		"with sessions": {withSessions, "2025-11-25", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			kept := map[string]string{} // as if it were in Redis: all instances have it
			r := newRig(&mcp.ServerOptions{SupportedProtocolVersions: test.supported})
			r.more = func(s *mcp.Server) {
				tool(s, "keep", func(_ context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					before := kept[req.Session.ID()]
					kept[req.Session.ID()] = a.Text
					return before, nil
				})
			}
			f := fleettest.Start(t, fleettest.Config{Server: r.server})
			opts := &mcp.ClientOptions{ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"answer": " yes"}}, nil
			}}
			call := func(cs *mcp.ClientSession, tool, name, text string) (string, error) {
				res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{"name": name, "text": text}})
				if err != nil {
					return "", err
				}
				return res.Content[0].(*mcp.TextContent).Text, nil
			}
			alice, bob := f.ConnectStateless(t, opts), f.ConnectStateless(t, opts)
			if got := alice.InitializeResult().ProtocolVersion; got != test.version {
				t.Errorf("the newest client speaks %s, want %s", got, test.version)
			}
			for range 2 { // on each instance
				if said, err := call(alice, "ask", "form", ""); (err == nil && said == "accept yes") != test.asked {
					t.Errorf("a question while a call runs: %q, %v", said, err)
				}
			}
			if _, err := call(alice, "keep", "", "alice's secret"); err != nil {
				t.Fatal(err)
			}
			if said, err := call(bob, "keep", "", "bob's"); err != nil || said != "" {
				t.Errorf("bob reads %q, %v", said, err)
			}
			if said, err := call(alice, "keep", "", ""); err != nil || (said == "alice's secret") != test.kept {
				t.Errorf("alice reads %q, %v", said, err)
			}
		})
	}
}
