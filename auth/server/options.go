package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/loopback"
	"github.com/redis/rueidis"
)

// Options configure a [Server]. Redis, Issuer, Resources and Upstream are
// required; the zero value of any other field means its default. All instances
// of a fleet have the same options.
type Options struct {
	// Redis is a client of the Redis that all instances share, version 6.2 or
	// newer. The caller keeps ownership and closes it.
	Redis rueidis.Client
	// Prefix is the first part of every key. If empty, "mcp".
	Prefix string
	// RedisTimeout bounds each call to Redis. If zero, 2 seconds.
	RedisTimeout time.Duration
	// CacheTTL bounds how long an instance that has not been told of a
	// revocation continues to accept a token. If zero, 5 seconds.
	CacheTTL time.Duration
	// Logger receives what an operator should know, never tokens, codes, secrets
	// or PKCE verifiers. If nil, nothing is logged.
	Logger *slog.Logger

	// Issuer is the issuer identifier (RFC 8414, section 2): an https URL
	// without query and fragment, and without a slash at its end; http is
	// accepted for loopback hosts.
	Issuer string
	// Resources are the resource identifiers (RFC 8707) that tokens can be for:
	// the URLs of MCP endpoints. The first is the default if a client names none.
	Resources []string
	// Scopes are all scopes there are, each with its text on the consent page. If
	// empty, there are none, and clients that ask for some are granted none.
	Scopes []Scope
	// DefaultScopes are granted to a client that asks for none. If empty, all
	// of Scopes.
	DefaultScopes []string
	// Upstream is where users log in.
	Upstream Upstream
	// Clients are the pre-registered clients.
	Clients []Client
	// ResourceServers may introspect tokens for their own resources (RFC 7662).
	ResourceServers []ResourceServer

	// CallbackPath is the path below the issuer that the upstream redirects
	// browsers back to. If empty, "/callback".
	CallbackPath string
	// NoPublicClients refuses clients that do not authenticate.
	NoPublicClients bool
	// NoRegistration switches dynamic client registration off.
	NoRegistration bool
	// NoClientDocuments switches client ID metadata documents off.
	NoClientDocuments bool
	// RedirectSchemes are private-use schemes, such as "com.example.app", that
	// redirect URIs may have besides https and, for loopback hosts, http.
	RedirectSchemes []string

	// AccessTokenTTL is how long an access token is valid. If zero, 1 hour.
	AccessTokenTTL time.Duration
	// RefreshTokenTTL is how long a refresh token is valid. If zero, 7 days.
	RefreshTokenTTL time.Duration
	// MaxGrantAge is how long a grant lives however often it is refreshed: then
	// the user has to log in again. It must not be shorter than AccessTokenTTL.
	// If zero, there is no such bound.
	MaxGrantAge time.Duration
	// RefreshGrace is how long a replaced refresh token may still be used, while
	// its successor has not been: it then returns that same successor, because
	// the first response may have been lost. Access tokens from before a refresh
	// stay valid as long. If zero, 10 seconds; if negative, no time at all.
	RefreshGrace time.Duration
	// CodeTTL is how long an authorization code is valid. If zero, 60 seconds;
	// at most 10 minutes.
	CodeTTL time.Duration
	// FlowTTL is how long a user may take from the authorization request to the
	// end of the login. If zero, 10 minutes.
	FlowTTL time.Duration
	// ClientTTL is how long a registered client lives unused. If zero, 30 days.
	ClientTTL time.Duration

	// SigningKeys, if not empty, make access tokens JWTs (RFC 9068) instead of
	// opaque strings: the first key signs, and all are published. See
	// [SigningKey].
	SigningKeys []SigningKey

	// Limits bound the requests of one address. If nil, [DefaultLimits].
	Limits *Limits
	// TrustedProxies is how many proxies in front of the server append to
	// X-Forwarded-For. If zero, the header is ignored; behind a proxy, all
	// clients then have one address and share its limits.
	TrustedProxies int

	// HTTPClient fetches client documents and keys. If nil, one that connects to
	// public addresses only and does not follow redirects. If you set another
	// one, that protection against SSRF is up to it.
	HTTPClient *http.Client
}

// A Scope is a scope that clients may ask for.
type Scope struct {
	Name string
	// Description completes "It wants to" on the consent page.
	Description string
}

