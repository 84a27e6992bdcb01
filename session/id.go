package session

import "github.com/google/uuid"

// NewID returns an id for a session: random, globally unique and not
// guessable, as MCP asks (2025-11-25, Transports, Session Management).
func NewID() string { return uuid.NewString() }

// idLen is the length of a UUID as text.
const idLen = 36

// ValidID reports whether id has the form of [NewID]'s: a version 4 UUID in
// lower case (RFC 9562). Clients name sessions, and the name becomes part of
// keys; nothing else gets there.
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
