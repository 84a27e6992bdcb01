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

import (
	"errors"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

var (
	// ErrNotFound says that there is no such session: it never was, was
	// deleted, or expired.
	ErrNotFound = errors.New("session not found")
	// ErrExists says that there already is a session with that id.
	ErrExists = errors.New("session exists")
	// ErrNegotiated says that initialize has settled the session's protocol before.
	ErrNegotiated = errors.New("session has been initialized")
	// ErrTooMany says that the owner has too many sessions, or the session too
	// many values.
	ErrTooMany = errors.New("too many")
	// ErrTooLarge says that what should be stored is larger than allowed.
	ErrTooLarge = errors.New("too large")
	// ErrConflict says that a value is not at the version the caller expected.
	ErrConflict = errors.New("value has changed")
	// ErrUnavailable says that Redis did not answer in time, or refused. A
	// change that failed with it may nevertheless have happened.
	ErrUnavailable = redisx.ErrUnavailable
)
