// Package node moves the messages of MCP sessions between the instances of
// a fleet. It is the layer below package mcp of this module, which most users
// should import instead.
//
// A [Conn] is the SDK's connection for one request. A [Log] stores the events
// of a stream in Redis, so that any instance can resume it; a [Reader] is one
// open HTTP response that follows a log. Through its inbox the fleet reaches
// one instance. Through the bus an instance reaches all others, each of which
// keeps the last messages in memory; a [Listener] is one open HTTP response
// that follows the bus only. A [Node] is one instance and holds all these
// together. A [Publisher] is for processes that serve no requests and only
// publish changes.
//
// Nothing here belongs to an instance for longer than a request or an open
// stream: whatever must outlive those is in Redis.
package node
