package transport_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
	"github.com/mcpfleet/mcpfleet/transport"
)

func TestAnotherServersSessionDoesNotExist(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, func(_ *fleet, server *mcp.Server) {
			tool(server, "x", func(context.Context, *mcp.CallToolRequest) (string, error) { return "x", nil })
		})
		other := mcp.NewServer(&mcp.Implementation{Name: "other", Version: "1"}, nil)
		id := initialize(t, f.nodes[0], f.servers[0], "")
		for what, message := range map[string]json.RawMessage{
			"a call":       call(1, "x"),
			"notification": json.RawMessage(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`),
			"a response":   json.RawMessage(`{"jsonrpc":"2.0","id":"1","result":{}}`),
		} {
			_, err := f.nodes[1].Serve(t.Context(), other, transport.Request{Session: id, Message: message})
			wantErr(t, what, err, session.ErrNotFound)
		}
		if got := sendAll(t, serve(t, f.nodes[1], f.servers[1], transport.Request{Session: id, Message: call(1, "x")})); len(got) != 1 {
			t.Errorf("its own server: %s", got)
		}
	})
}
