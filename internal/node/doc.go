// Package node moves the messages of MCP sessions between the instances of
// a fleet. It is the layer below package mcp of this module, which most users
// should import instead.
//
// A [Node] is one instance and holds everything together. A [Conn] is the SDK's
// connection for one request. A [Reader] is one open HTTP response that follows
// the log of a stream (package eventlog), which any instance can resume. A
// [Listener] is one open HTTP response that follows the bus only (package bus).
// Through its inbox the fleet reaches one instance; through the bus an instance
// reaches all others. A [Publisher] is for processes that serve no requests and
// only publish changes.
//
// Nothing here belongs to an instance for longer than a request or an open
// stream: whatever must outlive those is in Redis.
//
// # Locks
//
// Three locks are held during calls to Redis, and never two of them at once: the
// turn of a connection to send (Conn.out), the turn of a reader to load its
// subscriptions (loads.turn) and the turn to read a session's log level
// (logLevel.turn). While one of them is held, any of the others may be locked.
//
// All others are held for a moment, and nothing else is locked meanwhile: those
// of the registry, Conn.mu, Reader.mu, the toucher, the waiters and the SDK's
// queue of a connection. Only in package bus do locks nest, in this order: that of
// the feeds, that of one feed, that of the tail.
package node
