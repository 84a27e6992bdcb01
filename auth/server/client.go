package server

import "time"

// A Client is who asks for tokens: pre-registered ([Options.Clients]),
// registered by itself (RFC 7591), or described by a document at its id (OAuth
// Client ID Metadata Document).
type Client struct {
	// ID is the client identifier. One that begins with https:// is the URL of
	// the client's document.
	ID string
	// Name is shown to users.
	Name string
	// RedirectURIs are compared exactly, but for the port of loopback ones
	// (OAuth 2.1, section 2.3.1).
	RedirectURIs []string
	// GrantTypes are those of authorization_code, refresh_token and
	// client_credentials that the client may use. If empty, the first two.
	GrantTypes []string
	// Scopes are all that a pre-registered client may ask for, and what another
	// one gets that asks for none. If empty, all there are.
	Scopes []string
	// AuthMethod is how the client proves who it is at the token endpoint: one
	// of none, client_secret_basic, client_secret_post and private_key_jwt.
	// A client with a secret may use either of the two ways.
	AuthMethod string
	// SecretHash is the SHA-256, in hex, of the client's secret; see
	// [HashSecret].
	SecretHash string
	// SecretExpires is when the secret ends; zero is never.
	SecretExpires time.Time
	// JWKS is the client's public keys as a JWK set, for private_key_jwt, and
	// JWKSURI where they are fetched from if JWKS is empty.
	JWKS    []byte
	JWKSURI string

	// proofOptional says that the client may also do without AuthMethod, as its
	// document says: then it is as any public client.
	proofOptional bool
}
