package sdkcompat

import "github.com/modelcontextprotocol/go-sdk/mcp"

// The SDK marks the results of a server that says nothing about caching "public",
// also where users log in: a cache that users share may answer one of them with
// what another one got.
//
// Seen in: v1.8.0.
// Here: package mcp marks them "private" if the request has a user and the server
// does not decide by itself, which is read from its private field.
// Test: TestResultsArePublicByDefault.

var setCacheable = indexOf("SetCacheable")

// DecidesCaching reports whether a server has ServerOptions.SetCacheable, and so
// means what it says about caching.
func DecidesCaching(server *mcp.Server) bool { return setCacheable.isSet(server) }
