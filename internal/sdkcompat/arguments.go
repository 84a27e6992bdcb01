package sdkcompat

import (
	"bytes"
	"encoding/json"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// WithoutNullArguments makes null arguments of tools/call absent ones, which
// mean the same, and reports whether it had to. With null, go-sdk v1.8.0 panics
// for any tool whose schema has a default, on a goroutine where nothing
// recovers: one request would end the process.
func WithoutNullArguments(m *jsonrpcmsg.Message) (changed bool) {
	if m.Method != "tools/call" || !bytes.Contains(m.Params, []byte("null")) {
		return false
	}
	var params map[string]json.RawMessage
	if json.Unmarshal(m.Params, &params) != nil || string(params["arguments"]) != "null" {
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
