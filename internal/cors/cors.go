// Package cors writes the headers that let web pages of other origins call an
// endpoint (Fetch, "CORS protocol").
package cors

import "net/http"

// maxAge is how long, in seconds, a browser may use the response to a preflight
// request again.
const maxAge = "600"

// Allow lets pages of an origin, or of any if it is "*", read a response with
// the exposed headers, which are separated by commas. exposed may be empty.
func Allow(h http.Header, origin, exposed string) {
	h.Set("Access-Control-Allow-Origin", origin)
	if exposed != "" {
		h.Set("Access-Control-Expose-Headers", exposed)
	}
}

// IsPreflight reports whether r is a preflight request: a browser's question
// whether a page may send another request (Fetch, "CORS-preflight fetch").
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// WritePreflight writes the response to a preflight request after [Allow]: the
// methods and headers that other requests may have, separated by commas. headers
// may be empty.
func WritePreflight(w http.ResponseWriter, methods, headers string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", methods)
	if headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Set("Access-Control-Max-Age", maxAge)
	w.WriteHeader(http.StatusNoContent)
}
