package server

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// seal encrypts data that only a request with that secret may read. Redis has
// the hash of the secret and the sealed data, so it cannot read it either.
func seal(secret, context string, data []byte) []byte {
	return sealer(secret, context).Seal(nil, nil, data, nil)
}

// unseal decrypts what seal returned for the same secret and context.
func unseal(secret, context string, sealed []byte) ([]byte, error) {
	data, err := sealer(secret, context).Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	return data, nil
}

func sealer(secret, context string) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "mcpfleet sealed data "+context, 32)
	if err != nil {
		panic(err) // 32 bytes are never too many for HKDF-SHA256
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 32 bytes are a key of AES-256
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has GCM's block size
	}
	return aead
}
