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
// SDK session for this one request, and discards it afterwards. What a call
// streams is stored in Redis before the client sees it, so a broken stream can
// be resumed on any instance.
//
// One URL serves clients of every protocol revision: with sessions up to
// 2025-11-25, without from 2026-07-28 on; each request says which it is.
// [Handler.SSE] and [Handler.Messages] are for clients of 2024-11-05 that only
// know HTTP+SSE. A [Notifier] notifies all of them of changes, from any
// instance or from a process that serves no requests.
//
// # Guarantees
//
// They hold as long as Redis keeps the writes it has acknowledged.
//
//   - A request gets at most one response. If its instance dies, a client that
//     resumes the request's stream gets the response, or an error with the
//     request's id, within 15 seconds.
//   - A session survives the death of any instance.
//   - Resuming with Last-Event-ID gives exactly the rest of the stream in
//     order, or says that it cannot; there is never a silent gap.
//   - The client's response to a request of the server (sampling, elicitation,
//     roots) reaches the call that asked at most once, and is accepted only
//     from the session that was asked. An accepted response reaches a call
//     whose instance was stopped or cut off from Redis when it is back. If Redis
//     has lost the response the call fails, within 15 seconds while its
//     instance reaches Redis.
//   - A change that is published anywhere reaches every subscribed session at
//     least once, even if the client was disconnected or its instance died in
//     the meantime; a subscriptions/listen stream of 2026-07-28 gets every
//     change, or ends.
//   - Another user's session is indistinguishable from one that does not exist.
//   - A handler that panics, or returns what cannot be sent, fails its own call
//     and nothing else; see [Options.CrashOnPanic].
//   - Every key has a time to live. A session without an open stream or a
//     running call costs no goroutine, connection or timer anywhere.
//
// # What SDK code must not rely on
//
// The *mcp.ServerSession that a tool's handler gets is connected for its
// request only; used later, its methods return an error that says so.
// Server.Sessions and Server.ResourceUpdated see only the requests that run on
// their own instance at that moment: use the methods of [Notifier]. Calls that
// reach nobody are logged, where that can be noticed. Tools, prompts and resources
// that are added or removed while a server runs are announced once the server has
// served two requests, or with [Handler.Watch]. ServerOptions.KeepAlive and ServerOptions.GetSessionID have no
// effect: idle sessions end after [Options.SessionTTL], and session ids are
// random UUIDs. In protocol 2026-07-28, which has no sessions, ServerSession.ID is the
// id of the user, or of the request if it has no user.
package mcp
