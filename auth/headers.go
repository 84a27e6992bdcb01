package auth

import (
	"net/http"
	"strings"
)

// SecureHeaders returns middleware that gives every response of a server the
// headers that are right for all of them: it is not to be stored, not to be
// taken for another type than it says, and, if base is an https URL, browsers
// are to come back over https only. Handlers may add to them.
func SecureHeaders(base string) func(http.Handler) http.Handler {
	secure := strings.HasPrefix(strings.ToLower(base), "https://")
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Cache-Control", "no-store")
			h.Set("X-Content-Type-Options", "nosniff")
			if secure {
				h.Set("Strict-Transport-Security", "max-age=31536000")
			}
			next.ServeHTTP(w, r)
		})
	}
}
