package server

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// A kind says what a credential is for. It is the credential's first part, so
// that none is taken for one of another kind, and so that scanners find leaked
// ones.
type kind string

const (
	codeKind    kind = "mcpc"
	accessKind  kind = "mcpa"
	refreshKind kind = "mcpr"
)

// A credential is what a client has of a grant: a code, an access token or a
// refresh token. It contains the id of the grant, under which Redis has all that
// there is to know about it; OAuth 2.1, section 4.3.1, allows for that.
type credential struct {
	kind  kind
	grant string
	// value is 32 random bytes, in a refresh token after the family's random bytes.
	value string
	// digest is the hash of a credential of which nothing else is known.
	digest string
}

const (
	grantIDBytes = 16
	familyBytes  = 18 // in base64url 24 characters and no bit over
	familyChars  = 24
)

func newCredential(k kind, grant string) credential {
	return credential{kind: k, grant: grant, value: random(sizeOf(k))}
}

// parseCredential reports whether text has the form of a credential of that
// kind.
func parseCredential(k kind, text string) (credential, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != string(k) || !isRandom(parts[1], grantIDBytes) || !isRandom(parts[2], sizeOf(k)) {
		return credential{}, false
	}
	return credential{kind: k, grant: parts[1], value: parts[2]}, true
}

// sizeOf returns how many random bytes are in the value of a credential.
func sizeOf(k kind) int {
	if k == refreshKind {
		return familyBytes + secretBytes
	}
	return secretBytes
}

// String returns the credential as its holder gets it.
func (c credential) String() string { return string(c.kind) + "." + c.grant + "." + c.value }

// hash returns what Redis stores of the credential. There are 256 random bits in
// it, so no salt and no slow hash would add anything.
func (c credential) hash() string {
	if c.digest != "" {
		return c.digest
	}
	return HashSecret(c.String())
}

// family returns the hash of the part that all refresh tokens of a grant have in
// common, and nothing else has. A token that has it and is not the current one
// was replaced, however long ago: no list of replaced tokens is needed.
func (c credential) family() string {
	return HashSecret(string(c.kind) + "." + c.grant + "." + c.value[:familyChars])
}

// next returns the refresh token that follows c. Deriving it needs both c and the
// salt, and gives the same token each time, so that a client that lost a response
// can ask again.
func (c credential) next(salt string) credential {
	key, err := hkdf.Key(sha256.New, []byte(c.value), []byte(salt), "mcpfleet refresh token", secretBytes)
	if err != nil {
		panic(err) // 32 bytes are never too many for HKDF-SHA256
	}
	return credential{kind: refreshKind, grant: c.grant, value: c.value[:familyChars] + base64.RawURLEncoding.EncodeToString(key)}
}
