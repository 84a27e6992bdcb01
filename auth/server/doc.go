// Package server is an OAuth 2.1 authorization server for MCP: the
// authorization code grant with PKCE, refresh token rotation, dynamic client
// registration (RFC 7591) and client ID metadata documents, on any number of
// instances that share a Redis.
//
// Whatever must happen only once happens in one Lua script on keys of one slot:
// a code is redeemed once and a refresh token rotated once, even if several
// instances are asked at the same time. Redis stores only hashes of codes, tokens
// and client secrets.
//
// Users log in through an [Upstream]: your identity provider
// ([NewOAuth2Upstream]), or package auth/fakeupstream for demos and tests.
package server
