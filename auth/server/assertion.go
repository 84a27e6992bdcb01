package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
	"github.com/mcpfleet/mcpfleet/internal/jwks"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const (
	maxAssertion     = 8 << 10
	maxAssertionLife = 5 * time.Minute
	maxAssertionID   = 256
	// assertionSkew is how much a client's clock may be ahead or behind.
	assertionSkew = 10 * time.Second
	maxClientKeys = 64 << 10
)

// assertionAlgorithms are the signature algorithms of assertions. With a
// symmetric one, a public key would be used as a secret.
var assertionAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}

// assertionSubject returns the client that an assertion claims to be from. It
// verifies nothing.
func assertionSubject(text string) (string, error) {
	token, err := parseAssertion(text)
	if err != nil {
		return "", errClient()
	}
	var claims jwt.Claims
	if token.UnsafeClaimsWithoutVerification(&claims) != nil || claims.Subject == "" {
		return "", errClient()
	}
	return claims.Subject, nil
}

func parseAssertion(text string) (*jwt.JSONWebToken, error) {
	if len(text) > maxAssertion {
		return nil, errors.New("the assertion is too long")
	}
	token, err := jwt.ParseSigned(text, assertionAlgorithms)
	if err == nil && len(token.Headers) != 1 {
		err = errors.New("the assertion does not have exactly one signature")
	}
	return token, err
}

// checkAssertion fails unless an assertion authenticates a client (RFC 7523,
// section 3). An assertion is accepted once in the whole fleet. The client does
// not learn what is wrong with one.
func (s *Server) checkAssertion(ctx context.Context, client *Client, address, text string) error {
	token, err := parseAssertion(text)
	if err != nil {
		return errClient()
	}
	// Other clients choose the URL of their keys themselves, so fetches are limited.
	if !s.clients.preregistered(client.ID) && !s.clientKeys.known(client, token.Headers[0]) {
		if err := s.clientKeys.fetcher.admit(ctx, fetchKeys, address); err != nil {
			return err
		}
	}
	candidates, err := s.clientKeys.find(ctx, client, token.Headers[0])
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if !slices.ContainsFunc(candidates, func(key jose.JSONWebKey) bool {
		claims = jwt.Claims{}
		return token.Claims(key.Key, &claims) == nil
	}) {
		return errClient()
	}
	if err := checkAssertionClaims(claims, client.ID, s.opts.Issuer, time.Now()); err != nil {
		s.logger.InfoContext(ctx, "assertion refused", "client", client.ID, "error", err)
		return errClient()
	}
	return s.useAssertion(ctx, client.ID, claims)
}

// checkAssertionClaims checks the claims; useAssertion checks that the assertion
// is new. The audience must be the issuer alone, without endpoints or other
// servers, so that no other server can use the assertion (draft-ietf-oauth-
// rfc7523bis, section 4).
func checkAssertionClaims(c jwt.Claims, client, issuer string, now time.Time) error {
	switch {
	case c.Issuer != client || c.Subject != client:
		return errors.New("iss or sub is not the client")
	case len(c.Audience) != 1 || strings.TrimSuffix(c.Audience[0], "/") != issuer:
		return errors.New("aud is not the issuer alone")
	case c.ID == "" || len(c.ID) > maxAssertionID:
		return errors.New("jti is missing or too long")
	case c.Expiry == nil:
		return errors.New("exp is missing")
	case c.Expiry.Time().After(now.Add(maxAssertionLife + assertionSkew)):
		return errors.New("exp is too far ahead")
	}
	return c.ValidateWithLeeway(jwt.Expected{Time: now}, assertionSkew)
}

// useAssertion records that an assertion was used, and fails if it was used
// before. The record outlives the time in which any instance would accept the
// assertion.
func (s *Server) useAssertion(ctx context.Context, client string, c jwt.Claims) error {
	life := time.Until(c.Expiry.Time()) + 3*assertionSkew
	cmd := s.rdb.B().Set().Key(s.keys.Assertion(client, c.ID)).Value("1").Nx().Px(life).Build()
	err := s.rdb.Do(ctx, cmd).Error()
	if rueidis.IsRedisNil(err) {
		s.logger.WarnContext(ctx, "assertion used twice", "client", client)
		return errClient()
	}
	if err != nil {
		return redisx.Unavailable("use assertion", err)
	}
	return nil
}

// clientKeys finds the keys that clients sign assertions with. It caches fetched
// keys of a bounded number of clients.
type clientKeys struct {
	fetcher *fetcher

	mu   sync.Mutex           // guards sets
	sets map[string]*jwks.Set // by URL
}

const maxKeySets = 1000

func newClientKeys(f *fetcher) *clientKeys {
	return &clientKeys{fetcher: f, sets: map[string]*jwks.Set{}}
}

// known reports whether find needs no fetch for a header.
func (k *clientKeys) known(client *Client, h jose.Header) bool {
	return len(client.JWKS) > 0 || k.set(client.JWKSURI).Knows(h)
}

// find returns the keys of a client that may have made a signature with this
// header.
func (k *clientKeys) find(ctx context.Context, client *Client, h jose.Header) ([]jose.JSONWebKey, error) {
	if len(client.JWKS) > 0 {
		known, err := jwks.Parse(client.JWKS)
		return jwks.Candidates(known, h), err
	}
	found, err := k.set(client.JWKSURI).Find(ctx, h, func(ctx context.Context) ([]jose.JSONWebKey, error) {
		doc, err := k.fetcher.json(ctx, client.JWKSURI, maxClientKeys)
		var keys []jose.JSONWebKey
		if err == nil {
			keys, err = jwks.Parse(doc.Body)
		} else if !errors.Is(err, fetch.ErrRefused) {
			return nil, err
		}
		if err != nil {
			// The client has withdrawn its keys: those that are cached must not be used.
			k.fetcher.logger.WarnContext(ctx, "client has no keys", "client", client.ID, "error", err)
			return nil, nil
		}
		return keys, nil
	})
	if err != nil && ctx.Err() != nil {
		return nil, errAway()
	}
	return found, err
}

func (k *clientKeys) set(uri string) *jwks.Set {
	k.mu.Lock()
	defer k.mu.Unlock()
	set := k.sets[uri]
	if set == nil {
		if len(k.sets) >= maxKeySets {
			clear(k.sets) // they are fetched again when they are needed
		}
		set = &jwks.Set{}
		k.sets[uri] = set
	}
	return set
}
