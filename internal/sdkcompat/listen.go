package sdkcompat

import "github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"

// The SDK serves subscriptions/listen, a method of protocol 2026-07-28, in
// sessions of every protocol version, and never answers it.
//
// Seen in: v1.8.0.
// Here: in protocols with sessions the method has a name that no server knows, so
// that the SDK answers that there is no such method.
// Test: TestListenIsServedInSessions.

// WithoutListen returns a message of a protocol with sessions as the SDK is to see
// it. It does not change m.
func WithoutListen(m *jsonrpcmsg.Message) *jsonrpcmsg.Message {
	if m.Method != "subscriptions/listen" {
		return m
	}
	unknown := *m
	unknown.Method += " before 2026-07-28"
	return &unknown
}
