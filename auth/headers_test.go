package auth

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plain is the policy of a response that is no page.
const plain = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

// Also on what a mux writes itself.
func TestSecureHeadersAreOnEveryResponse(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	})
	mux.HandleFunc("GET /dir/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	})
	mux.HandleFunc("GET /error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "error", http.StatusTeapot) })
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store, no-transform")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("a stream cannot be flushed: %v", err)
		}
	})
	for base, hsts := range map[string]string{
		"https://mcp.example.com": "max-age=31536000", "HTTPS://mcp.example.com/a": "max-age=31536000",
		"http://localhost:3232": "", "": "", "httpss://": "",
	} {
		handler := SecureHeaders(base)(mux)
		for _, request := range []struct {
			method, path  string
			status        int
			cache, policy string
		}{
			{"GET", "/page", 200, "no-store", "default-src 'self'"}, {"POST", "/page", 405, "no-store", plain}, {"GET", "/none", 404, "no-store", plain},
			{"GET", "/dir", 307, "no-store", plain}, {"GET", "/dir/", 500, "no-store", plain}, {"GET", "/dir/../page", 307, "no-store", plain},
			{"GET", "//page", 307, "no-store", plain}, {"GET", "/error", 418, "no-store", plain}, {"OPTIONS", "*", 400, "no-store", plain},
			{"GET", "/stream", 200, "no-store, no-transform", plain},
		} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(request.method, request.path, nil))
			h := w.Header()
			got := []string{
				h.Get("Cache-Control"), h.Get("Content-Security-Policy"), h.Get("X-Frame-Options"), h.Get("X-Content-Type-Options"),
				h.Get("Referrer-Policy"), h.Get("Strict-Transport-Security"),
			}
			want := []string{request.cache, request.policy, "DENY", "nosniff", "no-referrer", hsts}
			if diff := cmp.Diff(want, got); diff != "" || w.Code != request.status {
				t.Errorf("%s %s below %s: %d (-want +got)\n%s", request.method, request.path, base, w.Code, diff)
			}
		}
	}
}
