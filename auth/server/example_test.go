package server_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/auth/server"
)

// newClient stands for the client of your Redis.
func newClient() (client rueidis.Client, stop func()) {
	redis, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	client, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis.Addr()}, DisableCache: true})
	if err != nil {
		log.Fatal(err)
	}
	return client, func() { client.Close(); redis.Close() }
}

// company stands for your identity provider; see also server.NewOAuth2Upstream.
type company struct{}

func (company) Begin(_ context.Context, state string) (*url.URL, []byte, error) {
	location, err := url.Parse("https://login.example/?state=" + url.QueryEscape(state))
	return location, nil, err
}

func (company) End(context.Context, *http.Request, []byte) (server.Login, error) {
	return server.Login{Subject: "alice"}, nil
}

// An MCP endpoint and the authorization server that its clients log in to, in
// one process. Any number of such processes share the Redis.
func ExampleNew() {
	client, stop := newClient()
	defer stop()
	const base = "https://mcp.example"

	authorization, err := server.New(&server.Options{
		Redis:     client,
		Issuer:    base,
		Resources: []string{base + "/mcp"},
		Scopes:    []server.Scope{{Name: "notes", Description: "read and change your notes"}},
		Upstream:  company{},
	})
	if err != nil {
		log.Fatal(err)
	}
	resource, err := auth.NewResource(base+"/mcp", &auth.ResourceOptions{
		Verifier:             authorization,
		AuthorizationServers: []string{base},
		Scopes:               []string{"notes"},
	})
	if err != nil {
		log.Fatal(err)
	}

	endpoint := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", auth.TokenFromContext(r.Context()).Subject)
	})
	mux := http.NewServeMux()
	mux.Handle("/mcp", resource.Protect(endpoint))
	mux.Handle(resource.MetadataPath(), resource.Metadata())
	authorization.Handle(mux)

	// A client without a token learns that it needs one.
	response := httptest.NewRecorder()
	mux.ServeHTTP(response, httptest.NewRequest(http.MethodPost, base+"/mcp", nil))
	fmt.Println(response.Code)
	// Output: 401
}

// Limits that are not set do not bound, so begin with the defaults.
func ExampleDefaultLimits() {
	limits := server.DefaultLimits()
	limits.Register = server.Rate{Requests: 10, Per: time.Hour}
	fmt.Println(limits.Register.Requests, limits.Authorize.Requests)
	// Output: 10 100
}

// The secret is made once, by a generator of random bytes, and given to the
// client; the configuration has its hash only.
func ExampleHashSecret() {
	ours := server.Client{
		ID:           "backoffice",
		Name:         "Back office",
		RedirectURIs: []string{"https://backoffice.example/callback"},
		AuthMethod:   "client_secret_basic",
		SecretHash:   server.HashSecret("Zl7wT0cX9m4qB2nK8sR5vY1aE6hJ3uDf"),
	}
	fmt.Println(len(ours.SecretHash))
	// Output: 64
}
