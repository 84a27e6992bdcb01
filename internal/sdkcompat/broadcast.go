package sdkcompat

import "strings"

// The SDK tells every session of a server, and so the connection of every running
// request, when the server's lists or a resource changes. There is no option to
// leave that to someone else.
//
// Seen in: v1.8.0.
// Here: such a notification is dropped unless the handler itself sent it; clients
// are told over the fleet's bus, once.
// Test: TestListChangesReachEverySession.

// IsBroadcast reports whether the SDK sends a notification to all sessions that it
// knows.
func IsBroadcast(method string) bool {
	return strings.HasSuffix(method, "/list_changed") || method == "notifications/resources/updated"
}
