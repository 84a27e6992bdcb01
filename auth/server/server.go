package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A Server is one instance of the authorization server. It is safe for
// concurrent use, starts no goroutine and needs no closing.
type Server struct {
	opts     Options
	issuer   *url.URL
	logger   *slog.Logger
	rdb      redisx.Client
	keys     rediskeys.Space
	grants   *grants
	sessions *authSessions
	clients  *clients
	limiter  *limit.Limiter
	// proxies lets the operator be warned of them once.
	proxies sync.Once
	signer  *signer // nil if access tokens are opaque
	// clientKeys are what clients sign assertions with.
	clientKeys *clientKeys
	pages      *pages
	// crossOrigin refuses forms that other sites send.
	crossOrigin *http.CrossOriginProtection
}

var _ auth.GrantVerifier = (*Server)(nil)

// New returns an instance of the authorization server. It fails if an option is
// invalid. It does no I/O: if Redis is unavailable, requests get a 503 response.
func New(opts *Options) (*Server, error) {
	if opts == nil {
		opts = &Options{}
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("authorization server: %w", err)
	}
	space, err := rediskeys.New(o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("authorization server: Options.Prefix: %w", err)
	}
	issuer, err := url.Parse(o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("authorization server: Options.Issuer: %w", err)
	}
	rdb := redisx.New(o.Redis, o.RedisTimeout)
	// The check compares origins with the Host header, which a proxy may change.
	crossOrigin := http.NewCrossOriginProtection()
	if err := crossOrigin.AddTrustedOrigin(issuer.Scheme + "://" + issuer.Host); err != nil {
		return nil, fmt.Errorf("authorization server: Options.Issuer: %w", err)
	}
	signer, err := newSigner(o.Issuer, o.SigningKeys)
	if err != nil {
		return nil, fmt.Errorf("authorization server: %w", err)
	}
	limiter := limit.New(rdb, space)
	fetcher := newFetcher(limiter, &o)
	return &Server{
		opts:     o,
		issuer:   issuer,
		logger:   o.Logger,
		rdb:      rdb,
		keys:     space,
		grants:   newGrants(rdb, space, &o),
		sessions: &authSessions{rdb: rdb, keys: space, ttl: o.AuthSessionTTL},
		clients:  newClients(rdb, space, &o, fetcher),
		limiter:  limiter,
		signer:   signer,
		pages:    newPages(o.RedirectSchemes),

		clientKeys:  newClientKeys(fetcher),
		crossOrigin: crossOrigin,
	}, nil
}

// Verify implements [auth.Verifier]: it verifies access tokens of this server.
// In steady state it does not ask Redis, because grants are cached on the
// client side for [Options.CacheTTL].
func (s *Server) Verify(ctx context.Context, token string) (*auth.Token, error) {
	t, _, err := s.verify(ctx, token)
	return t, err
}

// verify is Verify, and returns what Redis has of the token as well.
func (s *Server) verify(ctx context.Context, token string) (*auth.Token, accessRecord, error) {
	access, expires, ok := s.accessToken(token)
	if !ok || !expires.IsZero() && !time.Now().Before(expires) {
		return nil, accessRecord{}, auth.ErrInvalidToken
	}
	// A signed token may have been revoked, so its record decides as well.
	rec, err := s.grants.access(ctx, access)
	if err != nil {
		return nil, rec, notVerified(err)
	}
	if expires.IsZero() || rec.expires.Before(expires) {
		expires = rec.expires
	}
	return &auth.Token{
		Issuer: s.opts.Issuer, Subject: rec.grant.Subject, ClientID: rec.grant.Client,
		Audience: rec.access.Resources, Scopes: rec.access.Scopes, Expires: expires,
	}, rec, nil
}

// VerifyGrant implements [auth.GrantVerifier]. Like Verify, it does not ask Redis
// in steady state.
func (s *Server) VerifyGrant(ctx context.Context, token string) (*auth.Grant, error) {
	access, _, ok := s.accessToken(token)
	if !ok {
		return nil, auth.ErrInvalidToken
	}
	rec, err := s.grants.standing(ctx, access)
	if err != nil {
		return nil, notVerified(err)
	}
	return rec.state(), nil
}

// state returns what a resource server may know of the grant.
func (rec *accessRecord) state() *auth.Grant {
	return &auth.Grant{HasToken: rec.known, Covered: rec.covered, Ends: rec.ends}
}

// notVerified returns the error of a verifier for one of the grants.
func notVerified(err error) error {
	switch {
	case errors.Is(err, errNoGrant):
		return auth.ErrInvalidToken
	case errors.Is(err, redisx.ErrUnavailable):
		return fmt.Errorf("%w: %w", auth.ErrUnavailable, err)
	}
	return err
}

// Handle registers the server's endpoints with mux: those in its metadata (RFC
// 8414), the metadata itself at all three well-known URLs where clients look
// for it, and the upstream's callback. If the issuer has a path, the endpoints
// are below that path, and a proxy must not strip it.
func (s *Server) Handle(mux *http.ServeMux) {
	limits := s.opts.Limits
	for _, e := range []endpoint{
		{path: authorizePath, methods: methods{"GET": s.authorize, "POST": s.authorize}, page: true, name: authorizeLimit, rate: limits.Authorize},
		{path: consentPath, methods: methods{"POST": s.consent}, page: true, name: consentLimit, rate: limits.Authorize},
		{path: s.opts.CallbackPath, methods: methods{"GET": s.callback}, page: true, name: callbackLimit, rate: limits.Callback},
		{path: tokenPath, methods: methods{"POST": s.token}, cors: true, name: tokenLimit, rate: limits.Token},
		{path: revokePath, methods: methods{"POST": s.revoke}, cors: true, name: revokeLimit, rate: limits.Revoke},
		{path: introspectPath, methods: methods{"POST": s.introspect}},
		{path: registerPath, methods: methods{"POST": s.register}, cors: true, name: registerLimit, rate: limits.Register},
	} {
		if e.path != registerPath || !s.opts.NoRegistration {
			mux.Handle(s.issuer.Path+e.path, s.serve(e))
		}
	}
	if s.signer != nil {
		mux.Handle(s.issuer.Path+jwksPath, s.serve(endpoint{methods: methods{"GET": s.jwks}, cors: true}))
	}
	for _, path := range s.metadataPaths() {
		mux.Handle(path, s.serve(endpoint{methods: methods{"GET": s.metadata}, cors: true}))
	}
}

const (
	authorizePath  = "/authorize"
	consentPath    = "/authorize/consent"
	tokenPath      = "/token"
	revokePath     = "/revoke"
	introspectPath = "/introspect"
	registerPath   = "/register"
	jwksPath       = "/jwks"
)

// ownPaths may not be used as [Options.CallbackPath].
var ownPaths = []string{authorizePath, consentPath, tokenPath, revokePath, introspectPath, registerPath, jwksPath}

// now returns the current time in Unix seconds.
func now() int64 { return time.Now().Unix() }
