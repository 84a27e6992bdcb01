package demo

import (
	"context"
	"net/http"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/auth/fakeupstream"
	"github.com/mcpfleet/mcpfleet/auth/server"
)

// What tokens can allow.
const (
	ScopeUse   = "mcp"
	ScopeAdmin = "mcp:admin" // includes what ScopeUse allows
)

// A Protection is how the endpoints of a program are protected.
type Protection struct {
	process  *Process
	mux      *http.ServeMux
	issuer   string
	verifier auth.Verifier // if nil, no token is needed
}

// Protect returns the protection that the settings ask for, and registers what
// belongs to it with mux. Resources are the paths of the endpoints that tokens
// can be for.
func (p *Process) Protect(mux *http.ServeMux, resources ...string) (*Protection, error) {
	pr := &Protection{process: p, mux: mux, issuer: p.BaseURL}
	var err error
	switch p.Config.Auth.Mode {
	case AuthInternal:
		urls := make([]string, len(resources))
		for i, path := range resources {
			urls[i] = p.BaseURL + path
		}
		pr.verifier, err = p.newAuthorizationServer(mux, urls)
	case AuthExternal:
		pr.issuer = p.Config.Auth.ServerURL
		if pr.verifier, err = p.discover(); err != nil {
			err = &SettingError{Setting{"AUTH_SERVER_URL", pr.issuer}, err}
		}
	}
	return pr, err
}

// Handle registers the endpoints of a resource, by their patterns, and the
// metadata by which clients find out where to log in for it. Guard stands in
// front: pages of allowed origins must be able to read a refusal, and requests of
// others are refused before their token is looked at. ScopesFor may be nil.
func (pr *Protection) Handle(resource string, guard func(http.Handler) http.Handler, scopesFor func(method, name string) []string, endpoints map[string]http.Handler) error {
	protect := func(h http.Handler) http.Handler { return h }
	if pr.verifier != nil {
		r, err := auth.NewResource(pr.process.BaseURL+resource, &auth.ResourceOptions{
			Verifier:             pr.verifier,
			AuthorizationServers: []string{pr.issuer},
			Scopes:               []string{ScopeUse},
			ScopesFor:            scopesFor,
			Implies:              map[string][]string{ScopeAdmin: {ScopeUse}},
			Name:                 "mcpfleet",
			Logger:               pr.process.Log,
		})
		if err != nil {
			return err
		}
		pr.mux.Handle(r.MetadataPath(), r.Metadata())
		protect = func(h http.Handler) http.Handler { return guard(r.Protect(h)) }
	}
	for pattern, h := range endpoints {
		pr.mux.Handle(pattern, protect(h))
	}
	return nil
}

// HandleAuthorizationServer registers the endpoints of the authorization server
// alone, whose tokens are for MCP servers elsewhere.
func (p *Process) HandleAuthorizationServer(mux *http.ServeMux) error {
	_, err := p.newAuthorizationServer(mux, p.Config.Auth.Resources)
	return err
}

// newAuthorizationServer returns an authorization server where users
// log in as whoever they say they are, and registers its endpoints.
func (p *Process) newAuthorizationServer(mux *http.ServeMux, resources []string) (*server.Server, error) {
	upstream, err := fakeupstream.New(&fakeupstream.Options{
		Redis: p.Redis, Prefix: p.Config.RedisPrefix, BaseURL: p.BaseURL, TrustedProxies: p.Config.Auth.TrustedProxies,
	})
	if err != nil {
		return nil, err
	}
	c := p.Config.Auth
	opts := &server.Options{
		Redis: p.Redis, Prefix: p.Config.RedisPrefix, Logger: p.Log,
		Issuer:    p.BaseURL,
		Resources: resources,
		Scopes: []server.Scope{
			{Name: ScopeUse, Description: "use the server's tools, resources and prompts"},
			{Name: ScopeAdmin, Description: "switch tools on and off for everybody"},
		},
		DefaultScopes:   []string{ScopeUse},
		Upstream:        upstream,
		CallbackPath:    fakeupstream.CallbackPath,
		RedirectSchemes: c.RedirectSchemes,
		TrustedProxies:  c.TrustedProxies,
		RefreshGrace:    c.RefreshGrace,
	}
	if c.IntrospectionSecret != "" {
		opts.ResourceServers = []server.ResourceServer{{
			ID: c.IntrospectionID, SecretHash: server.HashSecret(c.IntrospectionSecret), Resources: resources,
		}}
	}
	if c.SigningKey != nil {
		opts.SigningKeys = []server.SigningKey{*c.SigningKey}
	}
	as, err := server.New(opts)
	if err != nil {
		return nil, &SettingError{Setting{"BASE_URI", p.BaseURL}, err}
	}
	as.Handle(mux)
	mux.Handle(fakeupstream.AuthorizePath, upstream)
	return as, nil
}

// discover returns the verifier of an external authorization server.
func (p *Process) discover() (auth.Verifier, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := p.Config.Auth
	return auth.DiscoverVerifier(ctx, c.ServerURL, &auth.DiscoverOptions{
		ClientID: c.IntrospectionID, ClientSecret: c.IntrospectionSecret,
	})
}
