package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
)

// IntrospectorOptions configure [NewIntrospector]. All but the last three are
// required.
type IntrospectorOptions struct {
	// Issuer is the authorization server's issuer identifier. A response with
	// another iss is rejected.
	Issuer string
	// Endpoint is introspection_endpoint in its metadata.
	Endpoint string
	// ClientID and ClientSecret are the resource server's own credentials (HTTP
	// Basic). RFC 7662, section 2.1, requires the resource server to authenticate.
	ClientID, ClientSecret string
	// CacheTTL is how long a response is cached that the token is active, and so
	// how long a revoked token is accepted. If zero, 5 seconds; if negative,
	// nothing is cached.
	CacheTTL time.Duration
	// MaxCached bounds the tokens that are cached. If zero, 10,000.
	MaxCached int
	// HTTPClient sends the requests. If nil, one that does not follow redirects.
	HTTPClient *http.Client
}

// NewIntrospector returns a [Verifier] that asks an authorization server about
// tokens (RFC 7662, section 2). Only responses that a token is active are cached. It does no I/O.
func NewIntrospector(opts *IntrospectorOptions) (Verifier, error) {
	if opts == nil {
		opts = &IntrospectorOptions{}
	}
	o := *opts
	switch {
	case o.Issuer == "":
		return nil, errors.New("introspector: IntrospectorOptions.Issuer is empty")
	case !isHTTP(o.Endpoint):
		return nil, fmt.Errorf("introspector: IntrospectorOptions.Endpoint %q is not an http or https URL", o.Endpoint)
	case o.ClientID == "" || o.ClientSecret == "":
		return nil, errors.New("introspector: IntrospectorOptions.ClientID or ClientSecret is empty")
	}
	if o.CacheTTL == 0 {
		o.CacheTTL = 5 * time.Second
	}
	if o.MaxCached <= 0 {
		o.MaxCached = 10_000
	}
	if o.HTTPClient == nil {
		o.HTTPClient = fetch.Trusted()
	}
	return &introspector{opts: o, cache: map[[sha256.Size]byte]cachedToken{}}, nil
}

type introspector struct {
	opts IntrospectorOptions

	mu    sync.Mutex // guards cache
	cache map[[sha256.Size]byte]cachedToken
}

// A cachedToken is an active token, and when it has to be introspected again.
type cachedToken struct {
	token *Token
	until time.Time
}

// Verify implements [Verifier].
func (i *introspector) Verify(ctx context.Context, token string) (*Token, error) {
	if len(token) > maxToken {
		return nil, ErrInvalidToken
	}
	key := sha256.Sum256([]byte(token))
	now := time.Now()
	i.mu.Lock()
	cached, ok := i.cache[key]
	i.mu.Unlock()
	if ok && now.Before(cached.until) && now.Before(cached.token.Expires) {
		return cached.token, nil
	}
	t, err := i.introspect(ctx, token)
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		if errors.Is(err, ErrInvalidToken) {
			delete(i.cache, key)
		}
		return nil, err
	}
	if i.opts.CacheTTL > 0 {
		i.store(key, cachedToken{t, now.Add(i.opts.CacheTTL)})
	}
	return t, nil
}

// store caches a token. If the cache is full, outdated tokens are removed, and all
// tokens if it is still over three quarters full: finding the oldest would cost
// more than asking again, and so would removing outdated ones each time.
func (i *introspector) store(key [sha256.Size]byte, t cachedToken) {
	if len(i.cache) >= i.opts.MaxCached {
		now := time.Now()
		for k, other := range i.cache {
			if !now.Before(other.until) {
				delete(i.cache, k)
			}
		}
		if len(i.cache) > i.opts.MaxCached/4*3 {
			clear(i.cache)
		}
	}
	i.cache[key] = t
}

// An introspection is the response of RFC 7662, section 2.2.
type introspection struct {
	Active    bool       `json:"active"`
	Issuer    string     `json:"iss"`
	Subject   string     `json:"sub"`
	ClientID  string     `json:"client_id"`
	Audience  audience   `json:"aud"`
	Scope     scopeClaim `json:"scope"`
	Expires   float64    `json:"exp"`
	NotBefore float64    `json:"nbf"`
	Type      string     `json:"token_type"`
}

// An audience is a string or an array of them.
type audience []string

// UnmarshalJSON implements [json.Unmarshaler].
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// introspect asks the authorization server about a token (RFC 7662, section 2.1).
func (i *introspector) introspect(ctx context.Context, token string) (*Token, error) {
	// The bound is not the request's: other requests use the response as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetch.Timeout)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.opts.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("introspect: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// The two are encoded like fields of a form (RFC 6749, section 2.3.1).
	req.SetBasicAuth(url.QueryEscape(i.opts.ClientID), url.QueryEscape(i.opts.ClientSecret))
	res, err := i.opts.HTTPClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: introspect: %w", ErrUnavailable, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet))
	if err != nil {
		return nil, fmt.Errorf("%w: introspect: %w", ErrUnavailable, err)
	}
	// With 401 and 403 the server refuses our credentials, not the token.
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: introspect: status %d", ErrUnavailable, res.StatusCode)
	}
	var result introspection
	if err := json.Unmarshal(body, &result); err != nil {
		return nil, fmt.Errorf("%w: introspect: %w", ErrUnavailable, err)
	}
	return i.token(&result)
}

// token returns the token that a response describes. It fails with
// [ErrInvalidToken] unless that is an access token that is valid now.
func (i *introspector) token(in *introspection) (*Token, error) {
	now := time.Now()
	expires := time.Unix(int64(in.Expires), 0)
	switch {
	case !in.Active, in.Subject == "", in.Expires == 0, !now.Before(expires):
		return nil, ErrInvalidToken
	case in.Issuer != "" && in.Issuer != i.opts.Issuer:
		return nil, ErrInvalidToken
	case in.NotBefore != 0 && now.Before(time.Unix(int64(in.NotBefore), 0)):
		return nil, ErrInvalidToken
	case in.Type != "" && !strings.EqualFold(in.Type, "Bearer"):
		return nil, ErrInvalidToken
	}
	return &Token{
		Issuer: i.opts.Issuer, Subject: in.Subject, ClientID: in.ClientID,
		Audience: in.Audience, Scopes: in.Scope, Expires: expires,
	}, nil
}
