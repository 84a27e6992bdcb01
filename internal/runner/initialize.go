package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// NewRecord returns the record of a session that initialize may begin, which is
// not stored yet.
func (r *Runner) NewRecord(owner string, params json.RawMessage) sessionstore.Record {
	return sessionstore.Record{ID: sessionstore.NewID(), Owner: owner, InitializeParams: params, Position: r.node.Position()}
}

// Initialize has the server handle initialize, and stores the session with what
// it agreed on before the response is delivered. began reports whether the session
// has been stored; it is safe for concurrent use.
func (r *Runner) Initialize(ctx context.Context, in Incoming) (conn *node.Conn, began func() bool, err error) {
	e, err := r.Prepare(in)
	if err != nil {
		return nil, nil, err
	}
	var stored atomic.Bool // the node may respond while the session is being stored: on Close
	in.Record.ServerName = sdkcompat.ServerName(e.Server)
	e.Request.OnResult = func(ctx context.Context, result json.RawMessage) error {
		err := r.createSession(ctx, in.Record, result)
		stored.Store(err == nil)
		return err
	}
	conn, err = r.Serve(ctx, e)
	return conn, stored.Load, err
}

// createSession stores the session that an initialize result describes.
func (r *Runner) createSession(ctx context.Context, rec sessionstore.Record, result json.RawMessage) error {
	agreed, err := Agreement(rec.InitializeParams, result)
	if err != nil {
		return err
	}
	rec.InitializeParams, rec.ProtocolVersion, rec.ServerCapabilities = agreed.InitializeParams, agreed.ProtocolVersion, agreed.ServerCapabilities
	if _, err := r.store.Create(ctx, rec); err != nil {
		return err
	}
	r.logger.InfoContext(ctx, "session began", "session", sessionstore.ShortID(rec.ID), "protocol", rec.ProtocolVersion)
	return nil
}

// Agreement returns what an initialize result settles for its session, but for
// the session's position.
func Agreement(params, result json.RawMessage) (sessionstore.Agreement, error) {
	var agreed struct {
		ProtocolVersion string          `json:"protocolVersion"`
		Capabilities    json.RawMessage `json:"capabilities"`
	}
	if err := json.Unmarshal(result, &agreed); err != nil {
		return sessionstore.Agreement{}, fmt.Errorf("decode initialize result: %w", err)
	}
	// Not through the cache: parameters that are too large must not get there.
	if _, err := sdkcompat.DecodeInitialize(params); err != nil {
		return sessionstore.Agreement{}, err
	}
	return sessionstore.Agreement{
		InitializeParams: withoutLargeIcons(params), ProtocolVersion: agreed.ProtocolVersion, ServerCapabilities: agreed.Capabilities,
	}, nil
}

// maxWithIcons is the size of parameters, in bytes, from which on the client's icons
// are not stored. Icons may be images, and every session would have its own copies.
const maxWithIcons = 16 << 10

// withoutLargeIcons returns parameters of initialize as they are stored.
func withoutLargeIcons(params json.RawMessage) json.RawMessage {
	var all, client map[string]json.RawMessage
	if len(params) <= maxWithIcons || json.Unmarshal(params, &all) != nil || json.Unmarshal(all["clientInfo"], &client) != nil {
		return params
	}
	delete(client, "icons")
	var err error
	if all["clientInfo"], err = json.Marshal(client); err != nil {
		return params // what was decoded can be encoded
	}
	stored, err := json.Marshal(all)
	if err != nil {
		return params // as above
	}
	return stored
}
