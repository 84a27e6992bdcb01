// Package transport runs the sessions of MCP servers on any number of instances
// that share a Redis, for programs that receive and send the messages themselves:
// with their own HTTP layer, or over something else than HTTP. Others want package
// mcp, which has the MCP endpoint over HTTP.
//
// A [Node] is one instance. Whatever the program receives from a client it gives
// to the node of the instance where it arrived, which may be another one for
// each message:
//
//   - [Node.Serve] takes a message: initialize, which begins a session, and then
//     the session's calls, notifications and responses. It has an SDK server
//     handle the message, and returns the [Response].
//   - [Node.Resume] opens a session's standalone stream, or resumes any of its
//     streams behind an event that the client has.
//   - [Node.Delete] ends a session.
//
// [Response.WriteHTTP] writes a response over HTTP as the specification says
// (2025-11-25, "Transports", "Streamable HTTP"): as JSON, or as a stream of
// server-sent events when a call sends anything before its result.
// [Response.Send] hands the messages to a function instead.
//
// The guarantees are those of package mcp for protocols with sessions: a session
// survives the death of any instance; a stream is resumed on any instance,
// exactly behind the client's last event; a client's response reaches the call
// that asked, wherever it arrives; a resource update reaches every subscribed
// session. The SDK's own session lasts for one message: what package mcp says
// that SDK code must not rely on holds here as well.
//
// # What is left to the program
//
// Reading messages and bounding their size, authentication, and the checks of
// Host and Origin. A stream ends with the context that it is sent with, which
// the program should bound by the life of the client's token. While Redis is
// unavailable, Serve and Resume fail with session.ErrUnavailable; some clients
// take an error status of a resume for the end of their session.
//
// Clients of protocol 2026-07-28, which has no sessions, are told to use an
// older one. There are no JSON-RPC batches, and no sessions of the HTTP+SSE
// transport of protocol 2024-11-05. A process that serves no sessions notifies
// their clients with NewNotifier of package mcp.
package transport
