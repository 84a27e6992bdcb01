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
	versionHeader = runner.VersionHeader
	resumeHeader  = "Last-Event-ID"
)

// versionBatches is the one protocol version that has JSON-RPC batches.
const versionBatches = "2025-03-26"

// isStateless reports whether a message is of a protocol without sessions: its
// header or its _meta says so. If the two disagree, the response is the one of
// that protocol.
func isStateless(r *http.Request, m *jsonrpcmsg.Message) bool {
	return max(r.Header.Get(versionHeader), m.MetaVersion()) >= runner.VersionStateless
}
