package runner

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// Protocol versions that introduced a behaviour we depend on.
const (
	VersionPriming   = "2025-11-25" // streams begin with an event to resume from
	VersionStateless = "2026-07-28" // there are no sessions
)

var sessionVersions = withSessions(mcp.SupportedProtocolVersions())

// SessionVersions returns the protocol versions that have sessions, in memory that must
// not be changed.
func SessionVersions() []string { return sessionVersions }

// withSessions returns those of versions that have sessions, in the same memory.
func withSessions(versions []string) []string {
	return slices.DeleteFunc(versions, func(v string) bool { return v >= VersionStateless })
}

// VersionHeader is the HTTP header with the protocol version of a request.
const VersionHeader = "Mcp-Protocol-Version"

// checkHeader returns an error if a request's version header names a version that
// the server does not support. It may be absent.
func checkHeader(header http.Header, server *mcp.Server) error {
	v := header.Get(VersionHeader)
	if v == "" || sdkcompat.SupportsVersion(server, v) {
		return nil
	}
	supported := sdkcompat.SupportedVersions(server)
	if supported[len(supported)-1] < VersionStateless { // if the server has sessions at all
		supported = withSessions(supported)
	}
	return UnsupportedHeader(v, supported)
}

// UnsupportedHeader is the error for a request of a protocol with sessions whose
// version header names none of the supported versions.
func UnsupportedHeader(v string, supported []string) error {
	return httperror.Refuse(http.StatusBadRequest, "unsupported protocol version %q (supported: %s)", v, strings.Join(supported, ", "))
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
