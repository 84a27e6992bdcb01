package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
)

// A refusal is what a client is told in the form of OAuth 2.1, section 5.3.
type refusal struct {
	status      int
	code        string   // empty if the client did nothing wrong
	description string   // for the client's developer; nothing of ours is in it
	scopes      []string // what the request needs
}

func (e *refusal) Error() string { return e.description }

// refusedTime is how long a client that is refused has for the rest of its body,
// which net/http reads before it writes the response.
const refusedTime = 5 * time.Second

// refuse responds to a request that is not served.
func (r *Resource) refuse(w http.ResponseWriter, req *http.Request, err error) {
	refused, ok := errors.AsType[*refusal](err)
	switch {
	case ok:
	case req.Context().Err() != nil:
		// The client has gone, and perhaps the verification with it.
		refused = &refusal{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", description: "the request was given up"}
	case errors.Is(err, ErrUnavailable):
		r.logger.WarnContext(req.Context(), "token not verified", "error", err)
		// Not 401: the client would throw a good token away.
		refused = &refusal{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", description: "access tokens cannot be verified at the moment"}
		w.Header().Set("Retry-After", "1")
	default:
		r.logger.ErrorContext(req.Context(), "token not verified", "error", err)
		refused = &refusal{status: http.StatusInternalServerError, code: "server_error", description: "the access token could not be verified"}
	}
	if refused.status < http.StatusInternalServerError && refused.status != http.StatusRequestEntityTooLarge {
		w.Header().Set("WWW-Authenticate", r.challenge(refused))
	}
	bodylimit.Within(w, req, refusedTime)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(refused.status)
	body := map[string]string{"error": refused.code, "error_description": refused.description}
	if refused.code == "" {
		body["error"] = "unauthorized"
	}
	_ = json.NewEncoder(w).Encode(body) // a client that has gone needs no response
}

// challenge returns the WWW-Authenticate header that tells a client what it
// needs and where to get it (RFC 9728, section 5.1; MCP, "Protected Resource
// Metadata Discovery Requirements"). A request without a token has done nothing
// wrong, so it is told of no error (OAuth 2.1, section 5.3.1).
func (r *Resource) challenge(refused *refusal) string {
	scopes := refused.scopes
	if scopes == nil {
		scopes = r.opts.Scopes
	}
	var b strings.Builder
	b.WriteString("Bearer ")
	if refused.code != "" {
		parameter(&b, "error", refused.code)
		parameter(&b, "error_description", refused.description)
	}
	if len(scopes) > 0 {
		parameter(&b, "scope", strings.Join(scopes, " "))
	}
	parameter(&b, "resource_metadata", r.MetadataURL())
	return strings.TrimSuffix(b.String(), ", ")
}

// parameter writes one parameter of a challenge. Whatever a value is, it stays
// within its quotes (OAuth 2.1, section 5.3.1 names the characters).
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
