// Package jwks keeps public keys that others publish as JWK sets (RFC 7517),
// to check signatures by.
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
	// fresh is how long keys are used before they are fetched again, which nobody
	// waits for unless they are stale: nobody may have asked for them for days.
	fresh = 10 * time.Minute
	stale = 2 * fresh
	// retry is the least time between two fetches.
	retry = 10 * time.Second
	// maxCandidates bounds what one signature costs.
	maxCandidates = 8
	// minRSA is the least size of an RSA key (RFC 7518, section 3.3), maxRSA
	// bounds what a signature by one costs.
	minRSA, maxRSA = 2048, 8192
)

// Parse returns the keys of a JWK set that can check signatures. Keys of other
// sorts, or for other purposes, are left out: issuers publish what not everybody
// knows (RFC 7517, section 5).
func Parse(data []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("JWK set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New("JWK set: it has no member keys") // section 5.1; all other JSON is none
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

// Candidates returns those of the keys that may have made a signature with
// this header. It is more than one only if keys share their id or the header
// names none.
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

// fits reports whether a public key is of the sort and size that an algorithm
// needs (RFC 7518, section 3.1). Nothing fits "none" and symmetric ones.
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

// A Set is keys that are fetched from where they are published. Its zero value
// is empty. It is safe for concurrent use.
type Set struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // successfully
	tried   time.Time
	err     error         // of the last try
	running chan struct{} // closed when the fetch that runs has ended; nil if none does
}

// A Fetch gets keys. It bounds its own time, because who waits for it first may
// not wait to the end while others do.
type Fetch func(ctx context.Context) ([]jose.JSONWebKey, error)

// Find returns the candidates for a header, none if there are none. Keys are
// fetched if there are no candidates, at most every 10 seconds, and, while the
// known ones go on, when they are 10 minutes old. Those that are 20 minutes old
// go on only if the last fetch failed: a key that its owner took back long ago
// must not be good for one signature more. It fails with the error of the
// last fetch, or the context's, if that may be why there is no candidate.
func (s *Set) Find(ctx context.Context, h jose.Header, fetch Fetch) ([]jose.JSONWebKey, error) {
	found, running, err := s.look(ctx, h, fetch)
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

// Knows reports whether there are candidates for a header, so that nobody has to
// wait for a fetch.
func (s *Set) Knows(h jose.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(Candidates(s.keys, h)) > 0
}

// look returns the candidates among the known keys, if these may be used
// without waiting, the error of the last fetch, and, if one is running or has
// to, when that has ended.
func (s *Set) look(ctx context.Context, h jose.Header, fetch Fetch) ([]jose.JSONWebKey, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, age := Candidates(s.keys, h), time.Since(s.fetched)
	needed := len(found) == 0 || age > fresh
	if needed && s.running == nil && (s.tried.IsZero() || time.Since(s.tried) > retry) {
		s.running, s.tried = make(chan struct{}), time.Now()
		// It ends by itself, and leaves nothing behind but keys in s.
		go s.fetch(context.WithoutCancel(ctx), s.running, fetch)
	}
	if age > stale && s.err == nil {
		found = nil // until the fetch that is running has ended
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
