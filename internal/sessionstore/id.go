package sessionstore

import "github.com/google/uuid"

// NewID returns a new session id, a version 4 UUID: random, globally unique and
// not guessable, as MCP requires (2025-11-25, Transports, Session Management).
func NewID() string { return uuid.NewString() }

// idLen is the length of a UUID as text.
const idLen = 36

// ValidID reports whether id has the form that [NewID] returns: a version 4
// UUID in lower case (RFC 9562). Ids that clients send become part of Redis
// keys, so anything else must be rejected first.
func ValidID(id string) bool {
	if len(id) != idLen {
		return false
	}
	for i := range idLen {
		if !validIDByte(i, id[i]) {
			return false
		}
	}
	return true
}

func validIDByte(i int, c byte) bool {
	switch i {
	case 8, 13, 18, 23:
		return c == '-'
	case 14: // the version
		return c == '4'
	case 19: // the variant
		return c == '8' || c == '9' || c == 'a' || c == 'b'
	}
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
}

// ShortID is as much of a session's id as goes into logs: without authentication
// the whole id is all that a session's user has to know.
func ShortID(id string) string { return id[:min(8, len(id))] }
