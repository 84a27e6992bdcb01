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
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func newKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

var rsaKey = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// jwksOf returns the public parts of keys as a JWK set; their ids are 0, 1, 2.
func jwksOf(keys ...crypto.Signer) string {
	var set jose.JSONWebKeySet
	for i, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: string(rune('0' + i))})
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// sign returns a JWT.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, headers map[string]string, claims any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	for name, v := range headers {
		opts.WithHeader(jose.HeaderKey(name), v)
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
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// assertionClaims are those of a good assertion of a client, changed.
func assertionClaims(fl *fleet, client string, change ...func(map[string]any)) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": client, "sub": client, "aud": fl.url, "iat": now, "exp": now + 60, "jti": random(16)}
	for _, f := range change {
		f(c)
	}
	return c
}

func assertionOf(t testing.TB, fl *fleet, key crypto.Signer, client string, change ...func(map[string]any)) string {
	t.Helper()
	return sign(t, jose.ES256, key, nil, assertionClaims(fl, client, change...))
}

// withAssertion asks for something that a client with that assertion does not
// get: invalid_grant says that the assertion was accepted.
func (fl *fleet) withAssertion(t *testing.T, assertion string, change ...func(url.Values)) response {
	t.Helper()
	form := url.Values{
		"grant_type": {grantRefreshToken}, "refresh_token": {"none"},
		"client_assertion_type": {assertionType}, "client_assertion": {assertion},
	}
	for _, f := range change {
		f(form)
	}
	return newBrowser(t).post(t, fl.url+tokenPath, form)
}

func signingClient(id string, jwks string) Client {
	return Client{ID: id, Name: id, RedirectURIs: []string{callbackURI}, AuthMethod: methodAssertion, JWKS: []byte(jwks)}
}

func withClients(clients ...Client) func(*Options) {
	return func(o *Options) {
		o.Clients = append(o.Clients, clients...)
		o.Limits = &Limits{}
	}
}

func TestT37_AnAssertionIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	ec := newKey()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for name, assertion := range map[string]string{
			"ES256":       sign(t, jose.ES256, ec, map[string]string{"kid": "0"}, assertionClaims(fl, "robot")),
			"EdDSA":       sign(t, jose.EdDSA, ed, map[string]string{"kid": "1"}, assertionClaims(fl, "robot")),
			"RS256":       sign(t, jose.RS256, rsaKey(), map[string]string{"kid": "2"}, assertionClaims(fl, "robot")),
			"PS256":       sign(t, jose.PS256, rsaKey(), map[string]string{"kid": "2"}, assertionClaims(fl, "robot")),
			"no key id":   sign(t, jose.RS256, rsaKey(), nil, assertionClaims(fl, "robot")),
			"typ":         sign(t, jose.ES256, ec, map[string]string{"typ": "client-authentication+jwt"}, assertionClaims(fl, "robot")),
			"aud a list":  assertionOf(t, fl, ec, "robot", func(c map[string]any) { c["aud"] = []string{fl.url} }),
			"aud a slash": assertionOf(t, fl, ec, "robot", func(c map[string]any) { c["aud"] = fl.url + "/" }),
			"no iat":      assertionOf(t, fl, ec, "robot", func(c map[string]any) { delete(c, "iat") }),
			"5 minutes":   assertionOf(t, fl, ec, "robot", func(c map[string]any) { c["exp"] = time.Now().Unix() + 300 }),
			"clocks":      assertionOf(t, fl, ec, "robot", func(c map[string]any) { c["iat"], c["nbf"] = time.Now().Unix()+5, time.Now().Unix()+5 }),
		} {
			if res := fl.withAssertion(t, assertion); res.json(t)["error"] != "invalid_grant" {
				t.Errorf("%s: %d %s", name, res.status, res.body)
			}
			// Each of the two instances sees it once more.
			for range 2 {
				if res := fl.withAssertion(t, assertion); res.status != http.StatusUnauthorized || res.json(t)["error"] != "invalid_client" {
					t.Errorf("%s, again: %d %s", name, res.status, res.body)
				}
			}
		}
		keys := redistest.AssertTTLs(t, fl.admin, fl.prefix)
		for _, k := range keys {
			if strings.Contains(k.Name, "jti") && k.TTL > 6*time.Minute {
				t.Errorf("%s is kept for %v", k.Name, k.TTL)
			}
		}
	}, withClients(signingClient("robot", jwksOf(ec, ed, rsaKey()))))
}

