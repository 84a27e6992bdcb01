package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/mcpfleet/mcpfleet/internal/cors"
	"github.com/mcpfleet/mcpfleet/internal/options"
)

// ResourceOptions configure a [Resource]. Verifier and AuthorizationServers are
// required; the zero value of any other field means its default.
type ResourceOptions struct {
	// Verifier verifies the tokens. If it is a [GrantVerifier], what runs goes on
	// when its token is replaced.
	Verifier Verifier
	// AuthorizationServers are the issuer identifiers of the authorization
	// servers where clients can get tokens.
	AuthorizationServers []string

	// Scopes are the scopes that every request needs.
	Scopes []string
	// ScopesSupported is scopes_supported of the metadata; clients ask for all of
	// them if no challenge says what is needed. If empty, Scopes.
	ScopesSupported []string
	// ScopesFor, if not nil, returns the scopes that a method needs beyond
	// Scopes. name is the name of the tool or prompt or the URI of the resource
	// that the method is about, and empty for other methods. ScopesFor is called
	// for each message in a request's body, and for each resource of a
	// subscriptions/listen, before the handler sees any of them; it must be safe
	// for concurrent use.
	//
	// If it is set, ambiguous bodies are refused: those with duplicate fields,
	// fields in another case, or fields of the wrong type.
	ScopesFor func(method, name string) []string
	// Implies maps a scope to the scopes it includes, transitively.
	Implies map[string][]string

	// RecheckEvery is how often the grant of a running request is verified again,
	// so that streams end when their token or its grant is revoked. If zero, 5
	// seconds.
	RecheckEvery time.Duration
	// MaxBody bounds the body that is read for ScopesFor, in bytes. If zero,
	// 4 MiB.
	MaxBody int64
	// KeepToken leaves the Authorization header in the request that the handler,
	// and so every tool, sees. It is for token exchange (RFC 8693); the token must
	// not be passed on.
	KeepToken bool
	// Name and Documentation, a URL, are resource_name and resource_documentation
	// of the metadata, which clients may show to users.
	Name, Documentation string
	// Logger receives what an operator should know, never tokens. If nil, nothing
	// is logged.
	Logger *slog.Logger
}

// A Resource is a protected resource: an MCP endpoint whose requests need an
// access token. It is safe for concurrent use and needs no closing.
type Resource struct {
	identifier string
	url        *url.URL
	canonical  string
	opts       ResourceOptions
	grants     GrantVerifier       // opts.Verifier
	implied    map[string][]string // every scope with all that it contains
	logger     *slog.Logger
}

// NewResource returns the protected resource with the given identifier, which
// is the URL of its endpoint as clients know it (MCP, "Canonical Server URI").
// It accepts only tokens whose audience is that identifier. It does no I/O and
// fails if an option is invalid.
func NewResource(identifier string, opts *ResourceOptions) (*Resource, error) {
	if opts == nil {
		opts = &ResourceOptions{}
	}
	o := *opts
	u, err := parseIdentifier(identifier)
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return nil, fmt.Errorf("protected resource: %w", err)
	}
	options.OrDefault(&o.RecheckEvery, 5*time.Second)
	options.OrDefault(&o.MaxBody, 4<<20)
	options.OrDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if len(o.ScopesSupported) == 0 {
		o.ScopesSupported = o.Scopes
	}
	return &Resource{
		identifier: identifier, url: u, canonical: canonical(*u),
		opts: o, grants: grantVerifier(o.Verifier), implied: closure(o.Implies), logger: o.Logger,
	}, nil
}

// parseIdentifier returns a resource identifier as a URL. It may have a query but
// no fragment (RFC 9728, section 1.2).
func parseIdentifier(identifier string) (*url.URL, error) {
	u, err := url.Parse(identifier)
	if err != nil || !isHTTP(identifier) || u.User != nil || strings.Contains(identifier, "#") || !isASCII(identifier) {
		return nil, fmt.Errorf("%q is not an http or https URL in ASCII without user and fragment", identifier)
	}
	return u, nil
}

// check returns an error that names an option that cannot be used.
func (o *ResourceOptions) check() error {
	switch {
	case o.Verifier == nil:
		return errors.New("ResourceOptions.Verifier is nil")
	case len(o.AuthorizationServers) == 0:
		return errors.New("ResourceOptions.AuthorizationServers is empty")
	case slices.ContainsFunc(o.AuthorizationServers, notAnIssuer):
		return fmt.Errorf("ResourceOptions.AuthorizationServers: one of %q is not an http or https URL without query and fragment", o.AuthorizationServers)
	case o.RecheckEvery < 0 || o.MaxBody < 0:
		return errors.New("ResourceOptions.RecheckEvery or MaxBody is negative")
	}
	return checkScopes(o)
}

