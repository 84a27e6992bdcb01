package mcp

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// state returns what the SDK has to know of a session to serve a request of it.
func (h *Handler) state(rec sessionstore.Record) (*mcp.ServerSessionState, error) {
	client, err := h.clients.decode(rec.InitializeParams)
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", short(rec.ID), err)
	}
	params := *client
	// The SDK decides by this field what a client understands, so it must be
	// what was agreed on, not what the client asked for.
	params.ProtocolVersion = rec.ProtocolVersion
	return &mcp.ServerSessionState{
		InitializeParams:          &params,
		InitializedParams:         &mcp.InitializedParams{},
		NegotiatedProtocolVersion: rec.ProtocolVersion,
		// The session's level may have changed on another instance; our
		// connection filters with the one in Redis.
		LogLevel: "debug",
	}, nil
}

// A clientCache keeps decoded initialize parameters: there are many sessions
// but few clients, and decoding costs as much as the rest of a small call.
type clientCache struct {
	mu      sync.RWMutex
	decoded map[string]*mcp.InitializeParams
}

// maxClients bounds the cache; with MaxInitialize, so its memory.
const maxClients = 256

// decode returns the decoded parameters, which are shared and must not be changed.
func (c *clientCache) decode(raw json.RawMessage) (*mcp.InitializeParams, error) {
	c.mu.RLock()
	p := c.decoded[string(raw)]
	c.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	p, err := decodeInitialize(raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decoded == nil || len(c.decoded) >= maxClients {
		c.decoded = map[string]*mcp.InitializeParams{}
	}
	c.decoded[string(raw)] = p
	return p, nil
}

// decodeInitialize decodes initialize parameters as the SDK does. Its type has
// the client's roots twice, and the one that can be absent is not decoded.
func decodeInitialize(raw json.RawMessage) (*mcp.InitializeParams, error) {
	p := &mcp.InitializeParams{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("decode initialize parameters: %w", err)
	}
	if p.Capabilities == nil {
		p.Capabilities = &mcp.ClientCapabilities{}
	}
	var v2 struct {
		Capabilities struct {
			Roots *mcp.RootCapabilities `json:"roots"`
		} `json:"capabilities"`
	}
	if err := json.Unmarshal(raw, &v2); err != nil {
		return nil, fmt.Errorf("decode initialize parameters: %w", err)
	}
	p.Capabilities.RootsV2 = v2.Capabilities.Roots
	return p, nil
}
