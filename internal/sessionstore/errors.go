package sessionstore

import (
	"errors"
	"fmt"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

var (
	// ErrNotFound says that there is no such session: it never was, was
	// deleted, or expired.
	ErrNotFound = errors.New("session not found")
	// ErrOtherServer says that the session began with another server. It wraps
	// ErrNotFound.
	ErrOtherServer = fmt.Errorf("%w: it is of another server", ErrNotFound)
	// ErrNoUser says that an id is that of a request which has neither a session nor
	// a user, so that nothing can be kept for it. It wraps ErrNotFound.
	ErrNoUser = fmt.Errorf("%w: the request has neither a session nor a user; put authentication in front of the handler, or have the client pass a handle among the arguments", ErrNotFound)
	// ErrExists says that there already is a session with that id.
	ErrExists = errors.New("session exists")
	// ErrNegotiated says that the session's protocol version is settled already.
	ErrNegotiated = errors.New("session has been initialized")
	// ErrTooMany says that the owner has too many sessions, or the session too
	// many values or subscriptions.
	ErrTooMany = errors.New("too many")
	// ErrTooLarge says that what should be stored is larger than allowed.
	ErrTooLarge = errors.New("too large")
	// ErrConflict says that a value is not at the version the caller expected.
	ErrConflict = errors.New("value has changed")
	// ErrUnavailable says that Redis did not answer in time, or refused. A
	// change that failed with it may nevertheless have happened.
	ErrUnavailable = redisx.ErrUnavailable
)
