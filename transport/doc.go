// Package transport moves the messages of MCP sessions between the instances
// of a fleet.
//
// It knows a few things, one file each: a [Conn], the SDK connection of one
// request; a [Log], which keeps the events of a stream in Redis so that any
// instance can resume it; a [Reader], which is one open HTTP response that
// follows a log; the inbox, through which the fleet talks to one instance; the
// bus, through which an instance talks to all of them, with the tail of it that
// each keeps in memory and the feeds that take from there what a stream wants;
// and a [Listener], which is one open HTTP response that follows the bus alone.
// A [Node] is one instance and holds them together. A [Publisher] is for
// processes that are none and only have something to tell.
//
// Nothing here belongs to an instance for longer than a request or an open
// stream: whatever must outlive those is in Redis.
package transport
