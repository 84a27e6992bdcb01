// Package auth protects MCP servers with OAuth 2.1: it is the resource server's
// part of the MCP authorization specification, for any [net/http] handler and
// any authorization server.
//
// A [Resource] verifies the bearer token of every request with a [Verifier]. It
// refuses requests with challenges from which clients learn where to log in,
// asks for further scopes where an operation needs them (step-up), and
// publishes protected resource metadata. The content of the token is put where
// the SDK's handlers, and ours, look for it.
//
// There are three verifiers: the Server of package auth/server, for our own
// authorization server on the same Redis; [NewIntrospector], for one with a
// token introspection endpoint (RFC 7662); and [NewJWTVerifier], for one that
// issues JWT access tokens (RFC 9068). [DiscoverVerifier] chooses between the last
// two by the authorization server's metadata.
package auth
