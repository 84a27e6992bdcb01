package auth

import (
	"net/http"
	"strings"
)

// SecureHeaders returns middleware that sets the headers that suit every
// response of a server, also those that a mux writes itself: errors and redirects.
// They are
//
//   - Cache-Control: no-store
//   - Content-Security-Policy: browsers load nothing for the response, run nothing
//     in it and show it in no frame
//   - X-Frame-Options: DENY, for browsers that know no frame-ancestors
//   - X-Content-Type-Options: nosniff
//   - Referrer-Policy: no-referrer
//   - Strict-Transport-Security (RFC 6797), if base is an https URL
//
// Handlers may change them: one whose page has styles or scripts sets a policy
// that allows them. What net/http refuses before there is a request, such as one
// that is malformed or has too large a header, does not come by any handler; let
// [http.Server] have DisableGeneralOptionsHandler for OPTIONS * to do so.
func SecureHeaders(base string) func(http.Handler) http.Handler {
	secure := strings.HasPrefix(strings.ToLower(base), "https://")
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			setSecureHeaders(w.Header())
			if secure {
				w.Header().Set("Strict-Transport-Security", "max-age=31536000")
			}
			next.ServeHTTP(w, r)
		})
	}
}

// setSecureHeaders sets the headers of [SecureHeaders] that suit every host.
func setSecureHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}
