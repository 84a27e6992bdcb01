// Package mcp serves an MCP server written with the official Go SDK from any
// number of instances behind a plain load balancer. Import it as fleet:
//
//	import fleet "github.com/mcpfleet/mcpfleet/mcp"
//
// A [Handler] takes the place of the SDK's StreamableHTTPHandler:
//
//	server := mcp.NewServer(&mcp.Implementation{Name: "greeter", Version: "1.0.0"}, nil)
//	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, &fleet.Options{Redis: client})
//
// Any instance executes any request of any session. A session is a small record
// in Redis; the instance that receives a request loads the record, connects an
// SDK session for this one request, and lets it go. What a call streams is in
// Redis before a client sees it, so a broken stream resumes on any instance.
//
// One URL serves every client: with sessions up to protocol 2025-11-25, without
// from 2026-07-28 on; each request says which. [Handler.SSE] and
// [Handler.Messages] are for clients of 2024-11-05 that know only HTTP+SSE. What
// has changed is told to all of them, from any instance or from a process that
// serves nothing, by a [Notifier].
//
// # Guarantees
//
// They hold while Redis keeps the writes it acknowledged.
//
//   - A request gets at most one response. If its instance dies, a client that
//     resumes the request's stream gets the response, or an error with the
//     request's id, within 15 seconds.
//   - A session survives the death of any instance.
//   - Resuming with Last-Event-ID gives exactly the rest of the stream in order,
//     or says that it cannot; never a silent gap.
//   - A reply to a question of the server reaches the call that asked at most
//     once, and only from the session that was asked.
//   - A change that is published anywhere reaches every subscribed session at
//     least once, also one whose stream was away or whose instance died
//     meanwhile; a listener of 2026-07-28 gets every change, or its stream ends.
//   - Another user's session is indistinguishable from no session.
//   - Every key has a time to live. A session without an open stream or a
//     running call costs no goroutine, connection or timer anywhere.
//
// # What an SDK server may not expect
//
// The *mcp.ServerSession that a handler gets is connected for its request only:
// used later it fails and says so. Server.Sessions and Server.ResourceUpdated
// see only what runs on their own instance at the moment: use the methods of
// [Notifier], and [Handler.Watch] where features come and go while a server runs.
// ServerOptions.KeepAlive and ServerOptions.GetSessionID have no effect: idle
// sessions end by [Options.SessionTTL], and ids are random UUIDs.
package mcp
