package sdkcompat

import (
	"bytes"
	"encoding/json"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// The SDK panics at a tools/call whose arguments are null if the tool's schema
// has a default, on a goroutine where nothing recovers: one request would end
// the process.
//
// Seen in: v1.8.0.
// Here: null arguments are left out, which means the same.
// Test: TestNullArgumentsPanic.

// WithoutNullArguments makes null arguments of tools/call absent ones, and
// reports whether it had to.
func WithoutNullArguments(m *jsonrpcmsg.Message) (changed bool) {
	if m.Method != "tools/call" || !bytes.Contains(m.Params, []byte("null")) {
		return false
	}
	if string(jsonrpcmsg.Field(m.Params, "arguments")) != "null" {
		return false
	}
	var params map[string]json.RawMessage
	if json.Unmarshal(m.Params, &params) != nil {
		return false
	}
	delete(params, "arguments")
	without, err := json.Marshal(params)
	if err != nil {
		return false // what was just decoded can be encoded
	}
	m.Params = without
	return true
}
