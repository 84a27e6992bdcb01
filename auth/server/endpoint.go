package server

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// endpoint serves an endpoint's methods. Nothing that an authorization server
// says may be stored (OAuth 2.1, section 3.2.3), or taken for something else
// than it is. Pages of any origin may call the endpoints of programs, without
// cookies; those of users they may not (OAuth 2.1, section 3.1).
func (s *Server) endpoint(methods map[string]http.HandlerFunc, cors bool) http.Handler {
	allow := slices.Sorted(maps.Keys(methods))
	if cors {
		allow = append(allow, http.MethodOptions)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if cors {
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if serve, ok := methods[method]; ok {
			serve(w, r)
			return
		}
		if cors && r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", strings.Join(allow, ", "))
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, MCP-Protocol-Version")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.Set("Allow", strings.Join(allow, ", "))
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{
			"error": "invalid_request", "error_description": "method " + printable(r.Method) + " is not allowed",
		})
	})
}
