package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/mcpfleet/mcpfleet/auth"
)

// Any verifier will do: auth/server has one for our own authorization server,
// and this package has two for others.
type oneToken string

func (v oneToken) Verify(_ context.Context, token string) (*auth.Token, error) {
	if token != string(v) {
		return nil, auth.ErrInvalidToken
	}
	return &auth.Token{
		Issuer: "https://login.example.com", Subject: "alice", ClientID: "editor",
		Audience: []string{"https://mcp.example.com/mcp"}, Scopes: []string{"mcp"}, Expires: time.Now().Add(time.Hour),
	}, nil
}

func ExampleNewResource() {
	resource, err := auth.NewResource("https://mcp.example.com/mcp", &auth.ResourceOptions{
		Verifier:             oneToken("secret"),
		AuthorizationServers: []string{"https://login.example.com"},
		Scopes:               []string{"mcp"},
		ScopesSupported:      []string{"mcp", "admin"},
		ScopesFor: func(method, name string) []string {
			if method == "tools/call" && name == "delete" {
				return []string{"admin"}
			}
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	endpoint := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", auth.TokenFromContext(r.Context()).Subject)
		_ = sdkauth.TokenInfoFromContext(r.Context()) // where the SDK's handlers find it
	})
	mux := http.NewServeMux()
	mux.Handle("/mcp", resource.Protect(endpoint)) // of a fleet: handler.Guard(resource.Protect(handler))
	mux.Handle(resource.MetadataPath(), resource.Metadata())

	for _, token := range []string{"", "secret"} {
		r := httptest.NewRequest("GET", "/mcp", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
		if challenge := w.Header().Get("WWW-Authenticate"); challenge != "" {
			fmt.Println(challenge)
		}
	}
	// Output:
	// 401 {"error":"unauthorized","error_description":"an access token is required"}
	//
	// Bearer scope="mcp", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
	// 200 hello, alice
}

func ExampleSecureHeaders() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })

	w := httptest.NewRecorder()
	auth.SecureHeaders("https://mcp.example.com")(mux).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, name := range []string{"Cache-Control", "Referrer-Policy", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options"} {
		fmt.Println(name+":", w.Header().Get(name))
	}
	// Output:
	// Cache-Control: no-store
	// Referrer-Policy: no-referrer
	// Strict-Transport-Security: max-age=31536000
	// X-Content-Type-Options: nosniff
	// X-Frame-Options: DENY
}
