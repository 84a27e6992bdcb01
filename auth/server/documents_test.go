package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A web is what the server under test takes for the World Wide Web: documents
// by URL.
type web struct {
	mu      sync.Mutex
	pages   map[string]webPage
	fetched map[string]int
	running int
	most    int // that ran at the same time
}

// A webPage is what is at a URL. The zero status is 200, the zero type JSON.
type webPage struct {
	status      int
	contentType string
	cache       string
	body        string
	down        error
	wait        <-chan struct{}
}

func newWeb() *web { return &web{pages: map[string]webPage{}, fetched: map[string]int{}} }

func (w *web) put(uri string, p webPage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[uri] = p
}

// fetches returns how often a page was fetched, or any page if uri is empty.
func (w *web) fetches(uri string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if uri != "" {
		return w.fetched[uri]
	}
	sum := 0
	for n := range maps.Values(w.fetched) {
		sum += n
	}
	return sum
}

// RoundTrip implements [http.RoundTripper].
func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	uri := r.URL.String()
	p, ok := w.pages[uri]
	w.fetched[uri]++
	w.running++
	w.most = max(w.most, w.running)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running--
	}()
	if p.wait != nil {
		select {
		case <-p.wait:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if p.down != nil {
		return nil, p.down
	}
	res := &http.Response{StatusCode: p.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(p.body)), Request: r, ContentLength: -1}
	if !ok {
		res.StatusCode = http.StatusNotFound
	} else if res.StatusCode == 0 {
		res.StatusCode = http.StatusOK
	}
	if p.contentType == "" {
		p.contentType = "application/json"
	}
	res.Header.Set("Content-Type", p.contentType)
	res.Header.Set("Cache-Control", p.cache)
	return res, nil
}

// on makes the server fetch from the web, and nothing be limited but fetches.
func (w *web) on(o *Options) {
	o.HTTPClient = &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	o.Limits = &Limits{}
}

// unlimited lets every address cause any number of fetches.
func (fl *fleet) unlimited() *fleet {
	for _, instance := range fl.instances {
		f := instance.clients.documents.fetcher
		f.forAddress, f.fromHost = limit.Rate{}, limit.Rate{}
	}
	return fl
}

const documentURL = "https://client.example/client.json"

// A metadataSet is a client document; nil removes a member.
type metadataSet map[string]any

