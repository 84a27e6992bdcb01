package auth_test

import (
	"context"
	"log"
	"net/http"

	"github.com/mcpfleet/mcpfleet/auth"
)

// Tokens of an identity provider that issues JWTs are verified by the keys that
// it publishes.
func ExampleNewJWTVerifier() {
	const issuer = "https://login.example.com"
	verifier, err := auth.NewJWTVerifier(&auth.JWTOptions{
		Issuer:  issuer,
		JWKSURI: issuer + "/.well-known/jwks.json", // jwks_uri in its metadata
	})
	if err != nil {
		log.Fatal(err)
	}
	resource, err := auth.NewResource("https://mcp.example.com/mcp", &auth.ResourceOptions{
		Verifier:             verifier,
		AuthorizationServers: []string{issuer},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", resource.Protect(http.NotFoundHandler())) // your MCP handler
	mux.Handle(resource.MetadataPath(), resource.Metadata())
}

// Opaque tokens are verified by asking the authorization server, which knows
// also of those that were revoked.
func ExampleNewIntrospector() {
	const issuer = "https://auth.example.com"
	verifier, err := auth.NewIntrospector(&auth.IntrospectorOptions{
		Issuer:       issuer,
		Endpoint:     issuer + "/introspect", // introspection_endpoint in its metadata
		ClientID:     "mcp",
		ClientSecret: "from your secret store",
	})
	if err != nil {
		log.Fatal(err)
	}
	resource, err := auth.NewResource("https://mcp.example.com/mcp", &auth.ResourceOptions{
		Verifier:             verifier,
		AuthorizationServers: []string{issuer},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", resource.Protect(http.NotFoundHandler())) // your MCP handler
	mux.Handle(resource.MetadataPath(), resource.Metadata())
}

// Of an authorization server one needs to know nothing but its issuer.
func ExampleDiscoverVerifier() {
	const issuer = "https://login.example.com"
	verifier, err := auth.DiscoverVerifier(context.Background(), issuer, &auth.DiscoverOptions{
		ClientID:     "mcp",
		ClientSecret: "from your secret store", // without it, tokens must be JWTs
	})
	if err != nil {
		log.Fatal(err)
	}
	resource, err := auth.NewResource("https://mcp.example.com/mcp", &auth.ResourceOptions{
		Verifier:             verifier,
		AuthorizationServers: []string{issuer},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", resource.Protect(http.NotFoundHandler())) // your MCP handler
	mux.Handle(resource.MetadataPath(), resource.Metadata())
}
