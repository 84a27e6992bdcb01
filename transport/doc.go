// Package transport moves the messages of MCP sessions between the instances
// of a fleet.
//
// It knows five things, one file each: a [Conn], the SDK connection of one
// request; a [Log], which keeps the events of a stream in Redis so that any
// instance can resume it; a [Reader], which is one open HTTP response that
// follows a log; the inbox, through which the fleet talks to one instance; and
// the bus, through which an instance talks to all of them. A [Node] is one
// instance and holds the five together.
//
// Nothing here belongs to an instance for longer than a request or an open
// stream: whatever must outlive those is in Redis.
package transport
