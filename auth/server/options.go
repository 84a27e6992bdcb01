package server

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/options"
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
	// Scopes are all scopes that exist, each with its text on the consent page. If
	// empty, clients that ask for scopes are granted none.
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
	// RedirectSchemes are private-use schemes (RFC 8252, section 7.1), such as
	// "com.example.app" or "cursor", that redirect URIs may have besides https and,
	// for loopback hosts, http; see [ValidRedirectScheme]. If empty, none: MCP
	// demands https or a loopback host, and any program on a device can register
	// itself for any scheme, so that each is a decision of the operator. The URIs of
	// other schemes are left out when a client registers.
	RedirectSchemes []string

	// AccessTokenTTL is how long an access token is valid. If zero, 1 hour.
	AccessTokenTTL time.Duration
	// RefreshTokenTTL is how long a refresh token is valid. If zero, 7 days.
	RefreshTokenTTL time.Duration
	// MaxGrantAge is how long a grant lives however often it is refreshed: then
	// the user has to log in again. It must not be shorter than AccessTokenTTL.
	// If zero, there is no such bound.
	MaxGrantAge time.Duration
	// RefreshGrace is how long a replaced refresh token returns its successor again,
	// as long as nobody has used that: the response may have been lost, or several
	// processes of a client may refresh at the same time. Later, it returns a new
	// successor in place of the unused one. Once its successor has been used, a replaced
	// refresh token revokes the grant. If zero, 2 minutes; if negative, any second
	// use of a refresh token revokes the grant.
	RefreshGrace time.Duration
	// AccessGrace is how long an access token is accepted for new requests after a
	// refresh has replaced it. What it was accepted for before goes on while the
	// grant lives. If zero, as long as RefreshGrace; if negative, no time at all.
	AccessGrace time.Duration
	// CodeTTL is how long an authorization code is valid. If zero, 60 seconds;
	// at most 10 minutes.
	CodeTTL time.Duration
	// AuthSessionTTL is how long an authorization session lives: the time that a
	// user has from the authorization request to the end of the login. If zero, 10
	// minutes.
	AuthSessionTTL time.Duration
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

// withDefaults returns the options with all defaults, or an error that names the
// option that cannot be used.
func (o Options) withDefaults() (Options, error) {
	options.OrDefault(&o.CacheTTL, 5*time.Second)
	options.OrDefault(&o.AccessTokenTTL, time.Hour)
	options.OrDefault(&o.RefreshTokenTTL, 7*24*time.Hour)
	options.OrDefault(&o.RefreshGrace, 2*time.Minute)
	options.OrDefault(&o.AccessGrace, o.RefreshGrace)
	options.OrDefault(&o.CodeTTL, time.Minute)
	options.OrDefault(&o.AuthSessionTTL, 10*time.Minute)
	options.OrDefault(&o.ClientTTL, 30*24*time.Hour)
	options.OrDefault(&o.CallbackPath, "/callback")
	options.OrDefault(&o.Logger, slog.New(slog.DiscardHandler))
	options.OrDefault(&o.Limits, DefaultLimits())
	if len(o.DefaultScopes) == 0 {
		o.DefaultScopes = o.scopeNames()
	}
	return o, o.check()
}

// scopeNames returns the names of all scopes, sorted.
func (o *Options) scopeNames() []string {
	var names []string
	for _, scope := range o.Scopes {
		names = append(names, scope.Name)
	}
	slices.Sort(names)
	return names
}
