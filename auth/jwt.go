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
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
	"github.com/mcpfleet/mcpfleet/internal/jwks"
)

// JWTOptions configure [NewJWTVerifier]. Issuer and JWKSURI are required.
type JWTOptions struct {
	// Issuer is the authorization server's issuer identifier.
	Issuer string
	// JWKSURI is the URL of its keys: jwks_uri in its metadata.
	JWKSURI string
	// Algorithms are the accepted signature algorithms, out of ES256,
	// ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512 and EdDSA. If
	// empty, ES256, RS256, PS256 and EdDSA.
	Algorithms []string
	// AnyType accepts tokens whose typ is not at+jwt (RFC 9068, section 2.1), for
	// authorization servers that do not set it. An ID token then passes for an
	// access token if the resource is in its audience.
	AnyType bool
	// ClockSkew is how far the issuer's clock may be ahead: how much before its
	// nbf and iat a token is accepted. No token is accepted after its exp. If
	// zero, 10 seconds; if negative, none.
	ClockSkew time.Duration
	// HTTPClient fetches the keys. If nil, one that does not follow redirects.
	HTTPClient *http.Client
}

// NewJWTVerifier returns a [Verifier] of access tokens that are JWTs (RFC
// 9068), by the keys that the issuer publishes. Keys are fetched when a token
// names an unknown one, at most every 10 seconds, and again every 10 minutes;
// while they cannot be fetched, the known ones stay in use. A token is valid
// until it expires: its revocation is not noticed. It does no I/O itself.
func NewJWTVerifier(opts *JWTOptions) (Verifier, error) {
	if opts == nil || opts.Issuer == "" {
		return nil, errors.New("JWT verifier: JWTOptions.Issuer is empty")
	}
	o := *opts
	if !isHTTP(o.JWKSURI) {
		return nil, fmt.Errorf("JWT verifier: JWTOptions.JWKSURI %q is not an http or https URL", o.JWKSURI)
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
	v.opts.ClockSkew = max(0, v.opts.ClockSkew)
	if v.opts.HTTPClient == nil {
		v.opts.HTTPClient = fetch.Trusted()
	}
	return v, nil
}

// isHTTP reports whether text is an http or https URL with a host.
func isHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

var asymmetric = []jose.SignatureAlgorithm{
	jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

type jwtVerifier struct {
	opts       JWTOptions
	algorithms []jose.SignatureAlgorithm
	keys       jwks.Set
}

// claims are the claims of RFC 9068, section 2.2, that are used here.
type claims struct {
	jwt.Claims
	ClientID string     `json:"client_id"`
	Scope    scopeClaim `json:"scope"`
}

// A scopeClaim is a string of scopes, or, from some issuers, an array.
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
	keys, err := v.keys.Find(ctx, parsed.Headers[0], v.fetch)
	if err != nil {
		// The token may be signed with a key that was not fetched yet.
		return nil, fmt.Errorf("%w: keys of %s: %w", ErrUnavailable, v.opts.Issuer, err)
	}
	c := verified(parsed, keys)
	if c == nil || c.Expiry == nil || c.Subject == "" {
		return nil, ErrInvalidToken
	}
	now := time.Now()
	if !now.Before(c.Expiry.Time()) || c.ValidateWithLeeway(jwt.Expected{Issuer: v.opts.Issuer, Time: now}, v.opts.ClockSkew) != nil {
		return nil, ErrInvalidToken
	}
	return &Token{
		Issuer: c.Issuer, Subject: c.Subject, ClientID: c.ClientID,
		Audience: c.Audience, Scopes: c.Scope, Expires: c.Expiry.Time(),
	}, nil
}

// verified returns the claims of a token that one of the keys signed, nil if
// none did.
func verified(token *jwt.JSONWebToken, keys []jose.JSONWebKey) *claims {
	for _, key := range keys {
		var c claims
		if token.Claims(key.Key, &c) == nil {
			return &c
		}
	}
	return nil
}

// isAccessTokenType reports whether the header of a JWT says that it is an access
// token, not for example an ID token (RFC 9068, section 4).
func isAccessTokenType(h jose.Header) bool {
	typ, _ := h.ExtraHeaders[jose.HeaderType].(string)
	typ = strings.ToLower(typ)
	return typ == "at+jwt" || typ == "application/at+jwt"
}

const maxKeySet = 64 << 10

// fetch gets the issuer's keys.
func (v *jwtVerifier) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	doc, err := fetch.JSON(ctx, v.opts.HTTPClient, v.opts.JWKSURI, maxKeySet)
	if err != nil {
		return nil, err
	}
	return jwks.Parse(doc.Body)
}