func TestT37_OfManyUsesOfAnAssertionOneSucceeds(t *testing.T) {
	t.Parallel()
	key := newKey()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		assertion := assertionOf(t, fl, key, "robot")
		var accepted atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				if fl.withAssertion(t, assertion).json(t)["error"] == "invalid_grant" {
					accepted.Add(1)
				}
			})
		}
		wg.Wait()
		if accepted.Load() != 1 {
			t.Errorf("accepted %d times", accepted.Load())
		}
	}, withClients(signingClient("robot", jwksOf(key))))
}

func TestT37_ABadAssertionIsNoProof(t *testing.T) {
	t.Parallel()
	key, otherKey := newKey(), newKey()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	fl := oneFleet(t, withClients(
		signingClient("robot", jwksOf(key, rsaKey(), weak)), signingClient("other", jwksOf(otherKey)),
		Client{ID: "basic", AuthMethod: methodBasic, SecretHash: HashSecret(privateSecret), JWKS: []byte(jwksOf(key))},
	))
	with := func(change func(map[string]any)) string { return assertionOf(t, fl, key, "robot", change) }
	set := func(name string, v any) string {
		return with(func(c map[string]any) {
			if c[name] = v; v == nil {
				delete(c, name)
			}
		})
	}
	now := time.Now().Unix()
	b64 := base64.RawURLEncoding.EncodeToString
	good := assertionOf(t, fl, key, "robot")
	parts := strings.Split(good, ".")
	modulus := rsaKey().Public().(*rsa.PublicKey).N.Bytes()
	want := fl.withAssertion(t, assertionOf(t, fl, key, "nobody"))
	if want.status != http.StatusUnauthorized || want.json(t)["error"] != "invalid_client" {
		t.Fatalf("an unknown client: %d %s", want.status, want.body)
	}
	reused := "jti of a bad assertion"
	for name, assertion := range map[string]string{
		"no JWT":                "assertion",
		"no jti":                set("jti", nil),
		"empty jti":             set("jti", ""),
		"long jti":              set("jti", strings.Repeat("x", 300)),
		"no exp":                set("exp", nil),
		"expired":               set("exp", now-11),
		"exp too far ahead":     set("exp", now+400),
		"exp for ever":          set("exp", int64(1)<<61),
		"iat in the future":     set("iat", now+60),
		"nbf in the future":     set("nbf", now+60),
		"iss is another":        set("iss", "other"),
		"sub is another":        set("sub", "other"),
		"no iss":                set("iss", nil),
		"no sub":                set("sub", nil),
		"no aud":                set("aud", nil),
		"another aud":           set("aud", "https://other.example"),
		"the token endpoint":    set("aud", fl.url+tokenPath),
		"more than one aud":     set("aud", []string{fl.url, "https://other.example"}),
		"aud twice":             set("aud", []string{fl.url, fl.url}),
		"aud in capitals":       set("aud", strings.ToUpper(fl.url)),
		"bad, with a good jti":  with(func(c map[string]any) { c["jti"], c["aud"] = reused, "https://other.example" }),
		"alg none":              b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"no signature":          parts[0] + "." + parts[1] + ".",
		"changed":               parts[0] + "." + b64([]byte(`{"sub":"robot"}`)) + "." + parts[2],
		"HS256 with public key": sign(t, jose.HS256, modulus, nil, assertionClaims(fl, "robot")),
		"HS256 with secret":     sign(t, jose.HS256, []byte(privateSecret), nil, assertionClaims(fl, "private")),
		"RS512":                 sign(t, jose.RS512, rsaKey(), nil, assertionClaims(fl, "robot")),
		"a weak key":            sign(t, jose.RS256, weak, map[string]string{"kid": "2"}, assertionClaims(fl, "robot")),
		"key of another client": assertionOf(t, fl, otherKey, "robot"),
		"another key id":        sign(t, jose.ES256, key, map[string]string{"kid": "1"}, assertionClaims(fl, "robot")),
		"an unknown key id":     sign(t, jose.ES256, key, map[string]string{"kid": "9"}, assertionClaims(fl, "robot")),
		"of a public client":    assertionOf(t, fl, key, "public"),
		"of one with a secret":  assertionOf(t, fl, key, "basic"),
		"too long":              set("more", strings.Repeat("x", maxAssertion)),
	} {
		for range 2 {
			if res := fl.withAssertion(t, assertion); res.status != want.status || res.body != want.body {
				t.Errorf("%s: %d %s", name, res.status, res.body)
			}
		}
	}
	if res := fl.withAssertion(t, with(func(c map[string]any) { c["jti"] = reused })); res.json(t)["error"] != "invalid_grant" {
		t.Errorf("a bad assertion used up a jti: %s", res.body)
	}
	for name, change := range map[string]func(url.Values){
		"another client_id": func(f url.Values) { f.Set("client_id", "public") },
		"a secret too":      func(f url.Values) { f.Set("client_id", "robot"); f.Set("client_secret", "x") },
		"another type": func(f url.Values) {
			f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		},
		"no type":      func(f url.Values) { f.Del("client_assertion_type") },
		"no assertion": func(f url.Values) { f.Del("client_assertion") },
		"client_id alone": func(f url.Values) {
			f.Del("client_assertion")
			f.Del("client_assertion_type")
			f.Set("client_id", "robot")
		},
	} {
		res := fl.withAssertion(t, assertionOf(t, fl, key, "robot"), change)
		if code := res.json(t)["error"]; code != "invalid_request" && code != "invalid_client" {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	if res := fl.withAssertion(t, good, func(f url.Values) { f.Set("client_id", "robot") }); res.json(t)["error"] != "invalid_grant" {
		t.Errorf("a good one: %s", res.body)
	}
}

func TestT37_AJtiIsAClientsOwn(t *testing.T) {
	t.Parallel()
	key := newKey()
	fl := oneFleet(t, withClients(signingClient("robot", jwksOf(key)), signingClient("other", jwksOf(key))))
	for _, client := range []string{"robot", "other"} {
		assertion := assertionOf(t, fl, key, client, func(c map[string]any) { c["jti"] = "1" })
		if res := fl.withAssertion(t, assertion); res.json(t)["error"] != "invalid_grant" {
			t.Errorf("%s: %s", client, res.body)
		}
	}
}

func TestKeysOfClientsAreFetchedWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	const uri = "https://client.example/jwks"
	first := newKey()
	w := newWeb()
	w.put(uri, webPage{body: jwksOf(first)})
	fl := oneFleet(t, withClients(Client{ID: "robot", AuthMethod: methodAssertion, JWKSURI: uri}), w.on)
	for range 3 {
		for range fl.instances {
			if res := fl.withAssertion(t, assertionOf(t, fl, first, "robot")); res.json(t)["error"] != "invalid_grant" {
				t.Errorf("%d %s", res.status, res.body)
			}
			unknown := sign(t, jose.ES256, first, map[string]string{"kid": random(8)}, assertionClaims(fl, "robot"))
			if res := fl.withAssertion(t, unknown); res.json(t)["error"] != "invalid_client" {
				t.Errorf("an unknown key: %d %s", res.status, res.body)
			}
		}
	}
	if n := w.fetches(uri); n != len(fl.instances) {
		t.Errorf("%d fetches by %d instances", n, len(fl.instances))
	}
}

func TestKeysOfAClientThatAreAwayAreNoVerdictOnIt(t *testing.T) {
	t.Parallel()
	const uri = "https://client.example/jwks"
	for name, c := range map[string]struct {
		page webPage
		want string
	}{
		"down":    {webPage{down: errors.New("connection refused")}, "temporarily_unavailable"},
		"503":     {webPage{status: 503}, "temporarily_unavailable"},
		"404":     {webPage{status: 404}, "invalid_client"},
		"no keys": {webPage{body: "[]"}, "invalid_client"},
		"empty":   {webPage{body: `{"keys":[]}`}, "invalid_client"},
	} {
		w := newWeb()
		w.put(uri, c.page)
		fl := oneFleet(t, withClients(Client{ID: "robot", AuthMethod: methodAssertion, JWKSURI: uri}), w.on)
		for range 4 {
			if res := fl.withAssertion(t, assertionOf(t, fl, newKey(), "robot")); res.json(t)["error"] != c.want {
				t.Errorf("%s: %d %s", name, res.status, res.body)
			}
		}
		if n := w.fetches(uri); n > len(fl.instances) {
			t.Errorf("%s: %d fetches", name, n)
		}
	}
}

func TestKeysOfAClientFollowItsRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const uri = "https://client.example/jwks"
		first, second := newKey(), newKey()
		w := newWeb()
		w.put(uri, webPage{body: jwksOf(first)})
		o := &Options{Redis: redistest.NewBubble(t).Client(t)}
		w.on(o)
		s := bubbleServer(t, o)
		s.clientKeys.fetcher.fromHost = limit.Rate{}
		client := &Client{ID: "robot", AuthMethod: methodAssertion, JWKSURI: uri}
		check := func(key crypto.Signer, kid string) error {
			claims := assertionClaims(&fleet{url: s.opts.Issuer}, "robot")
			return s.checkAssertion(t.Context(), client, "", sign(t, jose.ES256, key, map[string]string{"kid": kid}, claims))
		}
		if err := check(first, "0"); err != nil {
			t.Fatal(err)
		}
		w.put(uri, webPage{body: jwksOf(first, second)})
		if err := check(second, "1"); err == nil {
			t.Error("keys were fetched twice within 10 seconds")
		}
		time.Sleep(10*time.Second + 1)
		if err := errors.Join(check(second, "1"), check(first, "0")); err != nil {
			t.Error(err)
		}
		// However many clients there are, little is kept of them.
		for range 2*maxKeySets + 1 {
			s.clientKeys.set(random(8))
		}
		if len(s.clientKeys.sets) > maxKeySets {
			t.Errorf("%d key sets", len(s.clientKeys.sets))
		}
	})
}

