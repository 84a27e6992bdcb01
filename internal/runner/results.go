package runner

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// onResult returns what has to be done about a call of a session when the
// server has handled it: the SDK's own session, which lasts for one request,
// forgets the log level and the subscriptions.
func (r *Runner) onResult(rec sessionstore.Record, m *jsonrpcmsg.Message) func(context.Context, json.RawMessage) error {
	switch m.Method {
	case "logging/setLevel":
		return func(ctx context.Context, _ json.RawMessage) error { return r.storeLevel(ctx, rec.ID, m.Params) }
	case "resources/subscribe":
		// Updates made from now on are the subscription's, although it is not
		// confirmed yet.
		position := r.node.Position()
		return func(ctx context.Context, _ json.RawMessage) error {
			return r.subscribe(ctx, rec.ID, m.Params, position)
		}
	case "resources/unsubscribe":
		return func(ctx context.Context, _ json.RawMessage) error { return r.unsubscribe(ctx, rec.ID, m.Params) }
	default:
		return nil
	}
}

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