// A ResourceServer is a server that may introspect tokens for its resources
// (RFC 7662).
type ResourceServer struct {
	// ID and SecretHash are its credentials (HTTP Basic); see [HashSecret].
	ID, SecretHash string
	// Resources are those of [Options.Resources] whose tokens it may see.
	Resources []string
}

// withDefaults returns the options as they are used, or says which cannot be.
func (o Options) withDefaults() (Options, error) {
	if o.Redis == nil {
		return o, errors.New("Options.Redis is nil")
	}
	if o.Upstream == nil {
		return o, errors.New("Options.Upstream is nil")
	}
	if err := checkIssuer(o.Issuer); err != nil {
		return o, err
	}
	if len(o.Resources) == 0 {
		return o, errors.New("Options.Resources is empty: tokens need someone they are for")
	}
	for _, resource := range o.Resources {
		if u, err := url.Parse(resource); err != nil || !u.IsAbs() || u.Fragment != "" || strings.ContainsAny(resource, " |#") {
			return o, fmt.Errorf("Options.Resources: %q is not an absolute URI without fragment", resource)
		}
	}
	for _, d := range []struct {
		name string
		is   *time.Duration
		def  time.Duration
	}{
		{"CacheTTL", &o.CacheTTL, 5 * time.Second},
		{"AccessTokenTTL", &o.AccessTokenTTL, time.Hour},
		{"RefreshTokenTTL", &o.RefreshTokenTTL, 7 * 24 * time.Hour},
		{"CodeTTL", &o.CodeTTL, time.Minute},
		{"FlowTTL", &o.FlowTTL, 10 * time.Minute},
		{"ClientTTL", &o.ClientTTL, 30 * 24 * time.Hour},
	} {
		if *d.is == 0 {
			*d.is = d.def
		}
		if *d.is < time.Millisecond {
			return o, fmt.Errorf("Options.%s is %v", d.name, *d.is)
		}
	}
	if o.RefreshGrace == 0 {
		o.RefreshGrace = 10 * time.Second
	}
	if o.CodeTTL > 10*time.Minute {
		return o, fmt.Errorf("Options.CodeTTL is %v, over 10 minutes", o.CodeTTL) // OAuth 2.1, section 4.1.2
	}
	if o.MaxGrantAge != 0 && o.MaxGrantAge < o.AccessTokenTTL {
		return o, fmt.Errorf("Options.MaxGrantAge is %v, shorter than AccessTokenTTL", o.MaxGrantAge)
	}
	if o.CallbackPath == "" {
		o.CallbackPath = "/callback"
	}
	if !isPath.MatchString(o.CallbackPath) || slices.Contains(ownPaths, o.CallbackPath) {
		return o, fmt.Errorf("Options.CallbackPath %q is no path, or one of another endpoint", o.CallbackPath)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Limits == nil {
		o.Limits = DefaultLimits()
	}
	for _, scheme := range o.RedirectSchemes {
		if !isScheme.MatchString(scheme) || slices.Contains(forbiddenSchemes, scheme) {
			return o, fmt.Errorf("Options.RedirectSchemes: %q cannot be the scheme of an application", scheme)
		}
	}
	if o.TrustedProxies < 0 {
		return o, errors.New("Options.TrustedProxies is negative")
	}
	if err := o.scopes(); err != nil {
		return o, err
	}
	return o, o.checkClients()
}

// scopes checks the scopes and fills in the defaults.
func (o *Options) scopes() error {
	known := map[string]bool{}
	for _, scope := range o.Scopes {
		if !isScope(scope.Name) || scope.Name == offlineAccess {
			return fmt.Errorf("Options.Scopes: %q cannot be a scope", scope.Name)
		}
		if known[scope.Name] {
			return fmt.Errorf("Options.Scopes has %q twice", scope.Name)
		}
		known[scope.Name] = true
	}
	if len(o.DefaultScopes) == 0 {
		o.DefaultScopes = slices.Sorted(maps.Keys(known))
	}
	for _, name := range o.DefaultScopes {
		if !known[name] {
			return fmt.Errorf("Options.DefaultScopes: %q is not one of Options.Scopes", name)
		}
	}
	return nil
}

func (o *Options) checkClients() error {
	ids := map[string]bool{}
	for _, c := range o.Clients {
		switch {
		case c.ID == "" || ids[c.ID]:
			return fmt.Errorf("Options.Clients: client ID %q is empty or there twice", c.ID)
		case o.NoPublicClients && !c.confidential():
			return fmt.Errorf("Options.Clients: client %q is public, which Options.NoPublicClients forbids", c.ID)
		case c.AuthMethod != "" && !slices.Contains(authMethods, c.AuthMethod):
			return fmt.Errorf("Options.Clients: client %q: auth method %q is not known", c.ID, c.AuthMethod)
		case (c.AuthMethod == methodBasic || c.AuthMethod == methodPost) && !isSecretHash(c.SecretHash):
			return fmt.Errorf("Options.Clients: client %q has no secret hash", c.ID)
		case c.SecretHash != "" && (c.AuthMethod == "" || c.AuthMethod == methodNone):
			// Who sets a secret does not mean that none is needed.
			return fmt.Errorf("Options.Clients: client %q has a secret hash, but its auth method needs no secret", c.ID)
		case c.mayUse(grantClientCredentials) && !c.confidential():
			return fmt.Errorf("Options.Clients: client %q may use client_credentials but cannot prove who it is", c.ID)
		}
		for _, scope := range c.Scopes {
			// Who has no known scope counts as not limited: a slip of the pen
			// must not lift the limit.
			if !slices.ContainsFunc(o.Scopes, func(known Scope) bool { return known.Name == scope }) {
				return fmt.Errorf("Options.Clients: client %q: %q is not one of Options.Scopes", c.ID, scope)
			}
		}
		if c.AuthMethod == methodAssertion {
			if err := checkClientKeys(c); err != nil {
				return fmt.Errorf("Options.Clients: client %q %w", c.ID, err)
			}
		}
		ids[c.ID] = true
		for _, uri := range c.RedirectURIs {
			if err := checkRedirectURI(uri, o.RedirectSchemes); err != nil {
				return fmt.Errorf("Options.Clients: client %q: %w", c.ID, err)
			}
		}
	}
	for _, rs := range o.ResourceServers {
		if rs.ID == "" || !isSecretHash(rs.SecretHash) {
			return fmt.Errorf("Options.ResourceServers: %q has no ID or no secret hash", rs.ID)
		}
		if len(rs.Resources) == 0 {
			return fmt.Errorf("Options.ResourceServers: %q has no resources", rs.ID)
		}
		if _, err := narrow(nil, o.Resources, rs.Resources); err != nil {
			return fmt.Errorf("Options.ResourceServers: %q: one of %q is not in Options.Resources", rs.ID, rs.Resources)
		}
	}
	return nil
}

func checkClientKeys(c Client) error {
	if len(c.JWKS) == 0 {
		// With an HTTPClient of his own the operator may have it wherever he likes.
		if u, err := url.Parse(c.JWKSURI); err != nil || u.Host == "" {
			return fmt.Errorf("has no keys: no JWKS, and JWKSURI %q is not a URL", c.JWKSURI)
		}
		return nil
	}
	if err := checkKeys(c.JWKS); err != nil {
		return fmt.Errorf("has a JWKS that cannot be used: %w", err)
	}
	return nil
}

// isSecretHash reports whether text could be what HashSecret returned for a
// secret, which the empty one is not.
func isSecretHash(text string) bool { return isHash.MatchString(text) && text != HashSecret("") }

// forbiddenSchemes are those by which browsers run, show or fetch something
// themselves.
var forbiddenSchemes = []string{
	"about", "blob", "data", "file", "filesystem", "ftp", "http", "https", "javascript", "mailto", "vbscript", "view-source", "ws", "wss",
}

var (
	// isScheme is of RFC 3986, section 3.1, in lower case as schemes are compared.
	isScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	isHash   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// isPath keeps to what a mux takes for itself.
	isPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
)

// checkIssuer checks an issuer identifier (RFC 8414, section 2).
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "":
		return fmt.Errorf("Options.Issuer %q is not a URL", issuer)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback.IsHost(u.Hostname())):
		return fmt.Errorf("Options.Issuer %q is neither https nor, on a loopback host, http", issuer)
	case u.Path != "" && !isPath.MatchString(u.Path):
		return fmt.Errorf("Options.Issuer %q has a path with other than letters, digits and . _ ~ -", issuer)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(issuer, "?#") || strings.HasSuffix(issuer, "/"):
		return fmt.Errorf("Options.Issuer %q has a user, a query, a fragment or a slash at its end", issuer)
	}
	return nil
}

// isScope reports whether name is a scope token (OAuth 2.1, section 1.4.1).
func isScope(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == '|' })
}
