package mcp

import (
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/runner"
)

// The headers of the Streamable HTTP transport (specification 2025-11-25,
// basic, "Transports").
const (
	sessionHeader = "Mcp-Session-Id"
	versionHeader = "Mcp-Protocol-Version"
	resumeHeader  = "Last-Event-ID"
)

// versionBatches is the one protocol version that has JSON-RPC batches.
const versionBatches = "2025-03-26"

// isModern reports whether a message is of an era without sessions: its header
// or its _meta says so. What then is wrong between the two is answered in the
// forms of that era.
func isModern(r *http.Request, m *jsonrpcmsg.Message) bool {
	return max(r.Header.Get(versionHeader), m.MetaVersion()) >= runner.VersionStateless
}
