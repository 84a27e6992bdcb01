package server

import "time"

// A Client is an OAuth client: pre-registered ([Options.Clients]), registered
// dynamically (RFC 7591, section 3), or described by a client ID metadata document.
type Client struct {
	// ID is the client identifier. One that begins with https:// is the URL of
	// the client's document.
	ID string
	// Name is shown to users.
	Name string
	// RedirectURIs are compared exactly, except for the port of loopback URIs
	// (OAuth 2.1, section 2.3.1).
	RedirectURIs []string
	// GrantTypes are those of authorization_code, refresh_token and
	// client_credentials that the client may use. If empty, the first two.
	GrantTypes []string
	// Scopes are the scopes that a pre-registered client may ask for, and those
	// that any other client gets if it asks for none. If empty, all there are.
	Scopes []string
	// AuthMethod is how the client authenticates at the token endpoint: none,
	// client_secret_basic, client_secret_post or private_key_jwt. A client with
	// a secret may send it in either way.
	AuthMethod string
	// SecretHash is the SHA-256, in hex, of the client's secret; see
	// [HashSecret].
	SecretHash string
	// SecretExpires is when the secret expires; zero is never.
	SecretExpires time.Time
	// JWKS is the client's public keys as a JWK Set, for private_key_jwt. If it
	// is empty, they are fetched from JWKSURI.
	JWKS    []byte
	JWKSURI string

	// proofOptional says that the client need not authenticate by AuthMethod,
	// because its document offers none as well. Then it counts as a public client.
	proofOptional bool
}
