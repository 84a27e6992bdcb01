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
	"sync/atomic"
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
// tokens (RFC 7662, section 2). It is a [GrantVerifier]: an authorization server of
// ours tells it of grants, and of any other it takes each token for a grant of its
// own. No response is cached that there is nothing valid. It does no I/O.
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
	// tellsGrants says that the authorization server is one that tells of grants.
	tellsGrants atomic.Bool

	mu    sync.Mutex // guards cache
	cache map[[sha256.Size]byte]cachedToken
}

// A cachedToken is what an authorization server said of a token, and when it has to
// be asked again.
type cachedToken struct {
	token *Token // nil if it is not active
	grant *Grant
	until time.Time
}

// Verify implements [Verifier].
func (i *introspector) Verify(ctx context.Context, token string) (*Token, error) {
	now := time.Now()
	cached, ok := i.cached(token, now)
	if ok && cached.token != nil && now.Before(cached.token.Expires) {
		return cached.token, nil
	}
	t, _, err := i.ask(ctx, token, false)
	if err == nil && t == nil {
		err = ErrInvalidToken
	}
	return t, err
}

// VerifyGrant implements [GrantVerifier].
func (i *introspector) VerifyGrant(ctx context.Context, token string) (*Grant, error) {
	now := time.Now()
	// Once it is not covered any more, what was cached may be what has changed.
	if cached, ok := i.cached(token, now); ok && now.Before(cached.grant.Covered) {
		return cached.grant, nil
	}
	_, grant, err := i.ask(ctx, token, i.tellsGrants.Load())
	return grant, err
}

func (i *introspector) cached(token string, now time.Time) (cachedToken, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	cached, ok := i.cache[sha256.Sum256([]byte(token))]
	return cached, ok && now.Before(cached.until)
}

// ask asks the authorization server about a token, and caches what it says. The
// token is nil if it is not active, but something is known of its grant. It fails
// with [ErrInvalidToken] if nothing is.
func (i *introspector) ask(ctx context.Context, token string, ofGrant bool) (*Token, *Grant, error) {
	if len(token) > maxToken {
		return nil, nil, ErrInvalidToken
	}
	now := time.Now()
	t, g, err := i.introspect(ctx, token, ofGrant)
	key := sha256.Sum256([]byte(token))
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		if errors.Is(err, ErrInvalidToken) {
			delete(i.cache, key)
		}
		return nil, nil, err
	}
	if i.opts.CacheTTL > 0 {
		i.store(key, cachedToken{t, g, now.Add(i.opts.CacheTTL)})
	}
	return t, g, nil
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

	// Grant is a member of authorization servers of ours.
	Grant *struct {
		HasToken bool    `json:"has_token"`
		Covered  float64 `json:"covered"`
		Ends     float64 `json:"ends"`
	} `json:"grant"`
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
// If ofGrant, it asks for the grant of a token that is not active as well, which only
// an authorization server of ours understands.
func (i *introspector) introspect(ctx context.Context, token string, ofGrant bool) (*Token, *Grant, error) {
	// The bound is not the request's: other requests use the response as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetch.Timeout)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if ofGrant {
		form.Set("include_grant", "true")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.opts.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, fmt.Errorf("introspect: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// The two are encoded like fields of a form (RFC 6749, section 2.3.1).
	req.SetBasicAuth(url.QueryEscape(i.opts.ClientID), url.QueryEscape(i.opts.ClientSecret))
	res, err := i.opts.HTTPClient.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: introspect: %w", ErrUnavailable, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: introspect: %w", ErrUnavailable, err)
	}
	// With 401 and 403 the server refuses our credentials, not the token.
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%w: introspect: status %d", ErrUnavailable, res.StatusCode)
	}
	var result introspection
	if err := json.Unmarshal(body, &result); err != nil {
		return nil, nil, fmt.Errorf("%w: introspect: %w", ErrUnavailable, err)
	}
	t, err := i.token(&result)
	switch grant := result.grant(); {
	case err == nil && grant == nil:
		return t, grantOf(t), nil
	case err == nil:
		i.tellsGrants.Store(true)
		return t, grant, nil
	case !result.Active && ofGrant && grant != nil:
		return nil, grant, nil
	}
	return nil, nil, err
}

// grant returns what a response tells of the token's grant, nil if nothing.
func (in *introspection) grant() *Grant {
	if in.Grant == nil {
		return nil
	}
	return &Grant{HasToken: in.Grant.HasToken, Covered: fromUnix(in.Grant.Covered), Ends: fromUnix(in.Grant.Ends)}
}

// fromUnix returns the time of Unix seconds, the zero time for 0.
func fromUnix(seconds float64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
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
