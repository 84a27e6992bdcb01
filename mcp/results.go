package mcp

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// onResult returns what has to be done about a call of a session when the
// server has handled it: the SDK's own session, which lasts for one request,
// forgets the log level and the subscriptions.
func (h *Handler) onResult(rec sessionstore.Record, m *jsonrpcmsg.Message) func(context.Context, json.RawMessage) error {
	switch m.Method {
	case "logging/setLevel":
		return func(ctx context.Context, _ json.RawMessage) error { return h.storeLevel(ctx, rec.ID, m.Params) }
	case "resources/subscribe":
		// Updates made from now on are the subscription's, although it is not
		// confirmed yet.
		position := h.node.Position()
		return func(ctx context.Context, _ json.RawMessage) error {
			return h.subscribe(ctx, rec.ID, m.Params, position)
		}
	case "resources/unsubscribe":
		return func(ctx context.Context, _ json.RawMessage) error { return h.unsubscribe(ctx, rec.ID, m.Params) }
	default:
		return nil
	}
}

type resourceParams struct {
	URI string `json:"uri"`
}

func (h *Handler) subscribe(ctx context.Context, id string, params json.RawMessage, position string) error {
	var p resourceParams
	if err := json.Unmarshal(params, &p); err != nil || p.URI == "" {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "missing or malformed uri"}
	}
	err := h.node.Subscribe(ctx, id, p.URI, position)
	if errors.Is(err, sessionstore.ErrTooMany) || errors.Is(err, sessionstore.ErrTooLarge) {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: err.Error()}
	}
	return err
}

func (h *Handler) unsubscribe(ctx context.Context, id string, params json.RawMessage) error {
	var p resourceParams
	if err := json.Unmarshal(params, &p); err != nil {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "malformed uri"}
	}
	return h.node.Unsubscribe(ctx, id, p.URI)
}
