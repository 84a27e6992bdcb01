package auth

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecureHeadersAreOnEveryResponse(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {})
	mux.HandleFunc("GET /dir/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	})
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
			method, path string
			status       int
			cache        string
		}{
			{"GET", "/page", 200, "no-store"}, {"POST", "/page", 405, "no-store"}, {"GET", "/none", 404, "no-store"},
			{"GET", "/dir", 307, "no-store"}, {"GET", "/dir/", 500, "no-store"}, {"GET", "/stream", 200, "no-store, no-transform"},
		} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(request.method, request.path, nil))
			h := w.Header()
			got := []string{h.Get("Cache-Control"), h.Get("X-Content-Type-Options"), h.Get("Strict-Transport-Security")}
			if diff := cmp.Diff([]string{request.cache, "nosniff", hsts}, got); diff != "" || w.Code != request.status {
				t.Errorf("%s %s below %s: %d (-want +got)\n%s", request.method, request.path, base, w.Code, diff)
			}
		}
	}
}