// notAnIssuer reports whether s cannot be an issuer identifier (RFC 8414,
// section 2).
func notAnIssuer(s string) bool {
	return !isHTTP(s) || strings.ContainsAny(s, "?#")
}

// Protect returns a handler that calls next for requests with a valid token for
// the resource, and refuses all others (OAuth 2.1, section 5.3):
//
//   - 401 if there is no token, or it is not valid for this resource
//   - 403 if its scopes are not sufficient; the challenge names all scopes that
//     the request needs
//   - 400 if there are several tokens
//   - 503 if tokens cannot be verified at the moment
//
// next gets the token's content from [TokenFromContext] or the SDK's
// TokenInfoFromContext, whose UserID is [Token.UserID]. If the token or its grant
// is revoked while next serves the request, the request's context is cancelled; when
// the token expires, next itself must act on the Expiration in the TokenInfo. That a
// token is replaced ends nothing, if the verifier is a [GrantVerifier]. The token
// itself is removed from the request: a server must not pass it on (MCP,
// "Access Token Privilege Restriction"), and a tool cannot leak a token that it
// does not have.
//
// CORS preflight requests, which carry no token, are passed to next: it must
// not answer OPTIONS with anything that is to be protected.
func (r *Resource) Protect(next http.Handler) http.Handler {
	served := next
	if !r.opts.KeepToken {
		served = withoutToken(next)
	}
	// The SDK's handlers read the token from a context key that only the SDK's
	// middleware can set.
	withTokenInfo := sdkauth.RequireBearerToken(verifiedToken, &sdkauth.RequireBearerTokenOptions{ClockSkew: time.Minute})(served)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if cors.IsPreflight(req) {
			next.ServeHTTP(w, req)
			return
		}
		token, text, err := r.authenticate(req)
		if err == nil {
			err = r.authorize(w, req, token)
		}
		if err != nil {
			r.fail(w, req, err)
			return
		}
		ctx, stop := r.whileValid(withToken(req.Context(), token), token, text)
		defer stop()
		withTokenInfo.ServeHTTP(w, req.WithContext(ctx))
	})
}

// withoutToken returns a handler that serves requests by next without their
// Authorization header.
func withoutToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		clean := *req // the caller may still use req
		clean.Header = maps.Clone(req.Header)
		clean.Header.Del("Authorization")
		next.ServeHTTP(w, &clean)
	})
}

// authenticate returns the content of a request's token, and the token itself.
func (r *Resource) authenticate(req *http.Request) (*Token, string, error) {
	text, err := bearer(req)
	if err != nil {
		return nil, "", err
	}
	token, err := r.opts.Verifier.Verify(req.Context(), text)
	switch {
	case isInvalid(err):
		return nil, "", refuse("invalid_token", "the access token is not valid")
	case err != nil:
		return nil, "", err
	case token == nil || token.Issuer == "" || token.Subject == "":
		// Users without issuer or subject would all have the same identity.
		return nil, "", errors.New("the verifier returned a token without issuer or subject")
	case !time.Now().Before(token.Expires):
		return nil, "", refuse("invalid_token", "the access token has expired")
	case !slices.ContainsFunc(token.Audience, r.is):
		return nil, "", refuse("invalid_token", "the access token is for another resource")
	}
	return token, text, nil
}

// is reports whether an audience names the resource. Scheme and host may be in
// upper case, and an empty path may be a slash (MCP, "Canonical Server URI").
func (r *Resource) is(audience string) bool {
	if audience == r.identifier {
		return true
	}
	u, err := url.Parse(audience)
	if err != nil || strings.Contains(audience, "#") || !isASCII(u.Host) {
		return false // some letters beyond ASCII become ASCII in lower case
	}
	return canonical(*u) == r.canonical
}

func canonical(u url.URL) string {
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if u.Path == "/" {
		u.Path = ""
	}
	return u.String()
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}

// errNoToken is for a request without a token. It has no error code.
var errNoToken = refuse("", "an access token is required")

// bearer returns the token of a request, which must be in the Authorization
// header: URLs end up in logs and histories (OAuth 2.1, section 5.1).
func bearer(req *http.Request) (string, error) {
	headers := req.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", refuse("invalid_request", "there is more than one Authorization header")
	}
	if len(headers) == 0 {
		return "", errNoToken
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken
	}
	if token = strings.Trim(token, " "); !isToken(token) {
		return "", refuse("invalid_token", "the access token is not well-formed")
	}
	return token, nil
}

// isToken reports whether s has the form of a bearer token (RFC 6750, section
// 2.1). In any other form, two readers of the header could find two tokens.
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	})
}
