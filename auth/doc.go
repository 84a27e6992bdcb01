// Package auth protects MCP servers with OAuth 2.1: it is the resource server's
// half of the MCP authorization specification, for any [net/http] handler and
// any authorization server.
//
// A [Resource] verifies the bearer token of every request through a [Verifier],
// refuses with the challenges that clients log in by, asks for further scopes
// where an operation needs them, and says in its metadata where to log in. What
// it found it puts where the SDK's handlers, and ours, find it.
//
// Verifiers: [server.Server] of package auth/server for our own authorization
// server on the same Redis, [NewIntrospector] for one that can be asked
// (RFC 7662), and [NewJWTVerifier] for one that signs its tokens (RFC 9068).
package auth
