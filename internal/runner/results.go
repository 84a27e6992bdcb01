package runner

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// storeLevel keeps the level of logging/setLevel with the session.
func (r *Runner) storeLevel(ctx context.Context, id string, params json.RawMessage) error {
	var p mcp.SetLoggingLevelParams
	if err := json.Unmarshal(params, &p); err != nil || !node.ValidLogLevel(p.Level) {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "unknown log level"}
	}
	return r.store.SetLogLevel(ctx, id, p.Level)
}

type resourceParams struct {
	URI string `json:"uri"`
}

func (r *Runner) subscribe(ctx context.Context, id string, params json.RawMessage, position string) error {
	var p resourceParams
	if err := json.Unmarshal(params, &p); err != nil || p.URI == "" {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "missing or malformed uri"}
	}
	err := r.node.Subscribe(ctx, id, p.URI, position)
	if errors.Is(err, sessionstore.ErrTooMany) || errors.Is(err, sessionstore.ErrTooLarge) {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: err.Error()}
	}
	return err
}

func (r *Runner) unsubscribe(ctx context.Context, id string, params json.RawMessage) error {
	var p resourceParams
	if err := json.Unmarshal(params, &p); err != nil {
		return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "malformed uri"}
	}
	return r.node.Unsubscribe(ctx, id, p.URI)
}
