// Package server is an OAuth 2.1 authorization server for MCP: the authorization
// code grant with PKCE, refresh tokens that rotate, dynamic registration and
// client documents, on any number of instances that share a Redis.
//
// Whatever must happen once happens in one Lua script on the keys of one slot:
// a code is redeemed once and a refresh token rotated once, whichever instances
// are asked at the same time. Redis holds hashes of secrets only.
//
// Users log in through an [Upstream]: an identity provider of yours
// ([NewOAuth2Upstream]), or package auth/fakeupstream for demos and tests.
package server
