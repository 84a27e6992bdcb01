package server

import (
	"errors"
	"net/http"
)

// revoke serves token revocation (RFC 7009). Revoking a refresh token deletes its
// grant with all tokens. The response is the same for an unknown token and for
// one of another client: the client cannot use either.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	revoked, err := s.revokeToken(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if revoked {
		s.giveBack(r.Context(), s.limiter.Count(revokeLimit, s.address(r)), s.opts.Limits.Revoke)
	}
	w.WriteHeader(http.StatusOK)
}

// revokeToken reports whether the client had such a token.
func (s *Server) revokeToken(r *http.Request) (bool, error) {
	p, err := formParams(r)
	if err != nil {
		return false, err
	}
	client, err := s.authenticate(r, p)
	if err != nil {
		return false, err
	}
	text := p.get("token")
	if text == "" {
		return false, refuse("invalid_request", "token is missing")
	}
	token, isRefresh := parseCredential(refreshKind, text)
	if !isRefresh {
		var ok bool
		if token, _, ok = s.accessToken(text); !ok {
			return false, nil
		}
	}
	g, err := s.grants.load(r.Context(), token.grant)
	switch {
	case errors.Is(err, errNoGrant):
		return false, nil
	case err != nil:
		return false, err
	case g.Client != client.ID:
		return false, nil
	case isRefresh:
		return s.grants.revokeRefresh(r.Context(), token)
	}
	return s.grants.revokeAccess(r.Context(), token)
}
