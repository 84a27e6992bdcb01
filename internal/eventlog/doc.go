// Package eventlog stores the events of MCP streams in Redis, so that any
// instance can resume a stream, also after the one that wrote it has died.
//
// A [Log] is a list in Redis for each stream, with the stream's state beside
// it. An [ID] names one event; it is what clients send back in Last-Event-ID.
// Each transition of a stream is one Lua script, which gets all the keys that it
// touches where it is run.
package eventlog
