package server

import "crypto"

// A SigningKey signs access tokens.
type SigningKey struct {
	// ID is the key's id in the published key set. It must be unique.
	ID string
	// Key is an ECDSA P-256 (ES256), an Ed25519 (EdDSA) or an RSA key of at
	// least 2048 bits (RS256). It may be in a security module.
	Key crypto.Signer
}
