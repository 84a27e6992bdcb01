package sessionstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A request of a protocol without sessions is told an id in place of a session's:
// that of its user, or one of its own. Code that was written for sessions keeps data
// by it, so it is never the same for two users. Neither is a UUID, as the ids of
// sessions are.
const (
	userPrefix    = "user-"
	requestPrefix = "request-"
)

// userIDBytes is as much of a MAC as is in the id of a user.
const userIDBytes = 20

var userIDText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewRequestID returns an id for a request that has neither a session nor a user.
// Nothing can be kept under it.
func NewRequestID() string { return requestPrefix + strings.ToLower(rand.Text()) }

// UserID returns the id of a user's requests to the servers of a name that have no
// session. It is the same on every instance for as long as the fleet has one that
// serves such requests, and for a day after. Without the fleet's secret it cannot be
// computed, nor can the user be found from it.
//
// Once the store knows the secret, UserID asks Redis nothing.
func (s *Store) UserID(ctx context.Context, server, user string) (string, error) {
	secret, err := s.knownSecret(ctx)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(server + "\x00" + user)) // a hash takes everything
	return userPrefix + userIDText.EncodeToString(mac.Sum(nil)[:userIDBytes]), nil
}

// validUserID reports whether id has the form of the ids that [Store.UserID] returns.
func validUserID(id string) bool {
	text, ok := strings.CutPrefix(id, userPrefix)
	if !ok || len(text) != userIDText.EncodedLen(userIDBytes) {
		return false
	}
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// IsStateless reports whether an id is what a request without a session is told in
// place of a session's.
func IsStateless(id string) bool {
	return strings.HasPrefix(id, userPrefix) || strings.HasPrefix(id, requestPrefix)
}

// A secret is what the store knows of the fleet's: ids of users are computed with it.
type secret struct {
	known  atomic.Pointer[string]
	asking chan struct{} // has room for the one that asks Redis
}

const (
	// secretLives is how long the secret outlives the last instance that knows it, at
	// least.
	secretLives = 24 * time.Hour
	// SecretEvery is how often [Store.KeepSecret] is to be called.
	SecretEvery = time.Minute
)

func (s *Store) knownSecret(ctx context.Context) (string, error) {
	if known := s.secret.known.Load(); known != nil {
		return *known, nil
	}
	select {
	case s.secret.asking <- struct{}{}:
		defer func() { <-s.secret.asking }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if known := s.secret.known.Load(); known != nil {
		return *known, nil
	}
	return s.keepSecret(ctx, rand.Text()+rand.Text())
}

// KeepSecret keeps the fleet's secret alive if this store has used it, and puts it
// back if Redis has lost it.
func (s *Store) KeepSecret(ctx context.Context) error {
	known := s.secret.known.Load()
	if known == nil {
		return nil
	}
	_, err := s.keepSecret(ctx, *known)
	return err
}

// keepSecret makes the secret the fleet's unless that has one, and returns what is.
func (s *Store) keepSecret(ctx context.Context, secret string) (string, error) {
	reply, err := secretKeep.Exec(ctx, s.rdb, []string{s.keys.Secret()}, secret, redisx.Millis(secretLives+s.opts.SessionTTL))
	if err != nil {
		return "", err
	}
	fleets, err := reply.ToString()
	if err != nil {
		return "", redisx.Unavailable("keep the secret of users' ids", err)
	}
	s.secret.known.Store(&fleets)
	return fleets, nil
}
