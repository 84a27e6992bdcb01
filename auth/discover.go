package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
)

// DiscoverOptions configure [DiscoverVerifier]. The zero value is valid.
type DiscoverOptions struct {
	// ClientID and ClientSecret are the resource server's own credentials at the
	// authorization server. Introspection needs them.
	ClientID, ClientSecret string
	// HTTPClient reads the metadata and is the verifier's. If nil, one that does
	// not follow redirects.
	HTTPClient *http.Client
}

// DiscoverVerifier returns a [Verifier] for the tokens of an authorization
// server, whose metadata (RFC 8414, or OpenID Connect Discovery) it reads. Tokens
// are verified by introspection if the server offers it and opts has
// credentials, as [NewIntrospector] does: so revoked tokens are noticed. Otherwise
// they are verified by the server's keys, as [NewJWTVerifier] does. It fails if
// neither is possible, and blocks at most until ctx ends.
func DiscoverVerifier(ctx context.Context, issuer string, opts *DiscoverOptions) (Verifier, error) {
	if opts == nil {
		opts = &DiscoverOptions{}
	}
	client := opts.HTTPClient
	if client == nil {
		client = fetch.Trusted()
	}
	meta, err := sdkauth.GetAuthServerMetadata(ctx, issuer, client)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the authorization server's metadata could not be read: %w", err)
	case meta == nil:
		return nil, errors.New("the issuer has no authorization server metadata (RFC 8414)")
	case opts.ClientSecret != "" && meta.IntrospectionEndpoint != "":
		return NewIntrospector(&IntrospectorOptions{
			Issuer: issuer, Endpoint: meta.IntrospectionEndpoint,
			ClientID: opts.ClientID, ClientSecret: opts.ClientSecret, HTTPClient: opts.HTTPClient,
		})
	case meta.JWKSURI != "":
		return NewJWTVerifier(&JWTOptions{Issuer: issuer, JWKSURI: meta.JWKSURI, HTTPClient: opts.HTTPClient})
	}
	return nil, errors.New("the authorization server's tokens cannot be verified: its metadata has no jwks_uri, and has no introspection_endpoint or there are no credentials for it")
}
