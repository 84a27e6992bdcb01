package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	jwtIssuer   = "https://issuer.example"
	jwtResource = "https://mcp.example/mcp"
)

// keyOf makes keys once: RSA ones are slow to make.
var (
	rsaKey   = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	smallKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newECKey() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// An issuerStub publishes keys, without a network.
type issuerStub struct {
	mu      sync.Mutex
	keys    []any // JWKs, or what is none
	down    error // what a fetch fails with
	status  int
	hang    bool // until the fetch gives up
	fetched int
}

// set changes what the issuer does.
func (i *issuerStub) set(f func(i *issuerStub)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(i)
}

func (i *issuerStub) fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetched
}

// RoundTrip implements [http.RoundTripper].
func (i *issuerStub) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.fetched++
	down, status, hang, keys := i.down, i.status, i.hang, slices.Clone(i.keys)
	i.mu.Unlock()
	if hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if down != nil {
		return nil, down
	}
	if status == 0 {
		status = http.StatusOK
	}
	body, err := json.Marshal(map[string]any{"keys": keys})
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(body))), Request: r,
	}, err
}

func (i *issuerStub) verifier(t *testing.T, change ...func(*JWTOptions)) Verifier {
	t.Helper()
	o := &JWTOptions{Issuer: jwtIssuer, JWKSURI: jwtIssuer + "/jwks", HTTPClient: &http.Client{Transport: i}}
	for _, f := range change {
		f(o)
	}
	v, err := NewJWTVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func jwk(id string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{KeyID: id, Key: key.Public()}
}

// A claimSet is what a test's token says; nil is left out.
type claimSet map[string]any

func goodClaims(change ...func(claimSet)) claimSet {
	now := time.Now().Unix()
	c := claimSet{
		"iss": jwtIssuer, "sub": "alice", "aud": jwtResource, "client_id": "client", "scope": "read write",
		"iat": now, "exp": now + 600, "jti": "1",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// signed returns a token; typ is left out if it is empty.
func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, kid, typ string, claims claimSet) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	if typ != "" {
		opts.WithType(jose.ContentType(typ))
	}
	if kid != "" {
		opts.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	return must(jws.CompactSerialize())
}

func TestASignedTokenSaysWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	ec, ed := newECKey(), must2(ed25519.GenerateKey(rand.Reader))
	i := &issuerStub{keys: []any{
		// A sort of key that is not known must not spoil the others.
		map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AAAA"},
		map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "k1", "x": "AA", "y": "AA"},
		"no key", nil,
		jwk("ec", ec), jwk("rsa", rsaKey()), jwk("ed", ed),
	}}
	v := i.verifier(t)
	for name, text := range map[string]string{
		"ES256":     signed(t, jose.ES256, ec, "ec", "at+jwt", goodClaims()),
		"RS256":     signed(t, jose.RS256, rsaKey(), "rsa", "AT+JWT", goodClaims()),
		"PS256":     signed(t, jose.PS256, rsaKey(), "rsa", "application/at+jwt", goodClaims()),
		"EdDSA":     signed(t, jose.EdDSA, ed, "ed", "at+jwt", goodClaims()),
		"no kid":    signed(t, jose.ES256, ec, "", "at+jwt", goodClaims()),
		"scopes":    signed(t, jose.ES256, ec, "ec", "at+jwt", goodClaims(func(c claimSet) { c["scope"] = []string{"read", "write"} })),
		"audiences": signed(t, jose.ES256, ec, "ec", "at+jwt", goodClaims(func(c claimSet) { c["aud"] = []string{jwtResource} })),
		"early":     signed(t, jose.ES256, ec, "ec", "at+jwt", goodClaims(func(c claimSet) { c["nbf"] = time.Now().Unix() + 5 })),
	} {
		token, err := v.Verify(t.Context(), text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token.UserID() != jwtIssuer+"\x00alice" || token.ClientID != "client" || !slices.Equal(token.Scopes, []string{"read", "write"}) ||
			!slices.Equal(token.Audience, []string{jwtResource}) || !token.Expires.After(time.Now()) {
			t.Errorf("%s: %+v", name, token)
		}
	}
	if n := i.fetches(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func must2(_ ed25519.PublicKey, key ed25519.PrivateKey, err error) crypto.Signer {
	return must(key, err)
}

func TestT25_AJWTThatIsNoAccessTokenOfTheIssuerIsRefused(t *testing.T) {
	t.Parallel()
	ec, other := newECKey(), newECKey()
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	encryption := jwk("enc", other)
	encryption.Use = "enc"
	fixed := jwk("fixed", rsaKey())
	fixed.Algorithm = "RS256"
	i := &issuerStub{keys: []any{
		jwk("ec", ec), jwk("rsa", rsaKey()), encryption, fixed, jwk("small", smallKey()), jwk("p384", p384),
		map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))},
	}}
	v := i.verifier(t)
	good := signed(t, jose.ES256, ec, "ec", "at+jwt", goodClaims())
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	with := func(change func(claimSet)) string {
		return signed(t, jose.ES256, ec, "ec", "at+jwt", goodClaims(change))
	}
	now := time.Now().Unix()
	pkix := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	modulus := rsaKey().Public().(*rsa.PublicKey).N.Bytes()
	embedded := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: other},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("at+jwt")))
	for name, text := range map[string]string{
		"nothing":                  "",
		"opaque":                   "mcpa_x",
		"two parts":                parts[0] + "." + parts[1],
		"alg none":                 b64([]byte(`{"alg":"none","typ":"at+jwt","kid":"ec"}`)) + "." + parts[1] + ".",
		"alg None with signature":  b64([]byte(`{"alg":"None","typ":"at+jwt","kid":"ec"}`)) + "." + parts[1] + "." + parts[2],
		"no signature":             parts[0] + "." + parts[1] + ".",
		"HS256 with public key":    signed(t, jose.HS256, pkix, "rsa", "at+jwt", goodClaims()),
		"HS256 with modulus":       signed(t, jose.HS256, modulus, "rsa", "at+jwt", goodClaims()),
		"HS256 with published key": signed(t, jose.HS256, []byte(strings.Repeat("k", 32)), "oct", "at+jwt", goodClaims()),
		"kid of another key":       signed(t, jose.ES256, ec, "p384", "at+jwt", goodClaims()),
		"kid of another sort":      signed(t, jose.ES256, ec, "rsa", "at+jwt", goodClaims()),
		"unknown kid":              signed(t, jose.ES256, ec, "unknown", "at+jwt", goodClaims()),
		"another key":              signed(t, jose.ES256, other, "ec", "at+jwt", goodClaims()),
		"another key, no kid":      signed(t, jose.ES256, other, "", "at+jwt", goodClaims()),
		"a key of its own":         must(must(embedded.Sign(must(json.Marshal(goodClaims())))).CompactSerialize()),
		"key for encryption":       signed(t, jose.ES256, other, "enc", "at+jwt", goodClaims()),
		"key for another alg":      signed(t, jose.PS256, rsaKey(), "fixed", "at+jwt", goodClaims()),
		"a weak key":               signed(t, jose.RS256, smallKey(), "small", "at+jwt", goodClaims()),
		"alg not allowed":          signed(t, jose.ES384, p384, "p384", "at+jwt", goodClaims()),
		"changed":                  parts[0] + "." + b64(must(json.Marshal(goodClaims(func(c claimSet) { c["sub"] = "bob" })))) + "." + parts[2],
		"typ JWT":                  signed(t, jose.ES256, ec, "ec", "JWT", goodClaims()),
		"no typ":                   signed(t, jose.ES256, ec, "ec", "", goodClaims()),
		"typ of an ID-JAG":         signed(t, jose.ES256, ec, "ec", "oauth-id-jag+jwt", goodClaims()),
		"an ID token": signed(t, jose.ES256, ec, "ec", "JWT", goodClaims(func(c claimSet) {
			c["aud"], c["nonce"], c["azp"] = "client", "n", "client"
			delete(c, "client_id")
		})),
		"expired":            with(func(c claimSet) { c["exp"] = now }),
		"expired long ago":   with(func(c claimSet) { c["exp"], c["iat"] = now-3600, now-7200 }),
		"no exp":             with(func(c claimSet) { delete(c, "exp") }),
		"exp a string":       with(func(c claimSet) { c["exp"] = "never" }),
		"exp without end":    with(func(c claimSet) { c["exp"] = 1e300 }),
		"not yet":            with(func(c claimSet) { c["nbf"] = now + 60 }),
		"from the future":    with(func(c claimSet) { c["iat"] = now + 60 }),
		"other issuer":       with(func(c claimSet) { c["iss"] = "https://other.example" }),
		"issuer and a slash": with(func(c claimSet) { c["iss"] = jwtIssuer + "/" }),
		"issuer in capitals": with(func(c claimSet) { c["iss"] = strings.ToUpper(jwtIssuer) }),
		"no issuer":          with(func(c claimSet) { delete(c, "iss") }),
		"no subject":         with(func(c claimSet) { delete(c, "sub") }),
		"Sub, not sub":       with(func(c claimSet) { delete(c, "sub"); c["Sub"] = "alice" }),
		"too long":           with(func(c claimSet) { c["more"] = strings.Repeat("x", maxToken) }),
	} {
		if token, err := v.Verify(t.Context(), text); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %+v, %v", name, token, err)
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("a good token: %v", err)
	}
	if _, err := i.verifier(t, func(o *JWTOptions) { o.AnyType = true }).Verify(t.Context(), signed(t, jose.ES256, ec, "ec", "JWT", goodClaims())); err != nil {
		t.Errorf("AnyType: %v", err)
	}
}

func TestJWTOptionsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*JWTOptions{
		"Issuer":            {JWKSURI: "https://issuer.example/jwks"},
		"JWKSURI":           {Issuer: jwtIssuer},
		"https URL":         {Issuer: jwtIssuer, JWKSURI: "file:///etc/keys"},
		"HS256":             {Issuer: jwtIssuer, JWKSURI: "https://issuer.example/jwks", Algorithms: []string{"ES256", "HS256"}},
		`"none"`:            {Issuer: jwtIssuer, JWKSURI: "https://issuer.example/jwks", Algorithms: []string{"none"}},
		"Issuer is empty":   nil,
		"Algorithms: \"\" ": {Issuer: jwtIssuer, JWKSURI: "https://issuer.example/jwks", Algorithms: []string{""}},
	} {
		if _, err := NewJWTVerifier(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestT42_WithoutKeysNoTokenIsCalledInvalid(t *testing.T) {
	t.Parallel()
	ec := newECKey()
	for name, trouble := range map[string]func(*issuerStub){
		"down":      func(i *issuerStub) { i.down = io.ErrUnexpectedEOF },
		"503":       func(i *issuerStub) { i.status = 503 },
		"404":       func(i *issuerStub) { i.status = 404 },
		"redirects": func(i *issuerStub) { i.status = 302 },
		"hangs":     func(i *issuerStub) { i.hang = true },
		// As a gateway says that something is wrong behind it.
		"no key set": func(i *issuerStub) { i.keys = nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			i := &issuerStub{keys: []any{jwk("ec", ec)}}
			i.set(trouble)
			v := i.verifier(t)
			good := signed(t, jose.ES256, ec, "ec", "at+jwt", goodClaims())
			for range 5 {
				start := time.Now()
				if _, err := v.Verify(t.Context(), good); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalidToken) {
					t.Errorf("%s: %v", name, err)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("%s: took %v", name, took)
				}
			}
			if n := i.fetches(); n != 1 {
				t.Errorf("%s: %d fetches at once", name, n)
			}
			i.set(func(i *issuerStub) { i.down, i.status, i.hang, i.keys = nil, 0, false, []any{jwk("ec", ec)} })
			time.Sleep(10*time.Second + 1)
			if _, err := v.Verify(t.Context(), good); err != nil {
				t.Errorf("%s, when it is over: %v", name, err)
			}
		})
	}
}

func TestWhoWaitsForKeysMayGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &issuerStub{hang: true}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := i.verifier(t).Verify(ctx, signed(t, jose.ES256, newECKey(), "ec", "at+jwt", goodClaims()))
		if !errors.Is(err, ErrUnavailable) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(time.Minute) // the fetch gives up too
	})
}

func TestKeysAreFetchedOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ec := newECKey()
		i := &issuerStub{keys: []any{jwk("ec", ec)}}
		v := i.verifier(t)
		flood := func() {
			var wg sync.WaitGroup
			for n := range 50 {
				wg.Go(func() {
					kid, want := "ec", error(nil)
					if n%2 == 1 {
						kid, want = rand.Text(), ErrInvalidToken
					}
					if _, err := v.Verify(t.Context(), signed(t, jose.ES256, ec, kid, "at+jwt", goodClaims())); !errors.Is(err, want) {
						t.Errorf("kid %s: %v", kid, err)
					}
				})
			}
			wg.Wait()
		}
		flood()
		flood()
		if n := i.fetches(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		time.Sleep(10*time.Second + 1)
		flood()
		if n := i.fetches(); n != 2 {
			t.Errorf("%d fetches, 10 seconds later", n)
		}
	})
}

func TestT41_AVerifierFollowsTheRotationOfKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := newECKey(), newECKey()
		i := &issuerStub{keys: []any{jwk("1", first)}}
		v := i.verifier(t)
		verify := func(key crypto.Signer, kid string) error {
			_, err := v.Verify(t.Context(), signed(t, jose.ES256, key, kid, "at+jwt", goodClaims()))
			return err
		}
		if err := verify(first, "1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		i.set(func(i *issuerStub) { i.keys = []any{jwk("1", first), jwk("2", second)} })
		if err := errors.Join(verify(second, "2"), verify(first, "1")); err != nil {
			t.Errorf("during the overlap: %v", err)
		}
		i.set(func(i *issuerStub) { i.keys = []any{jwk("2", second)} })
		// Nothing asks for new keys, so the old one goes on until they are due.
		time.Sleep(10*time.Minute + 1)
		if err := verify(second, "2"); err != nil {
			t.Errorf("after the overlap: %v", err)
		}
		synctest.Wait()
		if err := verify(first, "1"); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("the old key, after the overlap: %v", err)
		}
	})
}

func TestKnownKeysGoOnWhileTheyCannotBeFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ec := newECKey()
		i := &issuerStub{keys: []any{jwk("ec", ec)}}
		v := i.verifier(t)
		verify := func(kid string) error {
			start := time.Now()
			_, err := v.Verify(t.Context(), signed(t, jose.ES256, ec, kid, "at+jwt", goodClaims()))
			if took := time.Since(start); kid == "ec" && took > 0 && i.fetches() > 1 {
				t.Errorf("a known key took %v", took)
			}
			return err
		}
		if err := verify("ec"); err != nil {
			t.Fatal(err)
		}
		i.set(func(i *issuerStub) { i.hang = true })
		for range 10 {
			time.Sleep(5 * time.Minute)
			if err := verify("ec"); err != nil {
				t.Errorf("a known key: %v", err)
			}
		}
		if err := verify("new"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("an unknown key: %v", err)
		}
	})
}
