package runner

import (
	"encoding/json"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// A clientCache keeps decoded initialize parameters: there are many sessions
// but few clients, and decoding costs as much as the rest of a small call.
type clientCache struct {
	mu      sync.RWMutex // guards decoded
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
	p, err := sdkcompat.DecodeInitialize(raw)
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
