package server

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseSigningKey returns the key in PEM data, PKCS #8 as openssl genpkey writes
// it: ECDSA P-256, Ed25519, or RSA of at least 2048 bits. Its ID is derived from
// the key, so all instances that read the same file agree on it, and it never
// names another key.
func ParseSigningKey(data []byte) (SigningKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return SigningKey{}, errors.New("signing key: there is no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return SigningKey{}, errors.New("signing key: it is not a PKCS #8 private key") // err may quote the key
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return SigningKey{}, fmt.Errorf("signing key: a %T cannot sign", parsed)
	}
	if _, err := algorithmOf(key); err != nil {
		return SigningKey{}, fmt.Errorf("signing key: it %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key: %w", err)
	}
	sum := sha256.Sum256(public)
	return SigningKey{ID: hex.EncodeToString(sum[:8]), Key: key}, nil
}
