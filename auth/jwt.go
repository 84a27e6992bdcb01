package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
)

// JWTOptions configure [NewJWTVerifier]. Issuer and JWKSURI are required.
type JWTOptions struct {
	// Issuer is the authorization server's issuer identifier.
	Issuer string
	// JWKSURI is where its keys are: jwks_uri in its metadata.
	JWKSURI string
	// Algorithms are the signature algorithms that are accepted, of ES256,
	// ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512 and EdDSA. If
	// empty, ES256, RS256, PS256 and EdDSA.
	Algorithms []string
	// AnyType accepts tokens whose type is not at+jwt (RFC 9068, section 2.1),
	// for authorization servers that do not say so. It makes an ID token pass
	// for an access token if it is for the resource.
	AnyType bool
	// ClockSkew is how much the clocks may differ. If zero, 10 seconds.
	ClockSkew time.Duration
	// HTTPClient fetches the keys. If nil, one that follows no redirect.
	HTTPClient *http.Client
}

// NewJWTVerifier returns a [Verifier] of access tokens that are JWTs (RFC 9068),
// by the keys that the issuer publishes. Keys are fetched when one is needed
// that is not known, at most every 10 seconds, and every 10 minutes; while they
// cannot be fetched the known ones go on. A token is valid until it expires:
// nobody hears of a revocation.
func NewJWTVerifier(opts *JWTOptions) (Verifier, error) {
	if opts == nil || opts.Issuer == "" {
		return nil, errors.New("JWT verifier: JWTOptions.Issuer is empty")
	}
	o := *opts
	if u, err := url.Parse(o.JWKSURI); err != nil || u.Host == "" {
		return nil, fmt.Errorf("JWT verifier: JWTOptions.JWKSURI %q is not a URL", o.JWKSURI)
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"ES256", "RS256", "PS256", "EdDSA"}
	}
	v := &jwtVerifier{opts: o}
	for _, name := range o.Algorithms {
		if !slices.Contains(asymmetric, jose.SignatureAlgorithm(name)) {
			return nil, fmt.Errorf("JWT verifier: JWTOptions.Algorithms: %q is not known, or not asymmetric", name)
		}
		v.algorithms = append(v.algorithms, jose.SignatureAlgorithm(name))
	}
	if v.opts.ClockSkew == 0 {
		v.opts.ClockSkew = 10 * time.Second
	}
	if v.opts.HTTPClient == nil {
		v.opts.HTTPClient = fetch.Trusted()
	}
	return v, nil
}

var asymmetric = []jose.SignatureAlgorithm{
	jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

type jwtVerifier struct {
	opts       JWTOptions
	algorithms []jose.SignatureAlgorithm
	keys       keySet
}

// claims are those of RFC 9068, section 2.2, that matter here.
type claims struct {
	jwt.Claims
	ClientID string     `json:"client_id"`
	Scope    scopeClaim `json:"scope"`
}

// A scopeClaim is a string of scopes, or, of some issuers, an array.
type scopeClaim []string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *scopeClaim) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*s = strings.Fields(text)
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// maxToken bounds what is parsed as a token.
const maxToken = 16 << 10

// Verify implements [Verifier].
func (v *jwtVerifier) Verify(ctx context.Context, token string) (*Token, error) {
	if len(token) > maxToken {
		return nil, ErrInvalidToken
	}
	parsed, err := jwt.ParseSigned(token, v.algorithms)
	if err != nil || len(parsed.Headers) != 1 || !v.opts.AnyType && !isAccessTokenType(parsed.Headers[0]) {
		return nil, ErrInvalidToken
	}
	key, err := v.key(ctx, parsed.Headers[0])
	if err != nil {
		return nil, err
	}
	var c claims
	if parsed.Claims(key, &c) != nil {
		return nil, ErrInvalidToken
	}
	expected := jwt.Expected{Issuer: v.opts.Issuer, Time: time.Now()}
	if c.Expiry == nil || c.Subject == "" || c.ValidateWithLeeway(expected, v.opts.ClockSkew) != nil {
		return nil, ErrInvalidToken
	}
	return &Token{
		Issuer: c.Issuer, Subject: c.Subject, ClientID: c.ClientID,
		Audience: c.Audience, Scopes: c.Scope, Expires: c.Expiry.Time(),
	}, nil
}

