// Package jwks fetches and caches the public keys that others publish as JWK sets
// (RFC 7517), to verify signatures with.
package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// Keys older than fresh are fetched again while the old ones stay in use. Keys
	// older than stale, which nobody used for a while, are used only when the fetch
	// has ended.
	fresh = 10 * time.Minute
	stale = 2 * fresh
	// retry is the least time between two fetches.
	retry = 10 * time.Second
	// maxCandidates bounds the cost of verifying one signature.
	maxCandidates = 8
	// minRSA is the least size of an RSA key (RFC 7518, section 3.3); maxRSA bounds
	// the cost of verifying a signature.
	minRSA, maxRSA = 2048, 8192
)

// Parse returns the keys of a JWK set that can verify signatures. Keys of unknown
// types and for other purposes are left out, as RFC 7517, section 5, asks.
func Parse(data []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("JWK set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New("JWK set: it has no member keys") // required by RFC 7517, section 5.1
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.Valid() && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Candidates returns the keys that may have made a signature with this header.
// There are several only if keys share an id, or if the header names none.
func Candidates(keys []jose.JSONWebKey, h jose.Header) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, key := range keys {
		named := h.KeyID == "" || h.KeyID == key.KeyID
		if named && (key.Algorithm == "" || key.Algorithm == h.Algorithm) && fits(key.Key, h.Algorithm) && len(found) < maxCandidates {
			found = append(found, key)
		}
	}
	return found
}

// fits reports whether a public key has the type and size that an algorithm needs
// (RFC 7518, section 3.1). No key fits "none" or a symmetric algorithm.
func fits(key any, algorithm string) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch algorithm {
		case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
			return key.N.BitLen() >= minRSA && key.N.BitLen() <= maxRSA
		}
	case *ecdsa.PublicKey:
		return algorithm == "ES256" && key.Curve == elliptic.P256() ||
			algorithm == "ES384" && key.Curve == elliptic.P384() ||
			algorithm == "ES512" && key.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// A Set caches keys that are fetched from where they are published. Its zero
// value is empty. It is safe for concurrent use.
type Set struct {
	mu      sync.Mutex // guards the fields below
	keys    []jose.JSONWebKey
	fetched time.Time     // when the last fetch succeeded
	tried   time.Time     // when the last fetch began
	err     error         // of the last fetch that has ended
	running chan struct{} // closed when the running fetch has ended; nil if none is running
}

// A Fetch gets keys. It must bound its own time: its context does not end when
// the request ends that needed the keys first, because others may wait as well.
type Fetch func(ctx context.Context) ([]jose.JSONWebKey, error)

// Find returns the candidates for a header. It fetches the keys, at most every 10
// seconds, if there is no candidate or the keys are more than 10 minutes old. If
// they are more than 20 minutes old, it waits for the fetch, and uses the old keys
// only if that fails: a key that was withdrawn long ago must not verify another
// signature. If there is no candidate, the error is that of the last fetch or the
// context's, and nil if the last fetch succeeded.
func (s *Set) Find(ctx context.Context, h jose.Header, fetch Fetch) ([]jose.JSONWebKey, error) {
	found, running, err := s.check(ctx, h, fetch)
	if len(found) > 0 {
		return found, nil
	}
	if running == nil {
		return nil, err
	}
	select {
	case <-running:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found = Candidates(s.keys, h); len(found) > 0 {
		return found, nil
	}
	return nil, s.err
}

// Knows reports whether the cached keys have candidates for a header.
func (s *Set) Knows(h jose.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(Candidates(s.keys, h)) > 0
}

// check starts a fetch if one is due. It returns the candidates among the cached
// keys, if they may be used without waiting for a fetch; the channel that is
// closed when the running fetch has ended, nil if none is running; and the error
// of the last fetch that has ended.
func (s *Set) check(ctx context.Context, h jose.Header, fetch Fetch) ([]jose.JSONWebKey, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, age := Candidates(s.keys, h), time.Since(s.fetched)
	needed := len(found) == 0 || age > fresh
	if needed && s.running == nil && (s.tried.IsZero() || time.Since(s.tried) > retry) {
		s.running, s.tried = make(chan struct{}), time.Now()
		// Nobody joins it: it ends when fetch does, which is bounded, and changes
		// nothing but s.
		go s.fetch(context.WithoutCancel(ctx), s.running, fetch)
	}
	if age > stale && s.err == nil {
		found = nil // Find waits for the running fetch
	}
	return found, s.running, s.err
}

func (s *Set) fetch(ctx context.Context, done chan struct{}, fetch Fetch) {
	defer close(done)
	keys, err := fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.running = err, nil
	if err == nil {
		s.keys, s.fetched = keys, time.Now()
	}
}
