package everything_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

func TestSetLevelIsConfirmedIfTheLevelAllows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []string
		cs := connect(t, everything.New(nil), v2025, &mcp.ClientOptions{
			LoggingMessageHandler: func(_ context.Context, req *mcp.LoggingMessageRequest) {
				got = append(got, string(encode(t, req.Params)))
			},
		})
		for _, level := range []mcp.LoggingLevel{
			"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "info", "debug",
		} {
			if err := cs.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: level}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		const confirmed = `{"data":"Logging level set to: debug","level":"debug","logger":"test-server"}`
		if diff := cmp.Diff([]string{confirmed, confirmed}, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	})
}

func TestUnknownLevelIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := everything.New(nil)
		addLogTool(server)
		var messages int
		cs := connect(t, server, v2025, &mcp.ClientOptions{
			LoggingMessageHandler: func(context.Context, *mcp.LoggingMessageRequest) { messages++ },
		})
		if err := cs.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "error"}); err != nil {
			t.Fatal(err)
		}
		for _, level := range []mcp.LoggingLevel{"", "verbose", "Debug", "warn"} {
			err := cs.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: level})
			wantRPCError(t, err, -32602, "unknown log level")
		}
		call(t, cs, "log", nil)
		synctest.Wait()
		if messages != 0 {
			t.Errorf("got %d messages at level info after setting level error", messages)
		}
	})
}

// addLogTool adds a tool that logs one message at level info.
func addLogTool(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{Name: "log"},
		func(ctx context.Context, req *mcp.CallToolRequest, _ any) (*mcp.CallToolResult, any, error) {
			return nil, nil, req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: "hi"})
		})
}

func TestSetLevelIsConfirmedOnTheStreamOfItsRequest(t *testing.T) {
	t.Parallel()
	messages := newWire(t).post(t, `{"jsonrpc": "2.0", "id": 3, "method": "logging/setLevel", "params": {"level": "debug"}}`)
	wantJSON(t, messages, `[
		{"jsonrpc": "2.0", "method": "notifications/message",
			"params": {"level": "debug", "logger": "test-server", "data": "Logging level set to: debug"}},
		{"jsonrpc": "2.0", "id": 3, "result": {}}
	]`)
}
