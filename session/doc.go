// Package session lets an application look at the sessions of its MCP clients
// and keep data of its own with them.
//
// Sessions are stored in Redis. No instance owns one: the instance that receives
// a request reads the session's [Record], usually from its client-side cache,
// and any instance may change it at any time. Clients begin sessions with
// initialize, through package mcp or package transport; a deleted session never
// comes back, whatever change races with its deletion.
//
// [Values] hold an application's own data about a session. They replace a map
// in the process, which other instances that serve the session would not see:
//
//	carts := session.NewValues[Cart](handler.Sessions(), "cart")
//
// A program that serves sessions has their [Store] from Handler.Sessions of
// package mcp or from Node.Sessions of package transport. [NewStore] is for
// other programs, such as one for an operator who looks at a session and ends
// it.
package session
