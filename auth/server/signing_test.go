package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A module is a key that can only be asked to sign, as in a security module.
type module struct{ key crypto.Signer }

func (m module) Public() crypto.PublicKey { return m.key.Public() }

func (m module) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return m.key.Sign(rand, digest, opts)
}

func withKeys(keys ...SigningKey) func(*Options) {
	return func(o *Options) {
		o.SigningKeys, o.Limits = keys, &Limits{}
		o.Clients = append(o.Clients, robots(jwksOf(newKey()))...)
	}
}

// partOf decodes a part of a JWT.
func partOf(t testing.TB, token string, i int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (fl *fleet) jwtVerifier(t *testing.T) auth.Verifier {
	t.Helper()
	v, err := auth.NewJWTVerifier(&auth.JWTOptions{Issuer: fl.instances[0].opts.Issuer, JWKSURI: fl.url + jwksPath})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAccessTokensMayBeSigned(t *testing.T) {
	t.Parallel()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]SigningKey{"ES256": {"1", newKey()}, "RS256": {"2", rsaKey()}, "EdDSA": {"3", ed}, "ES256, in a module": {"4", module{newKey()}}}
	for alg, key := range keys {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			eachFleet(t, func(t *testing.T, fl *fleet) {
				l := fl.login(t, public, func(q url.Values) { q.Set("scope", "read") })
				access, refresh := l.tokens(t, "alice")
				header, claims := partOf(t, access, 0), partOf(t, access, 1)
				if name, _, _ := strings.Cut(alg, ","); header["alg"] != name || header["typ"] != "at+jwt" || header["kid"] != key.ID || len(header) != 3 {
					t.Errorf("header %v", header)
				}
				if claims["iss"] != fl.url || claims["sub"] != "alice" || claims["client_id"] != "public" || claims["scope"] != "read" ||
					claims["jti"] == "" || claims["exp"].(float64)-claims["iat"].(float64) != 3600 || claims["aud"] != fl.url+"/mcp" {
					t.Errorf("claims %v", claims)
				}
				v := fl.jwtVerifier(t)
				for range 3 {
					for _, one := range []auth.Verifier{fl.instances[0], fl.instances[1], v} {
						token, err := one.Verify(t.Context(), access)
						if err != nil || token.UserID() != fl.url+"\x00alice" || token.ClientID != "public" || !slices.Equal(token.Scopes, []string{"read"}) {
							t.Errorf("%+v, %v", token, err)
						}
					}
					res := l.refresh(t, refresh)
					if res.status != http.StatusOK {
						t.Fatalf("%d %s", res.status, res.body)
					}
					access, refresh = tokensIn(t, res)
				}
			}, withKeys(key))
		})
	}
}

func TestASignedTokenEndsWithItsGrant(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, public)
		revoke := func(token string) {
			if res := l.asClient(t, revokePath, url.Values{"token": {token}}); res.status != http.StatusOK {
				t.Errorf("%d %s", res.status, res.body)
			}
		}
		introspect := func(token string) any {
			res := newBrowser(t).post(t, fl.url+introspectPath, url.Values{"token": {token}}, func(r *http.Request) { r.SetBasicAuth("rs", "rs+secret") })
			return res.json(t)["active"]
		}
		dead := func(what, access string) {
			t.Helper()
			for _, instance := range fl.instances {
				// The other instance may have it in its cache for a moment.
				redistest.Until(t, what, func() bool {
					_, err := instance.Verify(t.Context(), access)
					return errors.Is(err, auth.ErrInvalidToken)
				})
			}
			if introspect(access) != false {
				t.Errorf("%s: active", what)
			}
		}
		access, refresh := l.tokens(t, "alice")
		for _, instance := range fl.instances {
			if _, err := instance.Verify(t.Context(), access); err != nil {
				t.Fatal(err)
			}
		}
		if introspect(access) != true {
			t.Error("a good token is not active")
		}
		next, _ := tokensIn(t, l.refresh(t, refresh))
		revoke(access)
		dead("revoked", access)
		if _, err := fl.instances[0].Verify(t.Context(), next); err != nil {
			t.Errorf("another token of the grant: %v", err)
		}
		revoke(refresh)
		dead("its grant revoked", next)
	}, withKeys(SigningKey{"1", newKey()}))
}

