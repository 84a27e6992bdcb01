package everything_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// connectWithRoots connects a client that has roots.
func connectWithRoots(t *testing.T, endpoint, version string, roots ...*mcp.Root) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, nil)
	client.AddRoots(roots...)
	cs, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: endpoint},
		&mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cs.Close() })
	return cs
}

func TestListRootsShowsTheClientsRoots(t *testing.T) {
	t.Parallel()
	for version, serve := range map[string]func() string{
		v2025: func() string { return serveHTTP(t, everything.New(nil), v2025) },
		v2026: func() string { return startFleet(t).URL },
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			endpoint := serve()
			wantText(t, call(t, connectWithRoots(t, endpoint, version), "listRoots", nil), "The client has no roots.")
			cs := connectWithRoots(t, endpoint, version,
				&mcp.Root{URI: "file:///home/ada/engine", Name: "Engine"}, &mcp.Root{URI: "file:///tmp"})
			wantText(t, call(t, cs, "listRoots", nil),
				"The client's roots:\n- Engine: file:///home/ada/engine\n- (unnamed): file:///tmp")
		})
	}
}

func TestListRootsWithoutRootsCapability(t *testing.T) {
	t.Parallel()
	opts := &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}}
	wantToolError(t, call(t, connect(t, everything.New(nil), v2025, opts), "listRoots", nil), "client does not support roots")
	_, err := connectHTTP(t, everything.New(nil), v2026, opts).CallTool(t.Context(), &mcp.CallToolParams{Name: "listRoots"})
	rpcErr := wantRPCError(t, err, -32021, "client does not support roots")
	wantJSON(t, rpcErr.Data, `{"requiredCapabilities": {"roots": {}}}`)
}

// A client may send what no SDK would.
func TestStrangeRootsAreHarmless(t *testing.T) {
	t.Parallel()
	endpoint := startFleet(t).URL
	for roots, want := range map[string]string{
		`{"roots": []}`: "The client has no roots.",
		`{"roots": [{"uri": "file:///x", "more": 1}]}`: "The client's roots:\n- (unnamed): file:///x",
		`{"roots": [{}]}`: "The client's roots:\n- (unnamed): ",
	} {
		result, _ := answer2026(t, endpoint, "listRoots", roots)["result"].(map[string]any)
		wantJSON(t, result["content"], string(encode(t, []mcp.Content{&mcp.TextContent{Text: want}})))
	}
	for _, roots := range []string{`{"roots": "all"}`, `{"roots": [1]}`, `{"roots": [null]}`, `{"roots": [null, {"uri": "file:///x"}]}`, `5`, `null`, `{}`} {
		response := answer2026(t, endpoint, "listRoots", roots)
		if result, _ := response["result"].(map[string]any); response["error"] == nil && result["isError"] != true {
			t.Errorf("%s: %v", roots, response)
		}
	}
}

func TestListRootsAsksFrom2026(t *testing.T) {
	t.Parallel()
	wantQuestion(t, "listRoots", `{"method": "roots/list", "params": {}}`)
}

// rootlessClient fails or ignores requests for roots, by a middleware, as the
// SDK has no handler for them.
func rootlessClient(t *testing.T, server *mcp.Server, fail func(context.Context) error) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, nil)
	client.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if method == "roots/list" {
				return nil, fail(ctx)
			}
			return next(ctx, method, req)
		}
	})
	clientEnd, serverEnd := mcp.NewInMemoryTransports()
	ss, err := server.Connect(t.Context(), serverEnd, nil)
	if err != nil {
		t.Fatal(err)
	}
	cs, err := client.Connect(t.Context(), clientEnd, &mcp.ClientSessionOptions{ProtocolVersion: v2025})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ss.Wait() })
	t.Cleanup(func() { _ = cs.Close() })
	return cs
}

func TestClientThatFailsToListRootsIsAToolError(t *testing.T) {
	t.Parallel()
	cs := rootlessClient(t, everything.New(nil), func(context.Context) error { return errors.New("no disk") })
	wantToolError(t, call(t, cs, "listRoots", nil), "no disk")
}

func TestClientThatNeverListsItsRootsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cs := rootlessClient(t, everything.New(nil), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		wantToolError(t, call(t, cs, "listRoots", nil), "the client did not answer within 10m0s")
		if took := time.Since(start); took != 10*time.Minute {
			t.Errorf("it took %v, want 10m", took)
		}
	})
}
