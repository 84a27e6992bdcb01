package server

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// A kind says what a secret of ours is for. It is the secret's first part, so
// that none is taken for another, and so that scanners find one that leaked.
type kind string

const (
	codeKind    kind = "mcpc"
	accessKind  kind = "mcpa"
	refreshKind kind = "mcpr"
)

// A secret is what a client holds of a grant: a code, an access or a refresh
// token. The grant's id in it names the one key in Redis that knows all about
// it; OAuth 2.1, section 4.3.1, allows for that.
type secret struct {
	kind  kind
	grant string
	value string // 32 bytes nobody can guess, of a refresh token its family before them
	// digest is the hash of a secret of which nothing else is known.
	digest string
}

const (
	grantIDBytes = 16
	secretBytes  = 32
	familyBytes  = 18 // in base64url 24 characters and no bit over
	familyChars  = 24
)

func newSecret(k kind, grant string) secret {
	return secret{kind: k, grant: grant, value: random(sizeOf(k))}
}

func sizeOf(k kind) int {
	if k == refreshKind {
		return familyBytes + secretBytes
	}
	return secretBytes
}

// family returns the hash of what all refresh tokens of a grant, and nothing
// else, have in common. One that has it and is not good any more was replaced,
// however long ago and however often since: nobody has to remember which.
func (s secret) family() string {
	return HashSecret(string(s.kind) + "." + s.grant + "." + s.value[:familyChars])
}

// next returns the refresh token that follows s. Who has s cannot tell it
// without the salt, nor who has the salt without s; who has both gets the same
// one each time, so a client that lost the answer can ask again.
func (s secret) next(salt string) secret {
	key, err := hkdf.Key(sha256.New, []byte(s.value), []byte(salt), "mcpfleet refresh token", secretBytes)
	if err != nil {
		panic(err) // 32 bytes are never too many for HKDF-SHA256
	}
	return secret{kind: refreshKind, grant: s.grant, value: s.value[:familyChars] + base64.RawURLEncoding.EncodeToString(key)}
}

// seal encrypts what only a request with a certain secret may read: of the secret
// Redis has no more than the hash, so it has nothing of the data either.
func seal(secret, context string, data []byte) []byte {
	return sealer(secret, context).Seal(nil, nil, data, nil)
}

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

// String returns the secret as its holder gets it.
func (s secret) String() string { return string(s.kind) + "." + s.grant + "." + s.value }

// hash returns what Redis keeps of the secret. There are 256 random bits in it,
// so no salt and no slow hash would add anything.
func (s secret) hash() string {
	if s.digest != "" {
		return s.digest
	}
	return HashSecret(s.String())
}

// parseSecret reports whether text has the form of a secret of that kind.
func parseSecret(k kind, text string) (secret, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != string(k) || !isRandom(parts[1], grantIDBytes) || !isRandom(parts[2], sizeOf(k)) {
		return secret{}, false
	}
	return secret{kind: k, grant: parts[1], value: parts[2]}, true
}

// HashSecret returns the hash that a [Client] or [ResourceServer] is configured
// with in place of its secret. The secret must be random, of at least 128 bits.
// It should consist of letters, digits, - and _ only, because clients differ in
// how they encode other characters.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// random returns n random bytes in base64url.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// isRandom reports whether text could be what random(n) returned. Its length
// tells of line breaks, which the decoder would pass over.
func isRandom(text string, n int) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(b) == n && len(text) == base64.RawURLEncoding.EncodedLen(n)
}
