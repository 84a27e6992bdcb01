package node

import (
	"encoding/json"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// elicitationComplete is a notification that 2026-07-28 does not have any more.
const elicitationComplete = "notifications/elicitation/complete"

// asInputRequest returns a server request as 2026-07-28 has it. There, an elicitation
// by URL has no id. The ids that handlers give are random, so that the same question
// would be another one when the call is run again.
//
// Params may be left out, but go-sdk v1.8.0 as a client decodes those of each input
// request.
func asInputRequest(m *jsonrpc.Request) *jsonrpc.Request {
	input := *m
	if len(m.Params) == 0 {
		input.Params = json.RawMessage("{}")
	}
	if m.Method != "elicitation/create" {
		return &input
	}
	var params map[string]json.RawMessage
	if json.Unmarshal(m.Params, &params) != nil || params["elicitationId"] == nil {
		return &input
	}
	delete(params, "elicitationId")
	input.Params, _ = json.Marshal(params) // what was decoded can be encoded
	return &input
}
