package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMetadata(t *testing.T) {
	t.Parallel()
	r := newResource(t, &tokenBook{}, func(o *ResourceOptions) {
		o.ScopesSupported = []string{"mcp", "write"}
		o.Name, o.Documentation = "Notes", "https://example.com/docs"
	})
	w := httptest.NewRecorder()
	r.Metadata().ServeHTTP(w, httptest.NewRequest("GET", r.MetadataPath(), nil))
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	want := map[string]any{
		"resource": testResource, "authorization_servers": []any{testIssuer}, "scopes_supported": []any{"mcp", "write"},
		"bearer_methods_supported": []any{"header"}, "resource_name": "Notes", "resource_documentation": "https://example.com/docs",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	header := http.Header{"Access-Control-Allow-Origin": {"*"}, "Cache-Control": {"no-store"}, "Content-Type": {"application/json"}}
	setSecureHeaders(header)
	if diff := cmp.Diff(header, w.Header()); diff != "" {
		t.Errorf("headers (-want +got)\n%s", diff)
	}
}

// The path is inserted before that of the resource (RFC 9728, section 3.1), and
// a mux finds it there.
func TestWhereMetadataIs(t *testing.T) {
	t.Parallel()
	for identifier, want := range map[string]string{
		"https://mcp.example.com":            "https://mcp.example.com/.well-known/oauth-protected-resource",
		"https://mcp.example.com/":           "https://mcp.example.com/.well-known/oauth-protected-resource",
		"https://mcp.example.com:8443/mcp":   "https://mcp.example.com:8443/.well-known/oauth-protected-resource/mcp",
		"https://mcp.example.com/a/b":        "https://mcp.example.com/.well-known/oauth-protected-resource/a/b",
		"https://mcp.example.com/mcp/":       "https://mcp.example.com/.well-known/oauth-protected-resource/mcp/",
		"https://mcp.example.com/a%2Fb%20c":  "https://mcp.example.com/.well-known/oauth-protected-resource/a%2Fb%20c",
		"https://mcp.example.com/{a}":        "https://mcp.example.com/.well-known/oauth-protected-resource/%7Ba%7D",
		"https://mcp.example.com/mcp?tenant": "https://mcp.example.com/.well-known/oauth-protected-resource/mcp?tenant",
		"https://[2001:db8::1]/mcp":          "https://[2001:db8::1]/.well-known/oauth-protected-resource/mcp",
		"http://localhost:3232/mcp":          "http://localhost:3232/.well-known/oauth-protected-resource/mcp",
	} {
		r, err := NewResource(identifier, &ResourceOptions{Verifier: &tokenBook{}, AuthorizationServers: []string{testIssuer}})
		if err != nil {
			t.Errorf("%s: %v", identifier, err)
			continue
		}
		if got := r.MetadataURL(); got != want {
			t.Errorf("%s: metadata at %s, want %s", identifier, got, want)
		}
		mux := http.NewServeMux()
		mux.Handle(r.MetadataPath(), r.Metadata())
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", want, nil))
		var got struct{ Resource string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Resource != identifier {
			t.Errorf("%s: the metadata's resource is %q (%d)", identifier, got.Resource, w.Code)
		}
	}
}

func TestMethodsOfMetadata(t *testing.T) {
	t.Parallel()
	r := newResource(t, &tokenBook{})
	for method, want := range map[string]int{"HEAD": 200, "OPTIONS": 204, "POST": 405, "DELETE": 405, "PUT": 405} {
		w := httptest.NewRecorder()
		r.Metadata().ServeHTTP(w, httptest.NewRequest(method, r.MetadataPath(), nil))
		if w.Code != want || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
		if allow := w.Header().Get("Allow"); (want == 405) != (allow == "GET, HEAD, OPTIONS") {
			t.Errorf("%s: Allow: %q", method, allow)
		}
	}
}

// Where a client logs in must not be up to who sends a request.
func TestT36_NothingIsDerivedFromTheRequest(t *testing.T) {
	t.Parallel()
	r := newResource(t, &tokenBook{})
	for _, handler := range []http.Handler{r.Metadata(), r.Protect(serving())} {
		response := func(host string, header http.Header) *httptest.ResponseRecorder {
			req := httptest.NewRequest("GET", "http://mcp.example.com"+r.MetadataPath(), nil)
			req.Host, req.Header = host, header
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			return w
		}
		want := response("mcp.example.com", http.Header{})
		for _, host := range []string{"", "evil.example", "mcp.example.com.evil.example", "127.0.0.1:1"} {
			got := response(host, http.Header{
				"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {"1"}, "X-Forwarded-Prefix": {"/evil"},
				"Forwarded": {"host=evil.example;proto=http"}, "X-Original-Url": {"/evil"}, "X-Forwarded-Server": {"evil.example"},
			})
			if diff := cmp.Diff(want.Header(), got.Header()); diff != "" || got.Body.String() != want.Body.String() || got.Code != want.Code {
				t.Errorf("as host %q: %d %s\n%s", host, got.Code, got.Body, diff)
			}
		}
	}
}
