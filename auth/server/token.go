package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Grant types.
const (
	grantCode              = "authorization_code"
	grantRefreshToken      = "refresh_token"
	grantClientCredentials = "client_credentials"
)

// token serves the token endpoint (OAuth 2.1, section 3.2).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	res, err := s.issue(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, res)
}

// A tokenResponse is that of OAuth 2.1, section 3.2.3.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// issue issues tokens by the grant type that the request names.
func (s *Server) issue(r *http.Request) (*tokenResponse, error) {
	p, err := formParams(r)
	if err != nil {
		return nil, err
	}
	client, err := s.authenticate(r, p)
	if err != nil {
		return nil, err
	}
	grantType := p.get("grant_type")
	issue := map[string]func(*http.Request, *Client, params) (*tokenResponse, error){
		grantCode: s.redeem, grantRefreshToken: s.refresh, grantClientCredentials: s.clientCredentials,
	}[grantType]
	switch {
	case grantType == "":
		return nil, refuse("invalid_request", "grant_type is missing")
	case issue == nil:
		return nil, refuse("unsupported_grant_type", "grant_type %.40s is not supported", grantType)
	case !client.mayUse(grantType):
		return nil, refuse("unauthorized_client", "the client may not use grant_type %s", grantType)
	}
	return issue(r, client, p)
}

// redeem exchanges a code for tokens (OAuth 2.1, section 4.1.3). A request that
// fails any check leaves the code as it is: whoever has only a stolen code must not
// be able to use it up (section 7.5.3).
func (s *Server) redeem(r *http.Request, client *Client, p params) (*tokenResponse, error) {
	invalid := refuse("invalid_grant", "the code is not valid, or was not issued for this client, redirect URI and code_verifier")
	code, ok := parseCredential(codeKind, p.get("code"))
	if !ok {
		return nil, invalid
	}
	verifier := p.get("code_verifier")
	if !isVerifier(verifier) {
		return nil, refuse("invalid_request", "code_verifier is missing or malformed")
	}
	g, err := s.grants.load(r.Context(), code.grant)
	if err != nil {
		return nil, notTaken(err, invalid)
	}
	redirect := p.get("redirect_uri")
	if g.Client != client.ID || !matches(g.Challenge, verifier) || redirect != "" && redirect != g.Redirect {
		return nil, invalid
	}
	resources, err := narrow(s.opts.Resources, g.Resources, p["resource"])
	if err != nil {
		return nil, err
	}
	a := access{Scopes: g.Scopes, Resources: resources}
	t, err := s.grants.redeem(r.Context(), code, g, a, client.mayUse(grantRefreshToken))
	if errors.Is(err, errReused) {
		s.logger.WarnContext(r.Context(), "code redeemed twice: grant revoked", "client", client.ID)
	}
	if err != nil {
		return nil, notTaken(err, invalid)
	}
	return s.response(t, g, a)
}

// refresh exchanges a refresh token for new tokens (OAuth 2.1, section 4.3). The
// client may request less than was granted, but not more.
func (s *Server) refresh(r *http.Request, client *Client, p params) (*tokenResponse, error) {
	invalid := refuse("invalid_grant", "the refresh token is not valid, or was not issued to this client")
	token, ok := parseCredential(refreshKind, p.get("refresh_token"))
	if !ok {
		return nil, invalid
	}
	g, err := s.grants.load(r.Context(), token.grant)
	if err != nil {
		return nil, notTaken(err, invalid)
	}
	if g.Client != client.ID {
		return nil, invalid
	}
	var a access
	if a.Scopes, err = s.scopesWithin(client, g.Scopes, p.get("scope")); err != nil {
		return nil, err
	}
	if a.Resources, err = narrow(s.opts.Resources, g.Resources, p["resource"]); err != nil {
		return nil, err
	}
	t, err := s.grants.refresh(r.Context(), token, g, a)
	if errors.Is(err, errReused) {
		s.logger.WarnContext(r.Context(), "replaced refresh token used: grant revoked", "client", client.ID)
	}
	if err != nil {
		return nil, notTaken(err, invalid)
	}
	return s.response(t, g, a)
}

// notTaken returns invalid for a code or token that is of no grant, or was used
// before, and any other error as it is.
func notTaken(err error, invalid *oauthError) error {
	if errors.Is(err, errNoGrant) || errors.Is(err, errReused) {
		return invalid
	}
	return err
}

// response returns the response that has the tokens.
func (s *Server) response(t tokens, g grant, a access) (*tokenResponse, error) {
	text := t.access.String()
	if s.signer != nil {
		var err error
		if text, err = s.signer.token(t.access, g, a, t.life); err != nil {
			return nil, fmt.Errorf("sign access token: %w", err)
		}
	}
	res := &tokenResponse{
		AccessToken: text, TokenType: "Bearer", ExpiresIn: int64(t.life.Seconds()),
		Scope: strings.Join(a.Scopes, " "),
	}
	if t.refresh.kind != "" {
		res.RefreshToken = t.refresh.String()
	}
	return res, nil
}

// isVerifier reports whether text has the form of a code verifier (RFC 7636,
// section 4.1).
func isVerifier(text string) bool {
	return len(text) >= 43 && len(text) <= 128 && strings.Trim(text, unreserved) == ""
}

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

// isChallenge reports whether text has the form of an S256 code challenge (RFC
// 7636, section 4.2).
func isChallenge(text string) bool { return isRandom(text, sha256.Size) }

// matches reports whether challenge was made from verifier by S256 (RFC 7636,
// section 4.6).
func matches(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	made := base64.RawURLEncoding.EncodeToString(sum[:])
	return challenge != "" && subtle.ConstantTimeCompare([]byte(made), []byte(challenge)) == 1
}
