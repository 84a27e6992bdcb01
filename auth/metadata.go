package auth

import (
	"encoding/json"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/cors"
)

const wellKnown = "/.well-known/oauth-protected-resource"

// MetadataPath returns the path where the resource's metadata must be served,
// escaped as in the pattern of a mux: the well-known path is inserted between
// host and path of the identifier (RFC 9728, section 3.1).
func (r *Resource) MetadataPath() string {
	if r.url.Path == "/" {
		return wellKnown
	}
	return wellKnown + r.url.EscapedPath()
}

// MetadataURL returns the URL of the resource's metadata (RFC 9728, section 3.1).
func (r *Resource) MetadataURL() string {
	u := r.url.Scheme + "://" + r.url.Host + r.MetadataPath()
	if r.url.RawQuery != "" {
		u += "?" + r.url.RawQuery
	}
	return u
}

// Metadata returns the handler of the protected resource metadata (RFC 9728,
// section 2), to be mounted at [Resource.MetadataPath].
func (r *Resource) Metadata() http.Handler {
	body, err := json.Marshal(struct {
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers"`
		ScopesSupported      []string `json:"scopes_supported,omitempty"`
		BearerMethods        []string `json:"bearer_methods_supported"`
		Name                 string   `json:"resource_name,omitempty"`
		Documentation        string   `json:"resource_documentation,omitempty"`
	}{r.identifier, r.opts.AuthorizationServers, r.opts.ScopesSupported, []string{"header"}, r.opts.Name, r.opts.Documentation})
	if err != nil {
		panic(err) // strings can be encoded
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		cors.Allow(h, "*", "") // the metadata is public
		setSecureHeaders(h)
		switch req.Method {
		case http.MethodGet, http.MethodHead:
			h.Set("Content-Type", "application/json")
			_, _ = w.Write(body) // a client that has gone needs no metadata
		case http.MethodOptions:
			cors.WritePreflight(w, "GET", "*")
		default:
			h.Set("Allow", "GET, HEAD, OPTIONS")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		}
	})
}