func documentOf(change metadataSet) string {
	m := metadataSet{
		"client_id": documentURL, "client_name": "A client with a document", "redirect_uris": []string{callbackURI},
		"grant_types": []string{grantCode, grantRefreshToken}, "token_endpoint_auth_method": "none",
	}
	for name, v := range change {
		if m[name] = v; v == nil {
			delete(m, name)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// withPrivateKey returns a JWK set of a public key and a private one.
func withPrivateKey() string {
	private, err := json.Marshal(jose.JSONWebKey{Key: newKey(), KeyID: "private"})
	if err != nil {
		panic(err)
	}
	return strings.Replace(jwksOf(newKey()), "[", "["+string(private)+",", 1)
}

// byDocument is the client that a document describes.
func byDocument(redirect string) Client {
	return Client{ID: documentURL, RedirectURIs: []string{redirect}}
}

// cached returns the document that Redis has, and for how long.
func (fl *fleet) cached(t *testing.T, uri string) (string, time.Duration) {
	t.Helper()
	key := fl.instances[0].keys.Document(uri)
	body, err := fl.admin.Do(t.Context(), fl.admin.B().Get().Key(key).Build()).ToString()
	if err != nil {
		return "", 0
	}
	ms, err := fl.admin.Do(t.Context(), fl.admin.B().Pttl().Key(key).Build()).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return body, time.Duration(ms) * time.Millisecond
}

// Documents in the shape of those that are out there.
var realDocuments = map[string]struct {
	document   metadataSet
	registered string // redirect URI in the document
	used       string // redirect URI in the request
}{
	"a native client on any port, like Claude Code": {metadataSet{
		"client_uri": "https://client.example", "redirect_uris": []string{"http://localhost/callback", "http://127.0.0.1/callback"},
		"response_types": []string{"code"},
	}, "http://localhost/callback", "http://localhost:53682/callback"},
	"an editor that can do more than we, like VS Code": {metadataSet{
		"grant_types":    []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		"response_types": []string{"code"}, "application_type": "native", "logo_uri": "https://client.example/logo.svg",
		"redirect_uris": []string{"http://127.0.0.1:33418/", "http://127.0.0.1/", "https://client.example/redirect", "editor://redirect"},
	}, "http://127.0.0.1/", "http://127.0.0.1:40001/"},
	"a service that may do without its key, like ChatGPT": {metadataSet{
		"token_endpoint_auth_method":            "private_key_jwt",
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt", "none"},
		"token_endpoint_auth_signing_alg":       "RS256",
		"jwks_uri":                              "https://client.example/jwks.json",
		"redirect_uris":                         []string{"https://client.example/connector/oauth/abc"},
	}, "https://client.example/connector/oauth/abc", "https://client.example/connector/oauth/abc"},
	"a program that writes down what it has not": {metadataSet{
		"jwks": json.RawMessage("null"), "jwks_uri": json.RawMessage("null"), "scope": json.RawMessage("null"),
		"response_types": json.RawMessage("null"), "logo_uri": json.RawMessage("null"),
	}, callbackURI, callbackURI},
	"as little as there may be": {metadataSet{"grant_types": nil, "token_endpoint_auth_method": nil}, callbackURI, callbackURI},
}

func TestT43_DocumentsOfRealClientsAreUnderstood(t *testing.T) {
	t.Parallel()
	eachFleetOnWeb(t, func(t *testing.T, fl *fleet, w *web) {
		for name, c := range realDocuments {
			uri := "https://client.example/" + url.PathEscape(name)
			document := maps.Clone(c.document)
			document["client_id"] = uri
			w.put(uri, webPage{body: documentOf(document), cache: "max-age=300"})
			l := fl.login(t, Client{ID: uri, RedirectURIs: []string{c.used}})
			access, refresh := l.tokens(t, "alice")
			token, err := fl.instances[0].Verify(t.Context(), access)
			if err != nil || token.ClientID != uri || len(token.Scopes) != len(testScopes) {
				t.Errorf("%s: %+v, %v", name, token, err)
			}
			if res := l.refresh(t, refresh); res.status != http.StatusOK {
				t.Errorf("%s: refresh: %d %s", name, res.status, res.body)
			}
			if n := w.fetches(uri); n != 1 {
				t.Errorf("%s: fetched %d times", name, n)
			}
			if _, life := fl.cached(t, uri); life <= 4*time.Minute || life > 5*time.Minute {
				t.Errorf("%s: cached for %v", name, life)
			}
		}
		redistest.AssertTTLs(t, fl.admin, fl.prefix)
	})
}

// eachFleetOnWeb is [eachFleet] with a web, from which everybody may fetch.
func eachFleetOnWeb(t *testing.T, f func(t *testing.T, fl *fleet, w *web), change ...func(*Options)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		w := newWeb()
		f(t, newFleet(t, s, append(change, w.on)...).unlimited(), w)
	})
}

func oneFleetOnWeb(t *testing.T, change ...func(*Options)) (*fleet, *web) {
	t.Helper()
	w := newWeb()
	return oneFleet(t, append(change, w.on)...).unlimited(), w
}

func TestT20_LogosAreNeitherFetchedNorShown(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	w.put(documentURL, webPage{body: documentOf(metadataSet{
		"logo_uri": "https://client.example/logo.png", "tos_uri": "https://client.example/tos", "client_uri": "https://client.example/home",
	})})
	res := fl.login(t, byDocument(callbackURI)).ask(t)
	if res.status != http.StatusOK || strings.Contains(res.body, "logo.png") || strings.Contains(res.body, "<img") {
		t.Errorf("%d %s", res.status, res.body)
	}
	if w.fetches("") != 1 {
		t.Errorf("fetched %v", w.fetched)
	}
}

func TestT21_WhatIsNoClientDocumentIsRefusedAndNotKept(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	jwksWith := func(key map[string]any) map[string]any { return map[string]any{"keys": []any{key}} }
	documents := map[string]webPage{
		"404":                   {status: 404, body: documentOf(nil)},
		"201":                   {status: 201, body: documentOf(nil)},
		"204":                   {status: 204},
		"a redirect":            {status: 302, body: documentOf(nil)},
		"another type":          {contentType: "text/html", body: documentOf(nil)},
		"too large":             {body: documentOf(metadataSet{"padding": strings.Repeat("x", maxDocument)})},
		"nothing":               {body: ""},
		"no JSON":               {body: documentOf(nil)[1:]},
		"more than JSON":        {body: documentOf(nil) + "{}"},
		"an array":              {body: "[" + documentOf(nil) + "]"},
		"a string":              {body: `"` + documentURL + `"`},
		"null":                  {body: "null"},
		"not UTF-8":             {body: strings.Replace(documentOf(nil), "A client", "A \xff client", 1)},
		"two of a name":         {body: `{"client_id":"` + documentURL + `",` + documentOf(nil)[1:]},
		"two of a name, hidden": {body: `{"client\u005fid":"` + documentURL + `",` + documentOf(nil)[1:]},
		"two of a name, inside": {body: `{"jwks":{"keys":[],"keys":[]},` + documentOf(nil)[1:]},
		"names in capitals":     {body: strings.Replace(documentOf(nil), "client_id", "CLIENT_ID", 1)},
	}
	for name, change := range map[string]metadataSet{
		"no id":                    {"client_id": nil},
		"another id":               {"client_id": "https://client.example/other.json"},
		"an id in capitals":        {"client_id": "https://CLIENT.example/client.json"},
		"an id with a slash":       {"client_id": documentURL + "/"},
		"an id with a port":        {"client_id": "https://client.example:443/client.json"},
		"an id encoded":            {"client_id": "https://client.example/client%2ejson"},
		"an id of another type":    {"client_id": []string{documentURL}},
		"no name":                  {"client_name": nil},
		"an empty name":            {"client_name": " "},
		"a long name":              {"client_name": strings.Repeat("x", 300)},
		"no redirect URIs":         {"redirect_uris": nil},
		"none":                     {"redirect_uris": []string{}},
		"one, not a list":          {"redirect_uris": callbackURI},
		"numbers":                  {"redirect_uris": []int{1}},
		"a secret":                 {"client_secret": "hunter2"},
		"the end of a secret":      {"client_secret_expires_at": 0},
		"client_secret_basic":      {"token_endpoint_auth_method": "client_secret_basic"},
		"client_secret_post":       {"token_endpoint_auth_method": "client_secret_post"},
		"client_secret_jwt":        {"token_endpoint_auth_method": "client_secret_jwt"},
		"an unknown method":        {"token_endpoint_auth_method": "tls_client_auth"},
		"private_key_jwt, no key":  {"token_endpoint_auth_method": "private_key_jwt"},
		"a private key":            {"jwks": jwksWith(map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"})},
		"a private key beside":     {"jwks": json.RawMessage(withPrivateKey())},
		"a private key of RSA":     {"jwks": jwksWith(map[string]any{"kty": "RSA", "n": "AA", "e": "AQAB", "p": "AA"})},
		"a symmetric key":          {"jwks": jwksWith(map[string]any{"kty": "oct", "k": "AA"})},
		"no key that can be used":  {"jwks": jwksWith(map[string]any{"kty": "AKP", "pub": "AA"})},
		"jwks of another type":     {"jwks": "keys"},
		"jwks and jwks_uri":        {"jwks": jwksWith(map[string]any{"kty": "AKP"}), "jwks_uri": "https://client.example/jwks"},
		"jwks_uri http":            {"jwks_uri": "http://client.example/jwks"},
		"jwks_uri with a port":     {"jwks_uri": "https://client.example:6379/jwks"},
		"jwks_uri with a user":     {"jwks_uri": "https://user@client.example/jwks"},
		"jwks_uri file":            {"jwks_uri": "file:///etc/passwd"},
		"no code":                  {"response_types": []string{"token"}},
		"no authorization_code":    {"grant_types": []string{"client_credentials"}},
		"grant types, not a list":  {"grant_types": "authorization_code"},
		"scope, not a string":      {"scope": []string{"read"}},
		"methods of another type":  {"token_endpoint_auth_methods_supported": "none"},
		"T05 javascript":           {"redirect_uris": []string{"javascript:alert(1)//"}},
		"T05 JavaScript":           {"redirect_uris": []string{"JavaScript:alert(1)//"}},
		"T05 data":                 {"redirect_uris": []string{"data:text/html,x"}},
		"T05 vbscript":             {"redirect_uris": []string{"vbscript:x"}},
		"T05 file":                 {"redirect_uris": []string{"file:///etc/passwd"}},
		"T05 blob":                 {"redirect_uris": []string{"blob:https://client.example/1"}},
		"T05 a space before":       {"redirect_uris": []string{" javascript:x", "\thttps://client.example/", " https://client.example/"}},
		"T05 http":                 {"redirect_uris": []string{"http://client.example/callback"}},
		"T05 an unlisted scheme":   {"redirect_uris": []string{"com.example.app:/callback"}},
		"T05 a fragment or a user": {"redirect_uris": []string{"https://client.example/#x", "https://a@client.example/"}},
	} {
		documents[name] = webPage{body: documentOf(change)}
	}
	for name, p := range documents {
		w.put(documentURL, p)
		l := fl.login(t, byDocument(callbackURI))
		res := l.ask(t)
		if res.status != http.StatusBadRequest || res.header.Get("Location") != "" || !strings.Contains(res.body, "invalid_client") || strings.Contains(res.body, "<a ") {
			t.Errorf("%s: %d %v %s", name, res.status, res.header, res.body)
		}
		res = l.redeem(t, "x")
		if res.status != http.StatusUnauthorized || res.json(t)["error"] != "invalid_client" {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
		if body, _ := fl.cached(t, documentURL); body != "" {
			t.Fatalf("%s: cached %s", name, body)
		}
	}
	if n := w.fetches(documentURL); n != 2*len(documents) {
		t.Errorf("%d fetches for %d documents", n, len(documents))
	}
	w.put(documentURL, webPage{body: documentOf(nil)})
	fl.login(t, byDocument(callbackURI)).tokens(t, "alice")
}

func TestT05_ADangerousRedirectURIBesideGoodOnesIsNotUsed(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	bad := []string{"javascript:alert(1)//", "data:text/html,x", "http://client.example/callback", "com.example.app:/callback"}
	w.put(documentURL, webPage{body: documentOf(metadataSet{"redirect_uris": append(bad, callbackURI)})})
	for _, uri := range bad {
		res := fl.login(t, byDocument(uri)).ask(t)
		if res.status != http.StatusBadRequest || res.header.Get("Location") != "" || strings.Contains(res.body, "<a ") {
			t.Errorf("%s: %d %s", uri, res.status, res.body)
		}
	}
	fl.login(t, byDocument(callbackURI)).tokens(t, "alice")
	// A record that was cached under other rules.
	key := fl.instances[0].keys.Document(documentURL)
	old := strings.Replace(documentOf(nil), callbackURI, "javascript:alert(1)//", 1)
	if err := fl.admin.Do(t.Context(), fl.admin.B().Set().Key(key).Value(old).Px(time.Hour).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if res := fl.login(t, byDocument("javascript:alert(1)//")).ask(t); res.status != http.StatusBadRequest {
		t.Errorf("%d %s", res.status, res.body)
	}
}

func TestT21_WhatIsNoURLOfADocumentIsNotFetched(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	for _, id := range []string{
		"http://client.example/client.json", "HTTPS://client.example/client.json", "https:client.example/c", "https:///client.json",
		"https://client.example", "https://client.example/", "https://client.example?x", "https://:443/c",
		"https://client.example/a/../c", "https://client.example/./c", "https://client.example/..", "https://client.example/a/.",
		"https://client.example/%2e%2e/c", "https://client.example/.%2E/c", "https://client.example/%2e", "https://client.example/a%2f..%2fc",
		"https://client.example/c#f", "https://client.example/c#", "https://user@client.example/c", "https://user:pass@client.example/c", "https://@client.example/c",
		"https://client.example:8443/c", "https://client.example:80/c", "https://client.example:/c", "https://client.example:x/c",
		"https://client.example\\c", "https://client.example/c c", "https://client.example/c\tc", "https://client.example/c\nc", "https://client.example/ü",
		"https://client.exam%70le/\x7f", "https://client.example/%zz", "https://[::1/c", "https://" + strings.Repeat("x", maxURILength) + "/c",
	} {
		w.put(id, webPage{body: documentOf(metadataSet{"client_id": id})})
		l := fl.login(t, Client{ID: id, RedirectURIs: []string{callbackURI}})
		if res := l.ask(t); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", id, res.status, res.body)
		}
		if res := l.redeem(t, "x"); res.status != http.StatusUnauthorized || res.json(t)["error"] != "invalid_client" {
			t.Errorf("%s: %d %s", id, res.status, res.body)
		}
	}
	if n := w.fetches(""); n != 0 {
		t.Errorf("%d fetches: %v", n, w.fetched)
	}
	for _, id := range []string{"https://client.example/c", "https://client.example:443/c", "https://client.example/a/...//c?x=1", "https://[2606:2800::1]/c"} {
		w.put(id, webPage{body: documentOf(metadataSet{"client_id": id})})
		if res := fl.login(t, Client{ID: id, RedirectURIs: []string{callbackURI}}).ask(t); res.status != http.StatusOK {
			t.Errorf("%s: %d %s", id, res.status, res.body)
		}
	}
}

func TestDocumentsAreKeptAsLongAsTheyMayBe(t *testing.T) {
	t.Parallel()
	eachFleetOnWeb(t, func(t *testing.T, fl *fleet, w *web) {
		n := 0
		for cache, want := range map[string]time.Duration{
			"": time.Minute, "no-store": time.Minute, "max-age=5": time.Minute, "max-age=600": 10 * time.Minute, "max-age=31536000": 24 * time.Hour,
		} {
			n++
			uri := fmt.Sprintf("https://client.example/%d", n)
			document := documentOf(metadataSet{"client_id": uri})
			w.put(uri, webPage{body: document, cache: cache})
			for range 4 {
				if res := fl.login(t, Client{ID: uri, RedirectURIs: []string{callbackURI}}).ask(t); res.status != http.StatusOK {
					t.Fatalf("%d %s", res.status, res.body)
				}
			}
			if body, life := fl.cached(t, uri); body != document || life > want || life < want-10*time.Second {
				t.Errorf("%s: cached for %v: %s", cache, life, body)
			}
			if w.fetches(uri) != 1 {
				t.Errorf("%s: fetched %d times by two instances", cache, w.fetches(uri))
			}
		}
	})
}

func TestADocumentThatCannotBeFetchedNowIsNoVerdictOnTheClient(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	for name, p := range map[string]webPage{"down": {down: errors.New("connection refused")}, "500": {status: 500}, "503": {status: 503}, "429": {status: 429}} {
		w.put(documentURL, webPage{body: documentOf(nil)})
		l := fl.login(t, byDocument(callbackURI))
		code := l.back(t, "alice").Query().Get("code")
		key := fl.instances[0].keys.Document(documentURL)
		if err := fl.admin.Do(t.Context(), fl.admin.B().Del().Key(key).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		w.put(documentURL, p)
		if res := fl.login(t, byDocument(callbackURI)).ask(t); res.status != http.StatusServiceUnavailable || res.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
		res := l.redeem(t, code)
		if res.status != http.StatusServiceUnavailable || res.json(t)["error"] != "temporarily_unavailable" || res.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
		if strings.Contains(res.body, "refused") {
			t.Errorf("%s: says what is inside: %s", name, res.body)
		}
		w.put(documentURL, webPage{body: documentOf(nil)})
		if res := l.redeem(t, code); res.status != http.StatusOK {
			t.Errorf("%s: when it is over: %d %s", name, res.status, res.body)
		}
		if err := fl.admin.Do(t.Context(), fl.admin.B().Del().Key(key).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestT22_OneAddressCausesFewFetches(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		w := newWeb()
		fl := newFleet(t, s, w.on, func(o *Options) { o.TrustedProxies = 1 })
		for _, instance := range fl.instances {
			f := instance.clients.documents.fetcher
			f.forAddress, f.fromHost = limit.Rate{Requests: 10, Per: time.Hour}, limit.Rate{Requests: 15, Per: time.Hour}
		}
		ask := func(address, uri string) response {
			req, err := http.NewRequest(http.MethodGet, fl.url+authorizePath+"?"+url.Values{"client_id": {uri}}.Encode(), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Forwarded-For", address)
			return newBrowser(t).do(t, req)
		}
		for n := range 40 {
			res := ask("192.0.2.1", fmt.Sprintf("https://host%d.example/client", n))
			if want := map[bool]int{true: 400, false: 429}[n < 10]; res.status != want {
				t.Errorf("request %d: %d %s", n, res.status, res.body)
			}
		}
		if n := w.fetches(""); n != 10 {
			t.Errorf("one address caused %d fetches", n)
		}
		// What is cached needs no fetch.
		w.put(documentURL, webPage{body: documentOf(nil)})
		ask("192.0.2.2", documentURL)
		if res := ask("192.0.2.1", documentURL); res.status == 429 {
			t.Errorf("%d %s", res.status, res.body)
		}
		// Many addresses, one victim.
		before := w.fetches("")
		for n := range 40 {
			ask(fmt.Sprintf("198.51.%d.1", n), fmt.Sprintf("https://Victim.example./%d", n))
			ask(fmt.Sprintf("198.51.%d.1", n), fmt.Sprintf("https://victim.example/%d", n))
		}
		if n := w.fetches("") - before; n != 15 {
			t.Errorf("many addresses caused %d fetches from one host", n)
		}
		redistest.AssertTTLs(t, fl.admin, fl.prefix)
	})
}

// Documents that say where their keys are must not be a way around the bound.
func TestT22_OneAddressCausesFewFetchesOfKeys(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t, func(o *Options) { o.TrustedProxies = 1 })
	for _, instance := range fl.instances {
		instance.clients.documents.fetcher.forAddress = limit.Rate{Requests: 5, Per: time.Hour}
	}
	for n := range 20 {
		id, uri := fmt.Sprintf("https://host%d.example/client", n), fmt.Sprintf("https://victim%d.example/keys", n)
		w.put(id, webPage{body: documentOf(metadataSet{"client_id": id, "token_endpoint_auth_method": methodAssertion, "jwks_uri": uri})})
		ask := func(address string) response {
			form := url.Values{
				"grant_type": {grantRefreshToken}, "refresh_token": {"none"},
				"client_assertion_type": {assertionType}, "client_assertion": {assertionOf(t, fl, newKey(), id)},
			}
			return newBrowser(t).post(t, fl.url+tokenPath, form, header("X-Forwarded-For", address))
		}
		ask(fmt.Sprint("198.51.100.", n)) // who has the document cached, on one instance
		before := w.fetches(uri)
		res := ask("192.0.2.1")
		if want := map[bool]int{true: http.StatusUnauthorized, false: http.StatusTooManyRequests}[n < 5]; res.status != want {
			t.Errorf("client %d: %d %s, want %d", n, res.status, res.body, want)
		}
		if got := w.fetches(uri) - before; (got == 1) != (n < 5) {
			t.Errorf("client %d: %d fetches of its keys", n, got)
		}
	}
}

// Everybody can have a document for every URL that he makes up.
func TestT22_ManyDocumentsAreNotKeptForLong(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	for _, instance := range fl.instances {
		instance.clients.documents.cachedLong = limit.Rate{Requests: 3, Per: time.Hour}
	}
	for n := range 6 {
		uri := fmt.Sprintf("https://host%d.example/client", n)
		w.put(uri, webPage{body: documentOf(metadataSet{"client_id": uri}), cache: "max-age=86400"})
		if res := fl.login(t, Client{ID: uri, RedirectURIs: []string{callbackURI}}).ask(t); res.status != http.StatusOK {
			t.Fatalf("%d: %d %s", n, res.status, res.body)
		}
		if _, ttl := fl.cached(t, uri); ttl <= 0 || (ttl > minCached) != (n < 3) {
			t.Errorf("document %d is cached for %v", n, ttl)
		}
	}
}

func TestT22_WhatManyNeedIsFetchedOnce(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	arrive := make(chan struct{})
	w.put(documentURL, webPage{body: documentOf(nil), wait: arrive})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if res := fl.login(t, byDocument(callbackURI)).ask(t); res.status != http.StatusOK {
				t.Errorf("%d %s", res.status, res.body)
			}
		})
	}
	redistest.Until(t, "a fetch runs", func() bool { return w.fetches("") > 0 })
	close(arrive)
	wg.Wait()
	if n := w.fetches(""); n > len(fl.instances) {
		t.Errorf("%d fetches by %d instances", n, len(fl.instances))
	}
}

func TestT22_FewFetchesRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	const slots = 4
	for _, instance := range fl.instances {
		instance.clients.documents.fetcher.slots = make(chan struct{}, slots)
	}
	arrive := make(chan struct{})
	var wg sync.WaitGroup
	var busy atomic.Int64
	for n := range 40 {
		uri := fmt.Sprintf("https://host%d.example/client", n)
		w.put(uri, webPage{body: documentOf(metadataSet{"client_id": uri}), wait: arrive})
		wg.Go(func() {
			if res := fl.login(t, Client{ID: uri, RedirectURIs: []string{callbackURI}}).ask(t); res.status == http.StatusServiceUnavailable {
				busy.Add(1)
			} else if res.status != http.StatusOK {
				t.Errorf("%d %s", res.status, res.body)
			}
		})
	}
	redistest.Until(t, "all others were turned away", func() bool { return busy.Load() == 40-2*slots })
	close(arrive)
	wg.Wait()
	if w.most > 2*slots {
		t.Errorf("%d fetches ran at the same time", w.most)
	}
	if len(fl.instances[0].clients.documents.running) != 0 {
		t.Error("fetches are remembered that have ended")
	}
}

func TestWithoutClientDocumentsNothingIsFetched(t *testing.T) {
	t.Parallel()
	w := newWeb()
	fl := oneFleet(t, w.on, func(o *Options) { o.NoClientDocuments = true })
	w.put(documentURL, webPage{body: documentOf(nil)})
	if res := fl.login(t, byDocument(callbackURI)).ask(t); res.status != http.StatusBadRequest || w.fetches("") != 0 {
		t.Errorf("%d %s", res.status, res.body)
	}
	m := newBrowser(t).get(t, fl.url+"/.well-known/oauth-authorization-server").json(t)
	if m["client_id_metadata_document_supported"] != false {
		t.Errorf("metadata %v", m)
	}
}

func TestAClientsScopesAreThoseOfItsDocument(t *testing.T) {
	t.Parallel()
	fl, w := oneFleetOnWeb(t)
	for scope, want := range map[any]string{nil: "read write", "write openid": "write"} {
		uri := documentURL + fmt.Sprint("?", len(want))
		w.put(uri, webPage{body: documentOf(metadataSet{"client_id": uri, "scope": scope})})
		access, _ := fl.login(t, Client{ID: uri, RedirectURIs: []string{callbackURI}}).tokens(t, "alice")
		if token, err := fl.instances[0].Verify(t.Context(), access); err != nil || strings.Join(token.Scopes, " ") != want {
			t.Errorf("%v: %+v, %v", scope, token, err)
		}
	}
}
