package server

import (
	"errors"
	"net/http"
)

// revoke serves token revocation (RFC 7009). Revoking a refresh token deletes its
// grant with all tokens. The response is the same for an unknown token and for
// one of another client: the client cannot use either.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	if err := s.revokeToken(r); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) revokeToken(r *http.Request) error {
	p, err := formParams(r)
	if err != nil {
		return err
	}
	client, err := s.authenticate(r, p)
	if err != nil {
		return err
	}
	text := p.get("token")
	if text == "" {
		return refuse("invalid_request", "token is missing")
	}
	token, isRefresh := parseCredential(refreshKind, text)
	if !isRefresh {
		var ok bool
		if token, _, ok = s.accessToken(text); !ok {
			return nil
		}
	}
	g, err := s.grants.load(r.Context(), token.grant)
	switch {
	case errors.Is(err, errNoGrant):
		return nil
	case err != nil:
		return err
	case g.Client != client.ID:
		return nil
	case isRefresh:
		return s.grants.revokeRefresh(r.Context(), token)
	}
	return s.grants.revokeAccess(r.Context(), token)
}
