package demo

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/auth/server"
	"github.com/mcpfleet/mcpfleet/internal/loopback"
)

// An AuthMode says where access tokens come from, if callers need any.
type AuthMode string

// The modes.
const (
	// AuthInternal is an authorization server of its own in the same process.
	AuthInternal AuthMode = "internal"
	// AuthExternal is another authorization server.
	AuthExternal AuthMode = "external"
	// AuthServer is the authorization server alone.
	AuthServer AuthMode = "auth_server"
	// AuthNone serves everybody on this machine.
	AuthNone AuthMode = "none"
)

// An AuthConfig is what the environment asks for regarding authorization.
type AuthConfig struct {
	Mode AuthMode
	// ServerURL is the issuer identifier of the authorization server, without a
	// slash at its end, with AuthExternal.
	ServerURL string
	// Resources are the MCP endpoints that tokens can be for, with AuthServer.
	Resources []string
	// IntrospectionID and IntrospectionSecret are the credentials of the MCP
	// server at the authorization server, in both of them.
	IntrospectionID, IntrospectionSecret string
	// SigningKey signs access tokens, if it is not nil.
	SigningKey *server.SigningKey
	// RedirectSchemes are schemes of applications that redirect URIs may have.
	RedirectSchemes []string
	// RefreshGrace is how long replaced tokens are accepted; negative for not at all.
	RefreshGrace time.Duration
	// TrustedProxies is how many proxies add to X-Forwarded-For.
	TrustedProxies int
}

func (l *loader) auth(cfg Config) AuthConfig {
	c := AuthConfig{
		Mode: AuthMode(l.oneOf("AUTH_MODE", string(AuthInternal), string(AuthExternal), string(AuthServer), string(AuthNone))),

		IntrospectionID:     l.text("INTROSPECTION_CLIENT_ID", "mcp-server"),
		IntrospectionSecret: l.getenv("INTROSPECTION_CLIENT_SECRET"),
		RedirectSchemes:     l.schemes(),
		RefreshGrace:        l.refreshGrace(),
		TrustedProxies:      l.count("TRUSTED_PROXIES"),
		SigningKey:          l.signingKey(),
	}
	switch c.Mode {
	case AuthNone:
		if !loopback.IsHost(cfg.Host) {
			l.fail("HOST", cfg.Host, errors.New("without authentication (AUTH_MODE=none) it must be a loopback address"))
		}
	case AuthExternal:
		c.ServerURL = l.serverURL()
	case AuthInternal:
		l.issuer(cfg.BaseURI)
	case AuthServer:
		l.issuer(cfg.BaseURI)
		c.Resources = l.resources()
		if c.IntrospectionSecret == "" && c.SigningKey == nil {
			l.fail("AUTH_MODE", string(c.Mode), errors.New("needs INTROSPECTION_CLIENT_SECRET or SIGNING_KEY_FILE; otherwise nobody could verify its tokens"))
		}
	}
	return c
}

// issuer checks that our authorization server can be at a public URL.
func (l *loader) issuer(u *url.URL) {
	if u != nil && u.Scheme != "https" && !loopback.IsHost(u.Hostname()) {
		l.fail("BASE_URI", u.String(), errors.New("must be https, or http on this machine, because users log in there"))
	}
}

func (l *loader) serverURL() string {
	v := l.getenv("AUTH_SERVER_URL")
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback.IsHost(u.Hostname())) || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		l.fail("AUTH_SERVER_URL", v, errors.New("with AUTH_MODE=external it must be the issuer URL of an authorization server: https, or http on this machine"))
	}
	return strings.TrimSuffix(v, "/")
}

func (l *loader) resources() []string {
	var resources []string
	for v := range strings.SplitSeq(l.text("RESOURCE_URIS", "http://localhost:3232/mcp"), ",") {
		v = strings.TrimSpace(v)
		if u, err := url.Parse(v); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
			l.fail("RESOURCE_URIS", v, errors.New("must be URLs of MCP endpoints, separated by commas"))
		}
		resources = append(resources, v)
	}
	return resources
}

func (l *loader) schemes() []string {
	var schemes []string
	for v := range strings.SplitSeq(l.getenv("REDIRECT_SCHEMES"), ",") {
		v = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(v), ":"))
		if v == "" {
			continue
		}
		if !server.ValidRedirectScheme(v) {
			l.fail("REDIRECT_SCHEMES", l.getenv("REDIRECT_SCHEMES"), fmt.Errorf("%q cannot be the scheme of an application, such as cursor or com.example.app", v))
			return nil
		}
		schemes = append(schemes, v)
	}
	return schemes
}

func (l *loader) count(name string) int {
	v := l.text(name, "0")
	n, err := strconv.ParseUint(v, 10, 8)
	if err != nil {
		l.fail(name, v, errors.New("must be a number from 0 to 255"))
	}
	return int(n)
}

func (l *loader) refreshGrace() time.Duration {
	v := l.text("REFRESH_GRACE", "2m")
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > maxRefreshGrace || d != 0 && d < time.Second {
		l.fail("REFRESH_GRACE", v, fmt.Errorf("must be 0s or a duration from 1s to %v", maxRefreshGrace))
	}
	if d == 0 {
		return -1
	}
	return d
}

// maxRefreshGrace is an access token's whole life.
const maxRefreshGrace = time.Hour

// signingKey reads the file with the key that signs access tokens.
func (l *loader) signingKey() *server.SigningKey {
	file := l.getenv("SIGNING_KEY_FILE")
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		l.fail("SIGNING_KEY_FILE", file, errors.New("cannot be read"))
		return nil
	}
	key, err := server.ParseSigningKey(data)
	if err != nil {
		l.fail("SIGNING_KEY_FILE", file, errors.New("must hold a PKCS #8 private key in PEM: ECDSA P-256, Ed25519, or RSA of at least 2048 bits"))
		return nil
	}
	return &key
}
