// Package sessionstore stores the sessions of MCP clients in Redis: their owner,
// their state and their lifetime.
//
// No instance owns a session. The instance that receives a request reads the
// session's [Record], usually from its client-side cache, and any instance may
// change it at any time; each change is one atomic script. A deleted session
// never comes back, whatever change races with its deletion.
//
// [Values] hold an application's own data about a session. They replace a map
// in the process, which other instances that serve the session would not see.
package sessionstore
