package mcp_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// Left alone the client asks first for a protocol that this transport has not.
func TestGoClientOfTheSSETransportThroughTheBalancer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := fleettest.Start(t, fleettest.Config{Redis: s, Instances: 3, Server: newRig(nil).server, Wrap: withSSE})
		for _, version := range []string{"", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} {
			cs := connectSSE(t, f.URL+"/sse", version)
			for range 4 { // more than there are instances
				for kind, want := range map[string]string{"form": "acceptyes", "sampling": "sampled", "roots": "file:///home"} {
					res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "ask", Arguments: map[string]any{"name": kind}})
					if err != nil {
						t.Fatalf("%s: ask %s: %v", version, kind, err)
					}
					if got := res.Content[0].(*mcp.TextContent).Text; got != want {
						t.Errorf("%s: ask %s: the tool said %q, want %q", version, kind, got, want)
					}
				}
			}
			tools, err := cs.ListTools(t.Context(), nil)
			if err != nil || len(tools.Tools) != 5 {
				t.Errorf("%s: %v, %v", version, tools, err)
			}
		}
	})
}

func TestGoClientCancelsACallOfTheSSETransport(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	f := fleettest.Start(t, fleettest.Config{Instances: 3, Server: r.server, Wrap: withSSE})
	cs := connectSSE(t, f.URL+"/sse", "2024-11-05")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-r.entered
		cancel()
	}()
	_, err := cs.CallTool(ctx, &mcp.CallToolParams{Name: "wait", Arguments: map[string]any{"name": "w"}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
	redistest.Until(t, "the call has ended", func() bool { return r.running.Load() == 0 })
}

// A mux that strips a prefix does not hide from the handler where the client is.
func TestTheSSETransportUnderAPrefix(t *testing.T) {
	t.Parallel()
	wrap := func(h http.Handler) http.Handler {
		f := h.(*fleet.Handler)
		inner, outer := http.NewServeMux(), http.NewServeMux()
		inner.Handle("GET /sse", f.SSE("message"))
		inner.Handle("POST /message", f.Messages())
		inner.Handle("GET /both", f.SSE(""))
		inner.Handle("POST /both", f.Messages())
		outer.Handle("/tools/v1/", http.StripPrefix("/tools/v1", inner))
		return outer
	}
	f := fleettest.Start(t, fleettest.Config{Server: newRig(nil).server, Wrap: wrap})
	for _, path := range []string{"/tools/v1/sse", "/tools/v1/both", "/tools/v1/both?key=value"} {
		cs := connectSSE(t, f.URL+path, "2024-11-05")
		if err := cs.Ping(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// connectSSE returns a session of a go-sdk client over the HTTP+SSE transport,
// with the client's own choice of a protocol if version is empty.
func connectSSE(t testing.TB, url, version string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: acceptAll,
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "m", Role: "assistant", Content: &mcp.TextContent{Text: "sampled"}}, nil
		},
	})
	client.AddRoots(&mcp.Root{URI: "file:///home"})
	cs, err := client.Connect(t.Context(), &mcp.SSEClientTransport{Endpoint: url}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	t.Cleanup(func() { _ = cs.Close() })
	return cs
}
