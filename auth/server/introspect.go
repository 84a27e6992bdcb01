package server

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpfleet/mcpfleet/auth"
)

// An introspection is the response of RFC 7662, section 2.2. If the token is not
// active, the other fields are empty.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Expires   int64    `json:"exp,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
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
	token, err := s.Verify(r.Context(), text)
	if errors.Is(err, auth.ErrInvalidToken) {
		return &introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(token.Audience, caller.is) {
		return &introspection{}, nil
	}
	return &introspection{
		Active: true, Scope: strings.Join(token.Scopes, " "), ClientID: token.ClientID, TokenType: "Bearer",
		Expires: token.Expires.Unix(), Subject: token.Subject, Audience: token.Audience, Issuer: token.Issuer,
	}, nil
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
