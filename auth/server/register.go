package server

import (
	"bytes"
	"encoding/json"
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
		Scope: strings.Join(client.Scopes, " "), ApplicationType: req.ApplicationType,
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
	s.logger.InfoContext(r.Context(), "client registered", "client", client.ID, "method", client.AuthMethod)
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

// newClient returns the client that a registration asks for. Grant types that are
// not supported are left out: clients list what they use elsewhere as well.
func (s *Server) newClient(req *registrationRequest) (*Client, error) {
	if err := s.checkRegisteredURIs(req.RedirectURIs); err != nil {
		return nil, err
	}
	client := &Client{
		ID: clientIDPrefix + uuid.NewString(), Name: req.ClientName, RedirectURIs: req.RedirectURIs,
		AuthMethod: req.AuthMethod, GrantTypes: supportedGrants(req.GrantTypes),
	}
	switch {
	case len(req.ClientName) > maxNameLength:
		return nil, refuse("invalid_client_metadata", "client_name has more than %d bytes", maxNameLength)
	case client.AuthMethod == "":
		client.AuthMethod = methodBasic // RFC 7591, section 2
	case client.AuthMethod == methodAssertion || !slices.Contains(s.authMethods(), client.AuthMethod):
		return nil, refuse("invalid_client_metadata", "token_endpoint_auth_method %.40s is not available to dynamically registered clients", client.AuthMethod)
	}
	if len(req.ResponseTypes) > 0 && !slices.Contains(req.ResponseTypes, "code") {
		return nil, refuse("invalid_client_metadata", "response_types must contain code")
	}
	if !slices.Contains(client.GrantTypes, grantCode) {
		return nil, refuse("invalid_client_metadata", "grant_types must contain authorization_code")
	}
	// Unknown scopes are left out.
	requested := s.requestedScopes(req.Scope)
	client.Scopes = slices.DeleteFunc(slices.Clone(requested), func(scope string) bool { return s.unknownScope([]string{scope}) != "" })
	if len(requested) > 0 && len(client.Scopes) == 0 {
		return nil, refuse("invalid_client_metadata", "there is no scope %.40s", requested[0])
	}
	return client, checkApplicationType(req)
}

func (s *Server) checkRegisteredURIs(uris []string) error {
	if len(uris) == 0 || len(uris) > maxRedirectURIs {
		return refuse("invalid_redirect_uri", "there must be 1 to %d redirect_uris", maxRedirectURIs)
	}
	if len(strings.Join(uris, "")) > maxURIsLength {
		return refuse("invalid_redirect_uri", "redirect_uris have more than %d characters together", maxURIsLength)
	}
	for _, uri := range uris {
		if len(uri) > maxURILength {
			return refuse("invalid_redirect_uri", "a redirect URI has more than %d characters", maxURILength)
		}
		if err := checkRedirectURI(uri, s.opts.RedirectSchemes); err != nil {
			return refuse("invalid_redirect_uri", "%v", err)
		}
	}
	return nil
}

// checkApplicationType checks the redirect URIs of a client that has an
// application type (OpenID Connect Dynamic Client Registration, section 2). The
// default is native, contrary to that section: older MCP clients are native and
// have no application type.
func checkApplicationType(req *registrationRequest) error {
	switch req.ApplicationType {
	case "", "native":
		return nil
	case "web":
		for _, uri := range req.RedirectURIs {
			if !strings.HasPrefix(uri, "https://") {
				return refuse("invalid_redirect_uri", "redirect URI %.200s must be https for application_type web", uri)
			}
		}
		return nil
	}
	return refuse("invalid_client_metadata", "application_type must be web or native")
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
