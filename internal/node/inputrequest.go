package node

import (
	"encoding/json"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// elicitationComplete is a notification that 2026-07-28 does not have any more.
const elicitationComplete = "notifications/elicitation/complete"

// asInputRequest returns a server request as 2026-07-28 has it, where an elicitation by
// URL has no id. The ids that handlers give are random, so that the same question would
// be another one when the call is run again.
func asInputRequest(m *jsonrpc.Request) *jsonrpc.Request {
	if m.Method != "elicitation/create" {
		return m
	}
	var params map[string]json.RawMessage
	if json.Unmarshal(m.Params, &params) != nil || params["elicitationId"] == nil {
		return m
	}
	delete(params, "elicitationId")
	input := *m
	input.Params, _ = json.Marshal(params) // what was decoded can be encoded
	return &input
}
