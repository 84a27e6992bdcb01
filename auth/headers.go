package auth

import (
	"net/http"
	"strings"
)

// SecureHeaders returns middleware that sets the headers that suit every
// response of a server: Cache-Control: no-store, X-Content-Type-Options:
// nosniff and, if base is an https URL, Strict-Transport-Security (RFC 6797).
// Handlers may change them.
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