// isAccessTokenType reports whether a JWT says that it is an access token, and
// so that it is nothing else, such as an ID token (RFC 9068, section 4).
func isAccessTokenType(h jose.Header) bool {
	typ, _ := h.ExtraHeaders[jose.HeaderType].(string)
	typ = strings.ToLower(typ)
	return typ == "at+jwt" || typ == "application/at+jwt"
}

// key returns the issuer's key that a token names.
func (v *jwtVerifier) key(ctx context.Context, h jose.Header) (any, error) {
	key, err := v.keys.find(ctx, h.KeyID, v.fetch)
	if err != nil {
		return nil, err
	}
	if key == nil || key.Algorithm != "" && key.Algorithm != h.Algorithm || key.Use != "" && key.Use != "sig" {
		return nil, ErrInvalidToken
	}
	return key.Key, nil
}

const maxKeySet = 64 << 10

func (v *jwtVerifier) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	doc, err := fetch.JSON(ctx, v.opts.HTTPClient, v.opts.JWKSURI, maxKeySet)
	if err != nil {
		return nil, fmt.Errorf("%w: keys of %s: %w", ErrUnavailable, v.opts.Issuer, err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(doc.Body, &set); err != nil {
		return nil, fmt.Errorf("%w: keys of %s: %w", ErrUnavailable, v.opts.Issuer, err)
	}
	return slices.DeleteFunc(set.Keys, func(k jose.JSONWebKey) bool { return !k.Valid() || !k.IsPublic() }), nil
}

// A keySet keeps an issuer's keys.
type keySet struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // successfully
	tried   time.Time
	err     error         // of the last try
	running chan struct{} // closed when the fetch that runs has ended; nil if none does
}

const (
	keysFresh = 10 * time.Minute
	keysRetry = 10 * time.Second
)

// find returns the key with an id, nil if there is none, fetching the keys if
// they are old or lack it. A token without a key id means the only key.
func (s *keySet) find(ctx context.Context, id string, get func(context.Context) ([]jose.JSONWebKey, error)) (*jose.JSONWebKey, error) {
	key, done := s.look(ctx, id, get)
	if key != nil || done == nil {
		return key, s.trouble(key)
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	s.mu.Lock()
	key = s.known(id)
	s.mu.Unlock()
	return key, s.trouble(key)
}

// look returns a known key, and a channel that is closed when the keys have
// been fetched, if they are being fetched.
func (s *keySet) look(ctx context.Context, id string, get func(context.Context) ([]jose.JSONWebKey, error)) (*jose.JSONWebKey, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.known(id)
	stale := time.Since(s.fetched) > keysFresh || key == nil
	if stale && s.running == nil && (s.tried.IsZero() || time.Since(s.tried) > keysRetry) {
		done := make(chan struct{})
		s.running, s.tried = done, time.Now()
		go func() {
			defer close(done)
			keys, err := get(context.WithoutCancel(ctx)) // others wait for it too; it bounds itself
			s.mu.Lock()
			defer s.mu.Unlock()
			s.err, s.running = err, nil
			if err == nil {
				s.keys, s.fetched = keys, time.Now()
			}
		}()
	}
	return key, s.running
}

func (s *keySet) known(id string) *jose.JSONWebKey {
	if id == "" && len(s.keys) == 1 {
		return &s.keys[0]
	}
	for i := range s.keys {
		if s.keys[i].KeyID == id && id != "" {
			return &s.keys[i]
		}
	}
	return nil
}

// trouble returns why there is no key, if that may be because the keys could
// not be fetched: then a token may be valid all the same.
func (s *keySet) trouble(key *jose.JSONWebKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key != nil {
		return nil
	}
	return s.err
}
