package server

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestParseSigningKeyAcceptsTheKeysThatSign(t *testing.T) {
	t.Parallel()
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, key := range []crypto.Signer{p256, ed, must(rsa.GenerateKey(rand.Reader, 2048))} {
		data := pemOf(t, key)
		one, err := ParseSigningKey(data)
		if err != nil {
			t.Errorf("%T: %v", key, err)
			continue
		}
		again, err := ParseSigningKey(data)
		if err != nil || one.ID == "" || one.ID != again.ID || ids[one.ID] {
			t.Errorf("%T has the IDs %q and %q, %v", key, one.ID, again.ID, err)
		}
		ids[one.ID] = true
		if _, err := newSigner("https://issuer.example", []SigningKey{one}); err != nil {
			t.Errorf("%T: %v", key, err)
		}
	}
}

func TestParseSigningKeyRefusesOthers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"text":   {[]byte("not a key"), "no PEM block"},
		"PKCS 1": {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x")}), "not a PKCS #8 private key"},
		"P-384":  {pemOf(t, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))), "neither ECDSA P-256"},
		"X25519": {pemOf(t, must(ecdh.X25519().GenerateKey(rand.Reader))), "cannot sign"},
	} {
		if _, err := ParseSigningKey(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
