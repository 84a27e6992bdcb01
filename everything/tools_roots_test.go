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
func connectWithRoots(t *testing.T, server *mcp.Server, version string, roots ...*mcp.Root) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, nil)
	client.AddRoots(roots...)
	endpoint := serveHTTP(t, server, version)
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
	for _, version := range []string{v2025, v2026} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := everything.New(nil)
			wantText(t, call(t, connectWithRoots(t, server, version), "listRoots", nil), "The client has no roots.")
			cs := connectWithRoots(t, server, version,
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
	endpoint := serveHTTP(t, everything.New(nil), v2026)
	for _, tt := range []struct{ response, want string }{
		{`{"roots": []}`, "The client has no roots."},
		{`{"roots": [null]}`, "The client has no roots."},
		{`{"roots": [null, {"uri": "file:///x", "more": 1}]}`, "The client's roots:\n- (unnamed): file:///x"},
		{`{"roots": [{}]}`, "The client's roots:\n- (unnamed): "},
	} {
		response := post2026(t, endpoint, "tools/call", `{"name": "listRoots", "inputResponses": {"roots": `+tt.response+`}}`)
		result, ok := response["result"].(map[string]any)
		if !ok {
			t.Errorf("%s: %v", tt.response, response)
			continue
		}
		wantJSON(t, result["content"], string(encode(t, []mcp.Content{&mcp.TextContent{Text: tt.want}})))
	}
	for _, roots := range []string{`{"roots": "all"}`, `{"roots": [1]}`, `5`, `null`, `{}`} {
		response := post2026(t, endpoint, "tools/call", `{"name": "listRoots", "inputResponses": {"roots": `+roots+`}}`)
		if response["error"] == nil {
			t.Errorf("%s: %v", roots, response)
		}
	}
}

func TestListRootsAsksFrom2026(t *testing.T) {
	t.Parallel()
	response := post2026(t, serveHTTP(t, everything.New(nil), v2026), "tools/call", `{"name": "listRoots"}`)
	result := response["result"].(map[string]any)
	delete(result, "_meta")
	delete(result, "content") // null, which the SDK leaves in
	wantJSON(t, result, `{"resultType": "input_required", "inputRequests": {"roots": {"method": "roots/list", "params": {}}}}`)
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
