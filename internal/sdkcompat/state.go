package sdkcompat

import "github.com/modelcontextprotocol/go-sdk/mcp"

// The SDK cannot be told that a session's log level has changed, as it may on
// another instance, and decides by the protocol version that the client asked
// for, not by the one that was agreed on, what a client understands.
//
// Seen in: v1.8.0.
// Here: the SDK sends every log message, and our connection drops those below the
// level in Redis; the parameters of initialize have the version agreed on.
// Test: TestSessionStateDecidesWhatIsSent.

// SessionState returns the state from which the SDK serves a request of a session
// that has been initialized. It does not change client, which may be shared.
func SessionState(client *mcp.InitializeParams, version string) *mcp.ServerSessionState {
	params := *client
	params.ProtocolVersion = version
	return &mcp.ServerSessionState{
		InitializeParams:          &params,
		InitializedParams:         &mcp.InitializedParams{},
		NegotiatedProtocolVersion: version,
		LogLevel:                  "debug",
	}
}
