package session

import "github.com/mcpfleet/mcpfleet/internal/sessionstore"

// Errors of this package, and of packages mcp and transport where they concern
// a session. Compare with errors.Is.
var (
	// ErrNotFound says that there is no such session: it never was, was
	// deleted, or expired.
	ErrNotFound = sessionstore.ErrNotFound
	// ErrNoUser says that nothing can be kept under an id, because it is that of a
	// request of protocol 2026-07-28 without authentication, which has neither a
	// session nor a user. It wraps ErrNotFound.
	ErrNoUser = sessionstore.ErrNoUser
	// ErrConflict says that a value is not at the version the caller expected.
	ErrConflict = sessionstore.ErrConflict
	// ErrTooMany says that a session has too many values, or a user too many
	// sessions.
	ErrTooMany = sessionstore.ErrTooMany
	// ErrTooLarge says that what should be stored is larger than allowed.
	ErrTooLarge = sessionstore.ErrTooLarge
	// ErrUnavailable says that Redis did not answer in time, or refused. A
	// change that failed with it may nevertheless have happened.
	ErrUnavailable = sessionstore.ErrUnavailable
)
