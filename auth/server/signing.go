package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A SigningKey signs access tokens.
//
// To replace a key without refusing a token, take three steps, each on all
// instances before the next: publish the new key after the old one; put the
// new one first; and, when the last token of the old key has expired (see
// [Options.AccessTokenTTL]), remove the old one.
type SigningKey struct {
	// ID is the key's id in the published key set. It must be unique, also
	// among keys that were used before.
	ID string
	// Key is an ECDSA P-256 (ES256), an Ed25519 (EdDSA) or an RSA key of at
	// least 2048 bits (RS256). It may be in a security module.
	Key crypto.Signer
}

// signer makes access tokens that are JWTs (RFC 9068), and recognizes them.
type signer struct {
	issuer     string
	sign       jose.Signer
	keys       jose.JSONWebKeySet // the public parts
	algorithms []jose.SignatureAlgorithm
}

// newSigner returns the signer with these keys, nil if there are none.
func newSigner(issuer string, signing []SigningKey) (*signer, error) {
	if len(signing) == 0 {
		return nil, nil
	}
	s := &signer{issuer: issuer}
	for _, k := range signing {
		if k.ID == "" || len(s.keys.Key(k.ID)) > 0 {
			return nil, fmt.Errorf("Options.SigningKeys: key ID %q is empty or there twice", k.ID)
		}
		algorithm, err := algorithmOf(k.Key)
		if err != nil {
			return nil, fmt.Errorf("Options.SigningKeys: key %q %w", k.ID, err)
		}
		s.keys.Keys = append(s.keys.Keys, jose.JSONWebKey{Key: k.Key.Public(), KeyID: k.ID, Algorithm: string(algorithm), Use: "sig"})
		s.algorithms = append(s.algorithms, algorithm)
	}
	first := jose.SigningKey{Algorithm: s.algorithms[0], Key: cryptosigner.Opaque(signing[0].Key)}
	var err error
	s.sign, err = jose.NewSigner(first, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", signing[0].ID))
	if err != nil {
		return nil, fmt.Errorf("Options.SigningKeys: key %q: %w", signing[0].ID, err)
	}
	return s, nil
}

// algorithmOf returns the algorithm that a key signs with.
func algorithmOf(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	if key == nil {
		return "", errors.New("is nil")
	}
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			return jose.ES256, nil
		}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	case *rsa.PublicKey:
		if public.N.BitLen() >= 2048 {
			return jose.RS256, nil
		}
	}
	return "", errors.New("is neither ECDSA P-256 nor Ed25519 nor RSA of at least 2048 bits")
}

// accessClaims are those of RFC 9068, section 2.2.
type accessClaims struct {
	jwt.Claims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope,omitempty"`
}

// token returns an access token as a JWT. Its jti names the token's record: the id
// of the grant and the hash of an opaque token that is not given to anyone. A jti
// that was logged somewhere is therefore useless to an attacker.
func (s *signer) token(access credential, g grant, a access, life time.Duration) (string, error) {
	now := time.Now()
	return jwt.Signed(s.sign).Claims(accessClaims{
		Claims: jwt.Claims{
			Issuer: s.issuer, Subject: g.Subject, Audience: a.Resources, ID: access.grant + "." + access.hash(),
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
		},
		ClientID: g.Client, Scope: strings.Join(a.Scopes, " "),
	}).Serialize()
}

// maxJWT bounds what is parsed as a token.
const maxJWT = 16 << 10

// parse returns the credential of a JWT, which finds its record, and when the JWT
// expires. ok is false unless one of our keys signed it as an access token.
func (s *signer) parse(text string) (access credential, until time.Time, ok bool) {
	if s == nil || len(text) > maxJWT {
		return access, until, false
	}
	token, err := jwt.ParseSigned(text, s.algorithms)
	if err != nil || len(token.Headers) != 1 || token.Headers[0].ExtraHeaders[jose.HeaderType] != "at+jwt" {
		return access, until, false
	}
	var c accessClaims
	for _, key := range s.keys.Key(token.Headers[0].KeyID) {
		if key.Algorithm != token.Headers[0].Algorithm || token.Claims(key.Key, &c) != nil {
			continue
		}
		id, hash, _ := strings.Cut(c.ID, ".")
		ok = c.Issuer == s.issuer && c.Expiry != nil && isRandom(id, grantIDBytes) && isHash(hash)
		return credential{kind: accessKind, grant: id, digest: hash}, c.Expiry.Time(), ok
	}
	return access, until, false
}

// accessToken returns the credential of an access token, opaque or signed, and when
// a signed one expires; that is zero for an opaque one.
func (s *Server) accessToken(text string) (credential, time.Time, bool) {
	if access, ok := parseCredential(accessKind, text); ok {
		return access, time.Time{}, true
	}
	return s.signer.parse(text)
}

// jwks serves the keys that access tokens are signed with (RFC 7517).
func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.signer.keys)
}
