// Package rediskeys names every key that mcpfleet keeps in Redis. No other package
// builds a key, so docs/redis.md and this file say the same.
//
// All keys of one session carry the session's id as their hash tag: in a Redis
// Cluster they share a slot, and one script may change several of them.
package rediskeys

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
)

// DefaultPrefix is the first part of every key unless the caller chose another.
const DefaultPrefix = "mcp"

// Standalone is the stream id of a session's GET stream, the one that belongs
// to no request.
const Standalone = "g"

// A Space is the set of keys under one prefix. Two spaces never share a key.
// Its zero value is not valid; use [New].
type Space struct{ prefix string }

// Braces would move keys to other slots, so the alphabet is closed.
var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// New returns the key space of prefix, or of [DefaultPrefix] if it is empty.
func New(prefix string) (Space, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if !validPrefix.MatchString(prefix) {
		return Space{}, fmt.Errorf("prefix %q: only letters, digits and _ . : - are allowed", prefix)
	}
	return Space{prefix}, nil
}

// Prefix returns the first part of every key of the space.
func (s Space) Prefix() string { return s.prefix }

// Session is the hash that holds a session's record.
func (s Space) Session(id string) string { return s.of(id, "session") }

// Values is the hash that holds the values kept with a session, or with a user.
func (s Space) Values(id string) string { return s.of(id, "values") }

// Subscriptions is the hash of the resources that a session is subscribed to,
// each with the position on the bus from which its updates count.
func (s Space) Subscriptions(id string) string { return s.of(id, "subs") }

// OpenStreams is the sorted set of a session's unfinished call streams, scored
// by the time (ms) at which they count as forgotten.
func (s Space) OpenStreams(id string) string { return s.of(id, "streams") }

// EndedStreams is the sorted set of a session's finished streams whose logs can
// still be read, scored by the time (ms) at which they go.
func (s Space) EndedStreams(id string) string { return s.of(id, "ended") }

// Stored is the hash that counts the bytes which are stored of a session's streams:
// of each by its name, and of all as the field "all".
func (s Space) Stored(id string) string { return s.of(id, "stored") }

// Stream is the hash that holds the state of one stream of a session.
func (s Space) Stream(id, stream string) string { return s.of(id, "stream:"+stream) }

// Log is the list that holds the events of one stream of a session.
func (s Space) Log(id, stream string) string { return s.of(id, "log:"+stream) }

// Round is the hash of a call of a protocol without sessions that waits for answers
// of its client.
func (s Space) Round(call string) string { return s.of("call:"+call, "round") }

// Inbox is the Redis Stream through which the fleet talks to one instance. Its
// existence says that the instance lives.
func (s Space) Inbox(instance string) string {
	return s.prefix + ":{inst:" + instance + "}:inbox"
}

// Responses is the Redis Stream of what one instance must not miss although it may
// be stopped or cut off for a while: what clients respond to its server requests.
func (s Space) Responses(instance string) string {
	return s.prefix + ":{inst:" + instance + "}:responses"
}

// Bus is the Redis Stream that every instance tails.
func (s Space) Bus() string { return s.prefix + ":{bus}" }

// OwnerSessions is the sorted set of a user's sessions, scored by the time (ms)
// at which they expire. The user appears as a hash: ids of users are nobody's
// business who lists keys.
func (s Space) OwnerSessions(owner string) string {
	return s.of("owner:"+hashed(owner), "sessions")
}

// Secret is the string from which the ids of users are computed that have no
// session.
func (s Space) Secret() string { return s.of("fleet", "secret") }

// Grant is the hash that holds what one user allowed one client: the code, the
// refresh token and the access tokens that came of it.
func (s Space) Grant(id string) string { return s.of("grant:"+id, "grant") }

// AuthSession is the hash that holds an authorization session: a request that a
// user has to consent to and log in for.
func (s Space) AuthSession(id string) string { return s.of("flow:"+id, "flow") }

// Login is the string that holds a login at the fake upstream, on its way to
// the authorization server with that code.
func (s Space) Login(code string) string { return s.of("login:"+hashed(code), "login") }

// Client is the string that holds a client that registered itself.
func (s Space) Client(id string) string { return s.of("client:"+hashed(id), "client") }

// Document is the string that holds the document of a client whose id is a URL.
func (s Space) Document(url string) string { return s.of("client:"+hashed(url), "document") }

// Assertion says that a client has used an assertion with that id.
func (s Space) Assertion(client, jti string) string {
	return s.of("client:"+hashed(client), "jti:"+hashed(jti))
}

// Limit is the state of one rate limit of one address, which appears as a hash.
func (s Space) Limit(address, name string) string { return s.of("limit:"+hashed(address), name) }

// SessionPattern matches the record keys of all sessions, for SCAN.
func (s Space) SessionPattern() string { return s.prefix + ":{*}:session" }

func (s Space) of(id, what string) string { return s.prefix + ":{" + id + "}:" + what }

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
