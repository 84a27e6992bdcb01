package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// clientSubject begins the subject of a client that acts for itself. An MCP
// session belongs to an issuer and a subject, so a user with such a subject could
// use the client's sessions: the callback refuses logins with one.
const clientSubject = "client:"

// clientCredentials issues an access token to a client that acts for itself
// (OAuth 2.1, section 4.2). The operator must have registered it for that, and it
// must have authenticated. It gets no refresh token, because it can ask again.
func (s *Server) clientCredentials(r *http.Request, client *Client, p params) (*tokenResponse, error) {
	if !client.confidential() || client.proofOptional || !s.clients.preregistered(client.ID) {
		return nil, refuse("unauthorized_client", "the client may not use grant_type %s", grantClientCredentials)
	}
	scopes, err := s.scopesFor(client, p.get("scope"))
	if err != nil {
		return nil, err
	}
	resources, err := narrow(s.opts.Resources, nil, p["resource"])
	if err != nil {
		return nil, err
	}
	g := grant{Client: client.ID, Subject: clientSubject + client.ID, Scopes: scopes, Resources: resources}
	a := access{Scopes: scopes, Resources: resources}
	t, err := s.grants.issue(r.Context(), g, a)
	if err != nil {
		return nil, err
	}
	return s.response(t, g, a)
}

// issue stores a grant for one access token, and returns the token.
func (s *grants) issue(ctx context.Context, g grant, a access) (tokens, error) {
	g.Version, g.Issued = grantVersion, time.Now().Unix()
	data, err := json.Marshal(g)
	if err != nil {
		return tokens{}, err
	}
	t := tokens{access: newCredential(accessKind, random(grantIDBytes)), life: s.accessTTL}
	reply, err := grantIssue.Exec(ctx, s.rdb, []string{s.keys.Grant(t.access.grant)},
		string(data), t.access.hash(), millis(t.life), a.String())
	if err != nil {
		return tokens{}, err
	}
	return t, expectOne("issue access token", reply, errors.New("there is a grant with this id"))
}
