package server

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/loopback"
	"github.com/mcpfleet/mcpfleet/internal/options"
)

// check returns an error that names the first option that cannot be used.
func (o *Options) check() error {
	return cmp.Or(
		o.checkRequired(),
		o.checkIssuer(),
		o.checkResources(),
		o.checkTimes(),
		options.NonNegative("TrustedProxies", o.TrustedProxies),
		o.checkCallbackPath(),
		o.checkRedirectSchemes(),
		o.checkScopes(),
		o.checkClients(),
		o.checkResourceServers(),
	)
}

func (o *Options) checkRequired() error {
	switch {
	case o.Redis == nil:
		return errors.New("Options.Redis is nil")
	case o.Upstream == nil:
		return errors.New("Options.Upstream is nil")
	case len(o.Resources) == 0:
		return errors.New("Options.Resources is empty: there is nothing that tokens could be for")
	}
	return nil
}

// checkIssuer checks the issuer identifier (RFC 8414, section 2).
func (o *Options) checkIssuer() error {
	issuer := o.Issuer
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

// checkResources checks the resource identifiers (RFC 8707, section 2).
func (o *Options) checkResources() error {
	for _, resource := range o.Resources {
		if u, err := url.Parse(resource); err != nil || !u.IsAbs() || u.Fragment != "" || strings.ContainsAny(resource, " |#") {
			return fmt.Errorf("Options.Resources: %q is not an absolute URI without fragment", resource)
		}
	}
	return nil
}

// maxCodeTTL is what OAuth 2.1, section 4.1.2, allows.
const maxCodeTTL = 10 * time.Minute

func (o *Options) checkTimes() error {
	err := cmp.Or(
		options.AtLeast("CacheTTL", o.CacheTTL, time.Millisecond),
		options.AtLeast("AccessTokenTTL", o.AccessTokenTTL, time.Millisecond),
		options.AtLeast("RefreshTokenTTL", o.RefreshTokenTTL, time.Millisecond),
		options.AtLeast("CodeTTL", o.CodeTTL, time.Millisecond),
		options.AtLeast("AuthSessionTTL", o.AuthSessionTTL, time.Millisecond),
		options.AtLeast("ClientTTL", o.ClientTTL, time.Millisecond),
	)
	switch {
	case err != nil:
		return err
	case o.CodeTTL > maxCodeTTL:
		return fmt.Errorf("Options.CodeTTL is %v, over 10 minutes", o.CodeTTL)
	case o.MaxGrantAge != 0 && o.MaxGrantAge < o.AccessTokenTTL:
		return fmt.Errorf("Options.MaxGrantAge is %v, shorter than AccessTokenTTL", o.MaxGrantAge)
	}
	return nil
}

func (o *Options) checkCallbackPath() error {
	if !isPath.MatchString(o.CallbackPath) || slices.Contains(ownPaths, o.CallbackPath) {
		return fmt.Errorf("Options.CallbackPath %q is not a path, or is the path of another endpoint", o.CallbackPath)
	}
	return nil
}

func (o *Options) checkRedirectSchemes() error {
	for _, scheme := range o.RedirectSchemes {
		if !ValidRedirectScheme(scheme) {
			return fmt.Errorf("Options.RedirectSchemes: %q cannot be the scheme of an application", scheme)
		}
	}
	return nil
}

func (o *Options) checkScopes() error {
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
		if c.ID == "" || ids[c.ID] {
			return fmt.Errorf("Options.Clients: client ID %q is empty or there twice", c.ID)
		}
		ids[c.ID] = true
		if err := o.checkClient(&c); err != nil {
			return fmt.Errorf("Options.Clients: client %q %w", c.ID, err)
		}
	}
	return nil
}

func (o *Options) checkClient(c *Client) error {
	return cmp.Or(
		o.checkAuthMethod(c),
		checkClientSecret(c),
		checkClientKeys(c),
		o.checkClientScopes(c),
		o.checkRedirectURIs(c),
	)
}

func (o *Options) checkAuthMethod(c *Client) error {
	switch {
	case c.AuthMethod != "" && !slices.Contains(authMethods, c.AuthMethod):
		return fmt.Errorf("has the unknown auth method %q", c.AuthMethod)
	case o.NoPublicClients && !c.confidential():
		return errors.New("is public, which Options.NoPublicClients forbids")
	case c.mayUse(grantClientCredentials) && !c.confidential():
		return errors.New("may use client_credentials but does not authenticate")
	}
	return nil
}

func checkClientSecret(c *Client) error {
	switch {
	case (c.AuthMethod == methodBasic || c.AuthMethod == methodPost) && !isSecretHash(c.SecretHash):
		return errors.New("has no secret hash")
	case c.SecretHash != "" && !c.confidential():
		// Whoever sets a secret does not mean that the client needs none.
		return errors.New("has a secret hash, but its auth method needs no secret")
	}
	return nil
}

// checkClientKeys checks the keys of a client that signs assertions.
func checkClientKeys(c *Client) error {
	if c.AuthMethod != methodAssertion {
		return nil
	}
	if len(c.JWKS) > 0 {
		if err := checkKeys(c.JWKS); err != nil {
			return fmt.Errorf("has a JWKS that cannot be used: %w", err)
		}
		return nil
	}
	// Not only https: with Options.HTTPClient, any URL may be one that can be fetched.
	if u, err := url.Parse(c.JWKSURI); err != nil || u.Host == "" {
		return fmt.Errorf("has no keys: no JWKS, and JWKSURI %q is not a URL", c.JWKSURI)
	}
	return nil
}

func (o *Options) checkClientScopes(c *Client) error {
	for _, scope := range c.Scopes {
		// A client without a known scope is not limited: a misspelt scope must not
		// lift the limit.
		if !slices.ContainsFunc(o.Scopes, func(known Scope) bool { return known.Name == scope }) {
			return fmt.Errorf("has scope %q, which is not one of Options.Scopes", scope)
		}
	}
	return nil
}

func (o *Options) checkRedirectURIs(c *Client) error {
	for _, uri := range c.RedirectURIs {
		if err := checkRedirectURI(uri, o.RedirectSchemes); err != nil {
			return fmt.Errorf("cannot be used: %w", err)
		}
	}
	return nil
}

func (o *Options) checkResourceServers() error {
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

// isSecretHash reports whether text could be what HashSecret returned for a
// secret that is not empty.
func isSecretHash(text string) bool { return isHash(text) && text != HashSecret("") }

// isPath allows only characters that have no meaning in the pattern of a mux.
var isPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// isScope reports whether name is a scope token (OAuth 2.1, section 1.4.1).
func isScope(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == '|' })
}
