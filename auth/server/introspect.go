package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
)

// An introspection is the response of RFC 7662, section 2.2. If the token is not
// active, all other fields but Grant are empty.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Expires   int64    `json:"exp,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`

	// Grant is what is known of the token's grant, a member of our own (RFC 7662,
	// section 2.2): by it resource servers know that they can ask for it.
	Grant *grantInfo `json:"grant,omitempty"`
}

// A grantInfo says how it stands with a grant: an [auth.Grant].
type grantInfo struct {
	HasToken bool  `json:"has_token"`
	Covered  int64 `json:"covered"` // Unix seconds, as is the next
	Ends     int64 `json:"ends"`
}

func newGrantInfo(g *auth.Grant) *grantInfo {
	return &grantInfo{HasToken: g.HasToken, Covered: unix(g.Covered), Ends: unix(g.Ends)}
}

// unix returns a time in Unix seconds, 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// introspect serves token introspection (RFC 7662) to resource servers, each of
// which sees the tokens for its own resources. Their requests are not limited:
// with a limit, anyone who sends made-up tokens to a resource server could lock
// out its users. Requests of others are limited.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	caller, err := s.resourceServer(r)
	if isInvalidClient(err) {
		if limited := s.limit(w, r, endpoint{name: introspectLimit, rate: s.opts.Limits.Introspect}); limited != nil {
			err = limited
		}
	}
	var res *introspection
	if err == nil {
		res, err = s.introspectToken(r, caller)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, res)
}

func (s *Server) introspectToken(r *http.Request, caller *ResourceServer) (*introspection, error) {
	p, err := formParams(r)
	if err != nil {
		return nil, err
	}
	text := p.get("token")
	if text == "" {
		return nil, refuse("invalid_request", "token is missing")
	}
	token, rec, err := s.verify(r.Context(), text)
	switch {
	case errors.Is(err, auth.ErrInvalidToken) && p.get("include_grant") == "true":
		return s.inactive(r.Context(), text, caller)
	case errors.Is(err, auth.ErrInvalidToken):
		return &introspection{}, nil
	case err != nil:
		return nil, err
	case !slices.ContainsFunc(token.Audience, caller.is):
		return &introspection{}, nil
	}
	return &introspection{
		Active: true, Scope: strings.Join(token.Scopes, " "), ClientID: token.ClientID, TokenType: "Bearer",
		Expires: token.Expires.Unix(), Subject: token.Subject, Audience: token.Audience, Issuer: token.Issuer,
		Grant: newGrantInfo(rec.state()),
	}, nil
}

// inactive returns the response about a token that is not accepted any more, for a
// resource server that serves a request which came with it: was it replaced or
// revoked? Others are told nothing about inactive tokens (RFC 7662, section 2.2). Of
// a token that is not known any more, its grant says whom it may concern.
func (s *Server) inactive(ctx context.Context, text string, caller *ResourceServer) (*introspection, error) {
	access, _, ok := s.accessToken(text)
	if !ok {
		return &introspection{}, nil
	}
	rec, err := s.grants.standing(ctx, access)
	if errors.Is(err, errNoGrant) {
		return &introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	resources := rec.access.Resources
	if !rec.known {
		resources = rec.grant.Resources
	}
	if !slices.ContainsFunc(resources, caller.is) {
		return &introspection{}, nil
	}
	return &introspection{Grant: newGrantInfo(rec.state())}, nil
}

// is reports whether an audience is one of the server's resources.
func (rs *ResourceServer) is(audience string) bool {
	return slices.ContainsFunc(rs.Resources, func(resource string) bool { return canonical(resource) == canonical(audience) })
}

// resourceServer returns the resource server that sent a request.
func (s *Server) resourceServer(r *http.Request) (*ResourceServer, error) {
	if r.Header.Get("Authorization") == "" {
		return nil, errClient()
	}
	c, err := basicAuth(r.Header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	var caller *ResourceServer
	err = s.guarded(r, c.id, func() error {
		for i, known := range s.opts.ResourceServers {
			if known.ID == c.id && subtle.ConstantTimeCompare([]byte(HashSecret(c.secret)), []byte(known.SecretHash)) == 1 {
				caller = &s.opts.ResourceServers[i]
				return nil
			}
		}
		return errClient()
	})
	return caller, err
}