func TestWhatIsNoAccessTokenOfOursIsRefusedThoughItIsSigned(t *testing.T) {
	t.Parallel()
	key, old := newKey(), newKey()
	fl := oneFleet(t, withKeys(SigningKey{"1", key}, SigningKey{"rsa", rsaKey()}))
	access, _ := tokensIn(t, fl.clientCredentials(t, url.Values{}))
	claims := partOf(t, access, 1)
	with := func(name string, v any) map[string]any {
		c := partOf(t, access, 1)
		if c[name] = v; v == nil {
			delete(c, name)
		}
		return c
	}
	at := map[string]string{"typ": "at+jwt", "kid": "1"}
	jti := claims["jti"].(string)
	grantID, hash, _ := strings.Cut(jti, ".")
	modulus := rsaKey().Public().(*rsa.PublicKey).N.Bytes()
	for name, text := range map[string]string{
		"the jti":                 "mcpa." + jti,
		"the jti as a secret":     "mcpa." + grantID + "." + hash[:43],
		"by another key":          sign(t, jose.ES256, old, at, claims),
		"kid of another":          sign(t, jose.ES256, key, map[string]string{"typ": "at+jwt", "kid": "rsa"}, claims),
		"unknown kid":             sign(t, jose.ES256, key, map[string]string{"typ": "at+jwt", "kid": "2"}, claims),
		"no kid":                  sign(t, jose.ES256, key, map[string]string{"typ": "at+jwt"}, claims),
		"typ JWT":                 sign(t, jose.ES256, key, map[string]string{"typ": "JWT", "kid": "1"}, claims),
		"no typ":                  sign(t, jose.ES256, key, map[string]string{"kid": "1"}, claims),
		"HS256 with public key":   sign(t, jose.HS256, modulus, map[string]string{"typ": "at+jwt", "kid": "rsa"}, claims),
		"PS256":                   sign(t, jose.PS256, rsaKey(), map[string]string{"typ": "at+jwt", "kid": "rsa"}, claims),
		"alg none":                base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt","kid":"1"}`)) + "." + strings.Split(access, ".")[1] + ".",
		"another issuer":          sign(t, jose.ES256, key, at, with("iss", "https://other.example")),
		"expired":                 sign(t, jose.ES256, key, at, with("exp", time.Now().Unix())),
		"no exp":                  sign(t, jose.ES256, key, at, with("exp", nil)),
		"no jti":                  sign(t, jose.ES256, key, at, with("jti", nil)),
		"a jti that is none":      sign(t, jose.ES256, key, at, with("jti", "1")),
		"jti of no grant":         sign(t, jose.ES256, key, at, with("jti", random(grantIDBytes)+"."+hash)),
		"jti of no token":         sign(t, jose.ES256, key, at, with("jti", grantID+"."+HashSecret("x"))),
		"jti in capitals":         sign(t, jose.ES256, key, at, with("jti", grantID+"."+strings.ToUpper(hash))),
		"too long":                sign(t, jose.ES256, key, at, with("more", strings.Repeat("x", maxJWT))),
		"changed":                 access[:len(access)-3] + "AAA",
		"jti of the grant's data": sign(t, jose.ES256, key, at, with("jti", grantID+".data")),
	} {
		if token, err := fl.instances[0].Verify(t.Context(), text); !errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("%s: %+v, %v", name, token, err)
		}
	}
	if _, err := fl.instances[1].Verify(t.Context(), sign(t, jose.ES256, key, at, claims)); err != nil {
		t.Errorf("a good one: %v", err)
	}
	// A server without keys knows no signed tokens, and none else.
	plain := newFleet(t, fl.redis, func(o *Options) { o.Prefix, o.Issuer = fl.prefix, fl.url })
	if _, err := plain.instances[0].Verify(t.Context(), access); !errors.Is(err, auth.ErrInvalidToken) {
		t.Errorf("without keys: %v", err)
	}
}

func TestOpaqueTokensGoOnWhenTokensBecomeSigned(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, withKeys())
	opaque, _ := tokensIn(t, fl.clientCredentials(t, url.Values{}))
	fl = newFleet(t, fl.redis, withKeys(SigningKey{"1", newKey()}), func(o *Options) { o.Prefix = fl.prefix })
	if token, err := fl.instances[0].Verify(t.Context(), opaque); err != nil {
		t.Errorf("%+v, %v", token, err)
	}
}

