package auth

import "strings"

// challenge returns the WWW-Authenticate header that tells a client which scopes
// it needs and where to get them (RFC 9728, section 5.1; MCP, "Protected Resource
// Metadata Discovery Requirements"). The challenge for a request without a token
// names no error (OAuth 2.1, section 5.3.1).
func (r *Resource) challenge(e *oauthError) string {
	scopes := e.scopes
	if scopes == nil {
		scopes = r.opts.Scopes
	}
	var b strings.Builder
	b.WriteString("Bearer ")
	if e.code != "" {
		parameter(&b, "error", e.code)
		parameter(&b, "error_description", e.description)
	}
	if len(scopes) > 0 {
		parameter(&b, "scope", strings.Join(scopes, " "))
	}
	parameter(&b, "resource_metadata", r.MetadataURL())
	return strings.TrimSuffix(b.String(), ", ")
}

// parameter writes one parameter of a challenge. Characters that the value of a
// parameter may not have are replaced, so that no value ends its own quotes
// (OAuth 2.1, section 5.3.1).
func parameter(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteString(`="`)
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			c = '\''
		}
		b.WriteByte(c)
	}
	b.WriteString(`", `)
}
