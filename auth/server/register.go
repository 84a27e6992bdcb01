package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	maxRedirectURIs = 10
	maxURILength    = 2048
	maxURIsLength   = 4096 // of all redirect URIs, because Redis has to store many
	maxNameLength   = 200
)

// A registrationRequest is the part of the client metadata of RFC 7591, section 2,
// that is used here. Unknown fields are ignored.
type registrationRequest struct {
	RedirectURIs    []string `json:"redirect_uris"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"`
	ClientName      string   `json:"client_name"`
	Scope           string   `json:"scope"`
	ApplicationType string   `json:"application_type"`
}

// A registrationResponse is the client information response of RFC 7591,
// section 3.2.1.
type registrationResponse struct {
	ClientID              string   `json:"client_id"`
	ClientSecret          string   `json:"client_secret,omitempty"`
	ClientIDIssuedAt      int64    `json:"client_id_issued_at"`
	ClientSecretExpiresAt *int64   `json:"client_secret_expires_at,omitempty"`
	RedirectURIs          []string `json:"redirect_uris"`
	AuthMethod            string   `json:"token_endpoint_auth_method"`
	GrantTypes            []string `json:"grant_types"`
	ResponseTypes         []string `json:"response_types"`
	ClientName            string   `json:"client_name,omitempty"`
	Scope                 string   `json:"scope,omitempty"`
	ApplicationType       string   `json:"application_type,omitempty"`
}

// register serves dynamic client registration (RFC 7591).
func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	res, err := s.registerClient(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, res)
}

func (s *Server) registerClient(r *http.Request) (*registrationResponse, error) {
	req, err := readRegistration(r)
	if err != nil {
		return nil, err
	}
	client, err := s.newClient(req)
	if err != nil {
		return nil, err
	}
	res := &registrationResponse{
		ClientID: client.ID, ClientIDIssuedAt: now(), RedirectURIs: client.RedirectURIs, AuthMethod: client.AuthMethod,
		GrantTypes: client.GrantTypes, ResponseTypes: []string{"code"}, ClientName: client.Name,
		Scope: strings.Join(client.Scopes, " "), ApplicationType: applicationType(req.ApplicationType, client.RedirectURIs),
	}
	if client.confidential() {
		secret := random(secretBytes)
		client.SecretHash, client.SecretExpires = HashSecret(secret), time.Now().Add(secretTTL).Truncate(time.Second)
		expires := client.SecretExpires.Unix()
		res.ClientSecret, res.ClientSecretExpiresAt = secret, &expires
	}
	if err := s.allowNewClient(r.Context()); err != nil {
		return nil, err
	}
	if err := s.clients.register(r.Context(), client); err != nil {
		return nil, err
	}
	s.logger.InfoContext(r.Context(), "client registered", "client", client.ID, "method", client.AuthMethod,
		"redirect_uris", len(client.RedirectURIs), "requested", len(req.RedirectURIs))
	return res, nil
}

// secretTTL is how long a registered client's secret is valid.
const secretTTL = 365 * 24 * time.Hour

func readRegistration(r *http.Request) (*registrationRequest, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, refuse("invalid_client_metadata", "the body must be application/json")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	var req registrationRequest
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &req); err != nil { // a byte order mark is ignored (RFC 8259, section 8.1)
		return nil, refuse("invalid_client_metadata", "the body is not a JSON object with the fields of RFC 7591")
	}
	return &req, nil
}

// newClient returns the client that a registration asks for. Clients send one
// registration to all servers, so what cannot be served is left out or replaced by
// what can, and the response says so (RFC 7591, sections 2 and 3.2.1). It fails only
// if no redirect URI is left, and for what is too large to be stored.
func (s *Server) newClient(req *registrationRequest) (*Client, error) {
	redirects, err := s.registeredURIs(req.RedirectURIs)
	if err != nil {
		return nil, refuse("invalid_redirect_uri", "%v", err)
	}
	if len(req.ClientName) > maxNameLength {
		return nil, refuse("invalid_client_metadata", "client_name has more than %d bytes", maxNameLength)
	}
	client := &Client{
		ID: clientIDPrefix + uuid.NewString(), Name: req.ClientName, RedirectURIs: redirects,
		AuthMethod: s.registeredMethod(req.AuthMethod), GrantTypes: supportedGrants(req.GrantTypes),
	}
	if !slices.Contains(client.GrantTypes, grantCode) {
		client.GrantTypes = supportedGrants(nil)
	}
	requested := s.requestedScopes(req.Scope)
	client.Scopes = slices.DeleteFunc(slices.Clone(requested), func(scope string) bool { return !s.hasScope(scope) })
	if len(requested) > 0 && len(client.Scopes) == 0 {
		client.Scopes = s.defaultScopes(client)
	}
	return client, nil
}

// registeredURIs returns the redirect URIs that a client is registered with. The
// bounds are of what could be stored, before duplicates are left out.
func (s *Server) registeredURIs(requested []string) ([]string, error) {
	usable, err := usableRedirectURIs(requested, s.opts.RedirectSchemes)
	switch {
	case err != nil:
		return nil, err
	case len(usable) > maxRedirectURIs:
		return nil, fmt.Errorf("there are more than %d redirect_uris", maxRedirectURIs)
	case len(strings.Join(usable, "")) > maxURIsLength:
		return nil, fmt.Errorf("redirect_uris have more than %d characters together", maxURIsLength)
	}
	var unique []string
	for _, uri := range usable {
		if !slices.Contains(unique, uri) {
			unique = append(unique, uri)
		}
	}
	return unique, nil
}

// registeredMethod returns how a client authenticates that asks for a method: by
// the default of RFC 7591, section 2, if it asks for none, or for one that is not
// available to clients that register themselves.
func (s *Server) registeredMethod(requested string) string {
	if requested == methodAssertion || !slices.Contains(s.authMethods(), requested) {
		return methodBasic
	}
	return requested
}

// applicationType returns the application type of a client (OpenID Connect Dynamic
// Client Registration, section 2), empty if it names none. One whose redirect URIs
// are not all https is native: some native clients say that they are web.
func applicationType(requested string, redirects []string) string {
	if requested == "" {
		return ""
	}
	https := func(uri string) bool { return len(uri) > 8 && strings.EqualFold(uri[:8], "https://") }
	if requested == "web" && !slices.ContainsFunc(redirects, func(uri string) bool { return !https(uri) }) {
		return "web"
	}
	return "native"
}

// supportedGrants returns the requested grant types that a client which describes
// itself can have, or all of these if it requests none.
func supportedGrants(requested []string) []string {
	both := []string{grantCode, grantRefreshToken}
	if len(requested) == 0 {
		return both
	}
	return slices.DeleteFunc(both, func(g string) bool { return !slices.Contains(requested, g) })
}

// clientIDPrefix begins the ids of registered clients.
const clientIDPrefix = "mcp_"

// isClientID reports whether id has the form of a registered client's.
func isClientID(id string) bool {
	rest, ok := strings.CutPrefix(id, clientIDPrefix)
	return ok && len(rest) == 36 && uuid.Validate(rest) == nil
}
