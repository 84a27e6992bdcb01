package sdkcompat

import (
	"reflect"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK's handler refuses requests whose version header is one that
// ServerOptions.SupportedProtocolVersions leaves out. No other handler can: a
// server does not say which versions it supports, except to server/discover.
//
// Seen in: v1.8.0.
// Here: the option is read from the server's private field.
// Test: TestSupportedVersionsAreThoseOfTheOption.

var (
	supportedVersions = indexOf("SupportedProtocolVersions")
	allVersions       = mcp.SupportedProtocolVersions()
)

// SupportedVersions returns the protocol versions that a server supports, the
// newest first; those of the SDK if the server is nil.
func SupportedVersions(server *mcp.Server) []string {
	return slices.DeleteFunc(slices.Clone(allVersions), func(v string) bool { return !SupportsVersion(server, v) })
}

// SupportsVersion reports whether v is one of the [SupportedVersions] of a server.
func SupportsVersion(server *mcp.Server, v string) bool {
	if !slices.Contains(allVersions, v) {
		return false
	}
	if server == nil || !supportedVersions.isSet(server) {
		return true
	}
	option := reflect.ValueOf(server).Elem().FieldByIndex(supportedVersions)
	for i := range option.Len() {
		if option.Index(i).String() == v {
			return true
		}
	}
	return option.Len() == 0
}
