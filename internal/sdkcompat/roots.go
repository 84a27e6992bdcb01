package sdkcompat

import (
	"encoding/json"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK's ClientCapabilities has the client's roots twice: as Roots, which
// cannot be absent, and as RootsV2, which is not decoded from JSON but set by the
// SDK's own code for initialize.
//
// Seen in: v1.8.0.
// Here: RootsV2 is decoded, so that parameters which were stored say the same as
// those that the SDK received.
// Test: TestRootsAreNotDecoded.

// DecodeInitialize decodes the parameters of an initialize request as the SDK
// does when it receives one.
func DecodeInitialize(raw json.RawMessage) (*mcp.InitializeParams, error) {
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