func TestT41_KeysRotateWithoutRefusingAToken(t *testing.T) {
	t.Parallel()
	redis := redistest.NewMiniredis(t)
	prefix, first, second := redis.Prefix(t), SigningKey{"1", newKey()}, SigningKey{"2", newKey()}
	fleetWith := func(keys ...SigningKey) *fleet {
		return newFleet(t, redis, withKeys(keys...), func(o *Options) { o.Prefix, o.Issuer = prefix, "https://auth.example" })
	}
	steps := []*fleet{fleetWith(first), fleetWith(first, second), fleetWith(second, first), fleetWith(second)}
	tokens := make([]string, len(steps))
	for i, fl := range steps {
		tokens[i], _ = tokensIn(t, fl.clientCredentials(t, url.Values{}))
		if kid, want := partOf(t, tokens[i], 0)["kid"], []string{"1", "1", "2", "2"}[i]; kid != want {
			t.Errorf("step %d signs with %v", i, kid)
		}
	}
	for i, fl := range steps {
		res := newBrowser(t).get(t, fl.url+jwksPath)
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(res.body), &set); err != nil || res.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%v in %d %v %s", err, res.status, res.header, res.body)
		}
		for _, key := range set.Keys {
			if !key.IsPublic() || key.Use != "sig" || key.Algorithm != "ES256" {
				t.Errorf("published: %s", res.body)
			}
		}
		if strings.Contains(res.body, `"d"`) || len(set.Keys) != []int{1, 2, 2, 1}[i] {
			t.Errorf("published: %s", res.body)
		}
		jwt := fl.jwtVerifier(t)
		for j, token := range tokens {
			known := len(set.Key(partOf(t, token, 0)["kid"].(string))) > 0
			for name, v := range map[string]auth.Verifier{"the server": fl.instances[1], "by its keys": jwt} {
				if _, err := v.Verify(t.Context(), token); (err == nil) != known || err != nil && !errors.Is(err, auth.ErrInvalidToken) {
					t.Errorf("step %d, token of step %d, %s: %v", i, j, name, err)
				}
			}
		}
		// A step and the next serve each other's tokens: they are a fleet for a while.
		for _, j := range []int{i - 1, i + 1} {
			if j >= 0 && j < len(steps)-1 && i < len(steps)-1 {
				if _, err := fl.instances[0].Verify(t.Context(), tokens[j]); err != nil {
					t.Errorf("step %d refuses a token of step %d: %v", i, j, err)
				}
			}
		}
	}
}

func TestSigningKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][]SigningKey{
		`"" is empty`:   {{"", newKey()}},
		"there twice":   {{"1", newKey()}, {"1", newKey()}},
		`"2" is nil`:    {{"1", newKey()}, {"2", nil}},
		`"3" is neithe`: {{"3", p384}},
		`"4" is neithe`: {{"1", newKey()}, {"4", weak}},
	} {
		_, err := New(&Options{
			Redis: redistest.NewMiniredis(t).Client(t), Issuer: "https://auth.example", Resources: []string{"https://mcp.example/mcp"},
			Upstream: upstreamStub(""), SigningKeys: keys,
		})
		if err == nil || !strings.Contains(err.Error(), "Options.SigningKeys") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutSigningKeysThereIsNoKeySet(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	if res := newBrowser(t).get(t, fl.url+jwksPath); res.status != http.StatusNotFound {
		t.Errorf("%d %s", res.status, res.body)
	}
}

func TestASignedTokenIsVerifiedWithoutRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	fl := newFleet(t, &redis.Server, withKeys(SigningKey{"1", newKey()}))
	access, _ := tokensIn(t, fl.clientCredentials(t, url.Values{}))
	for range 2 { // whatever has to be asked
		if _, err := fl.instances[0].Verify(t.Context(), access); err != nil {
			t.Fatal(err)
		}
	}
	before := commandsRun(t, fl.admin)
	for range 100 {
		if _, err := fl.instances[0].Verify(t.Context(), access); err != nil {
			t.Fatal(err)
		}
	}
	if n := commandsRun(t, fl.admin) - before; n > 10 { // a TTL of 5 s may pass, and clients ping
		t.Errorf("100 verifications cost %d commands", n)
	}
}
