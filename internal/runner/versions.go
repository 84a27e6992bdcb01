package runner

import (
	"encoding/json"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Protocol versions that introduced a behaviour we depend on.
const (
	VersionPriming   = "2025-11-25" // streams begin with an event to resume from
	VersionStateless = "2026-07-28" // there are no sessions
)

// SessionVersions returns the protocol versions that have sessions.
func SessionVersions() []string {
	return slices.DeleteFunc(mcp.SupportedProtocolVersions(), func(v string) bool { return v >= VersionStateless })
}

// Unsupported is the error for a call that names its protocol version as those
// without sessions do. From it a client learns what to ask for.
func Unsupported(requested string, supported []string) error {
	data, err := json.Marshal(mcp.UnsupportedProtocolVersionData{Supported: supported, Requested: requested})
	if err != nil {
		return err
	}
	return &jsonrpc.Error{Code: mcp.CodeUnsupportedProtocolVersion, Message: "unsupported protocol version", Data: data}
}
