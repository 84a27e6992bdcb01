package server

import (
	"net/http"
	"slices"
)

// metadata is the authorization server's metadata document (RFC 8414, section 2).
type metadata struct {
	Issuer                   string   `json:"issuer"`
	AuthorizationEndpoint    string   `json:"authorization_endpoint"`
	TokenEndpoint            string   `json:"token_endpoint"`
	RegistrationEndpoint     string   `json:"registration_endpoint,omitempty"`
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgorithms []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionEndpoint    string   `json:"introspection_endpoint,omitempty"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	JWKSURI                  string   `json:"jwks_uri,omitempty"`
	ScopesSupported          []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported   []string `json:"response_types_supported"`
	ResponseModesSupported   []string `json:"response_modes_supported"`
	GrantTypesSupported      []string `json:"grant_types_supported"`
	TokenAuthMethods         []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms      []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	CodeChallengeMethods     []string `json:"code_challenge_methods_supported"`
	IssParameter             bool     `json:"authorization_response_iss_parameter_supported"`
	ClientIDMetadataDocument bool     `json:"client_id_metadata_document_supported"`
	ProtectedResources       []string `json:"protected_resources"`
}

// metadata serves the metadata document (RFC 8414, section 3).
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	m := metadata{
		Issuer:                   s.opts.Issuer,
		AuthorizationEndpoint:    s.opts.Issuer + authorizePath,
		TokenEndpoint:            s.opts.Issuer + tokenPath,
		RevocationEndpoint:       s.opts.Issuer + revokePath,
		RevocationAuthMethods:    s.authMethods(),
		ResponseTypesSupported:   []string{"code"},
		ResponseModesSupported:   []string{"query"},
		GrantTypesSupported:      []string{grantCode, grantRefreshToken},
		TokenAuthMethods:         s.authMethods(),
		CodeChallengeMethods:     []string{"S256"},
		IssParameter:             true,
		ClientIDMetadataDocument: !s.opts.NoClientDocuments,
		ProtectedResources:       s.opts.Resources,
	}
	for _, algorithm := range assertionAlgorithms {
		m.TokenAuthAlgorithms = append(m.TokenAuthAlgorithms, string(algorithm))
	}
	m.RevocationAuthAlgorithms = m.TokenAuthAlgorithms
	// Only clients that the operator registered can act for themselves.
	if slices.ContainsFunc(s.opts.Clients, func(c Client) bool { return c.mayUse(grantClientCredentials) }) {
		m.GrantTypesSupported = append(m.GrantTypesSupported, grantClientCredentials)
	}
	if s.signer != nil {
		m.JWKSURI = s.opts.Issuer + jwksPath
	}
	for _, scope := range s.opts.Scopes {
		m.ScopesSupported = append(m.ScopesSupported, scope.Name)
	}
	if !s.opts.NoRegistration {
		m.RegistrationEndpoint = s.opts.Issuer + registerPath
	}
	if len(s.opts.ResourceServers) > 0 {
		m.IntrospectionEndpoint = s.opts.Issuer + introspectPath
		m.IntrospectionAuthMethods = []string{"client_secret_basic"}
	}
	writeJSON(w, http.StatusOK, m)
}

// metadataPaths are where clients look for the metadata (MCP, "Authorization
// Server Metadata Discovery").
func (s *Server) metadataPaths() []string {
	const oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	if s.issuer.Path == "" {
		return []string{oauth, openid}
	}
	return []string{oauth + s.issuer.Path, openid + s.issuer.Path, s.issuer.Path + openid}
}