func TestAClientThatTakesItsKeysBackHasNone(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]webPage{
		"404": {status: 404}, "no key set": {body: "[]"}, "an empty one": {body: `{"keys":[]}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			const uri = "https://client.example/jwks"
			key := newKey()
			w := newWeb()
			w.put(uri, webPage{body: jwksOf(key)})
			o := &Options{Redis: redistest.NewBubble(t).Client(t)}
			w.on(o)
			s := bubbleServer(t, o)
			client := &Client{ID: "robot", AuthMethod: methodAssertion, JWKSURI: uri}
			check := func() error {
				return s.checkAssertion(t.Context(), client, "", assertionOf(t, &fleet{url: s.opts.Issuer}, key, "robot"))
			}
			if err := check(); err != nil {
				t.Fatal(err)
			}
			w.put(uri, taken)
			time.Sleep(11 * time.Minute)
			_ = check() // which begins the fetch
			synctest.Wait()
			if err := check(); !isInvalidClient(err) {
				t.Errorf("%s: %v", name, err)
			}
			w.put(uri, webPage{body: jwksOf(key)})
			time.Sleep(11 * time.Second)
			if err := check(); err != nil {
				t.Errorf("%s, and back again: %v", name, err)
			}
		})
	}
}

// bubbleServer returns one instance with the options' Redis.
func bubbleServer(t *testing.T, o *Options) *Server {
	t.Helper()
	o.Issuer, o.Resources, o.Scopes = "http://localhost", []string{"http://localhost/mcp"}, testScopes
	o.Upstream, o.Limits = upstreamStub(o.Issuer), &Limits{}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
