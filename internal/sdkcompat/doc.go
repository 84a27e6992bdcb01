// Package sdkcompat holds what mcpfleet has to do because go-sdk does not. Each
// gap has a file that begins with what the SDK does and the version it was seen
// in, what is done about it here, and the test that fails when that is no longer
// needed. docs/upstream.md has an issue for each.
//
// Workarounds that are part of how internal/node is built lie there: one
// connection for each request, ids of its own for what the SDK reads and sends.
package sdkcompat
