package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
)

// secretBytes is how many random bytes are in whatever must not be guessed.
const secretBytes = 32

// HashSecret returns the hash that a [Client] or [ResourceServer] is configured
// with in place of its secret. The secret must be random, of at least 128 bits.
// It should consist of letters, digits, - and _ only, because clients differ in
// how they encode other characters.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// isHash reports whether text could be what HashSecret returned.
func isHash(text string) bool { return hashPattern.MatchString(text) }

// random returns n random bytes in base64url.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// isRandom reports whether text could be what random(n) returned. The decoder
// ignores line breaks; the check of the length does not.
func isRandom(text string, n int) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(b) == n && len(text) == base64.RawURLEncoding.EncodedLen(n)
}
