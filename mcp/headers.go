package mcp

import (
	"encoding/json"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// The headers of the Streamable HTTP transport (specification 2025-11-25,
// basic, "Transports").
const (
	sessionHeader = "Mcp-Session-Id"
	versionHeader = "Mcp-Protocol-Version"
	resumeHeader  = "Last-Event-ID"
)

// Protocol versions that introduced a behaviour we depend on.
const (
	versionBatches   = "2025-03-26" // the only one that has JSON-RPC batches
	versionPriming   = "2025-11-25" // streams begin with an event to resume from
	versionStateless = "2026-07-28" // there are no sessions
)

// isStateless reports whether a message is of a protocol without sessions: its
// header or its _meta says so. If the two disagree, the response is the one of
// that protocol.
func isStateless(r *http.Request, m *jsonrpcmsg.Message) bool {
	return max(r.Header.Get(versionHeader), m.MetaVersion()) >= versionStateless
}

// unsupported is the error for a call whose _meta names a protocol version, as
// stateless requests do, that cannot be served. From it a client learns what to
// ask for.
func unsupported(requested string, supported []string) error {
	data, err := json.Marshal(mcp.UnsupportedProtocolVersionData{Supported: supported, Requested: requested})
	if err != nil {
		return err
	}
	return &jsonrpc.Error{Code: mcp.CodeUnsupportedProtocolVersion, Message: "unsupported protocol version", Data: data}
}
