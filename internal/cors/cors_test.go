package cors

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIsPreflight(t *testing.T) {
	t.Parallel()
	origin, method := []string{"https://app.example.com"}, []string{"POST"}
	for name, test := range map[string]struct {
		method string
		header http.Header
		want   bool
	}{
		"a preflight request":     {"OPTIONS", http.Header{"Origin": origin, "Access-Control-Request-Method": method}, true},
		"of no page":              {"OPTIONS", http.Header{"Access-Control-Request-Method": method}, false},
		"without a method":        {"OPTIONS", http.Header{"Origin": origin}, false},
		"a request of a page":     {"POST", http.Header{"Origin": origin, "Access-Control-Request-Method": method}, false},
		"OPTIONS for its own end": {"OPTIONS", http.Header{}, false},
	} {
		r := httptest.NewRequest(test.method, "/", nil)
		r.Header = test.header
		if got := IsPreflight(r); got != test.want {
			t.Errorf("%s: IsPreflight is %v, want %v", name, got, test.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		write func(w http.ResponseWriter)
		want  http.Header
	}{
		"any origin": {
			func(w http.ResponseWriter) { Allow(w.Header(), "*", "") },
			http.Header{"Access-Control-Allow-Origin": {"*"}},
		},
		"one origin and exposed headers": {
			func(w http.ResponseWriter) { Allow(w.Header(), "https://app.example.com", "A, B") },
			http.Header{"Access-Control-Allow-Origin": {"https://app.example.com"}, "Access-Control-Expose-Headers": {"A, B"}},
		},
		"preflight": {
			func(w http.ResponseWriter) { WritePreflight(w, "GET, POST", "Authorization") },
			http.Header{
				"Access-Control-Allow-Methods": {"GET, POST"}, "Access-Control-Allow-Headers": {"Authorization"}, "Access-Control-Max-Age": {"600"},
			},
		},
		"preflight without headers": {
			func(w http.ResponseWriter) { WritePreflight(w, "GET", "") },
			http.Header{"Access-Control-Allow-Methods": {"GET"}, "Access-Control-Max-Age": {"600"}},
		},
	} {
		w := httptest.NewRecorder()
		test.write(w)
		if diff := cmp.Diff(test.want, w.Header()); diff != "" {
			t.Errorf("%s: headers (-want +got):\n%s", name, diff)
		}
	}
	w := httptest.NewRecorder()
	if WritePreflight(w, "GET", ""); w.Code != http.StatusNoContent {
		t.Errorf("a preflight request is answered %d, want 204", w.Code)
	}
}
