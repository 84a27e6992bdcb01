package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mcpfleet/mcpfleet/internal/loopback"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// T01: a match means that the URIs are the same, or loopback ones that differ in
// the port.
func FuzzRedirectMatch(f *testing.F) {
	local := []string{"http://127.0.0.1:3000/cb", "http://localhost/cb", "http://[::1]/cb", "http://localhost:80@evil.com/cb", "http://localhost?x", "http://localhost#f"}
	for i, uri := range slices.Concat(notTheCallback, dangerousURIs, local) {
		f.Add(callbackURI, uri)
		f.Add(uri, uri)
		f.Add(local[i%len(local)], uri)
		f.Add(strings.Replace(local[i%len(local)], "/cb", ":8080/cb", 1), local[(i+1)%len(local)])
	}
	f.Fuzz(func(t *testing.T, registered, uri string) {
		match := checkRedirectURI(uri, nil) == nil && matchRedirectURI(registered, uri)
		if match != (checkRedirectURI(uri, nil) == nil && matchRedirectURI(uri, registered)) {
			t.Fatal("a match goes one way only")
		}
		if !match || registered == uri {
			return
		}
		a, err1 := url.Parse(registered)
		b, err2 := url.Parse(uri)
		if err1 != nil || err2 != nil || a.Scheme != "http" || a.User != nil || !loopback.IsHost(a.Hostname()) || a.Port() == b.Port() {
			t.Fatalf("%q matches %q", registered, uri)
		}
		a.Host, b.Host = a.Hostname(), b.Hostname()
		if *a != *b {
			t.Fatalf("%q matches %q by more than the port", registered, uri)
		}
	})
}

func FuzzBasicAuth(f *testing.F) {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, text := range []string{"a:b", "a:", ":b", ":", "", "a", "https%3A%2F%2Fc.example%2Fd:", "a%zz:b", "a:b:c", "a+b:c%2B", "\xff:\x00"} {
		f.Add("Basic " + encode(text))
		f.Add("basic  " + encode(text) + " ")
	}
	f.Add("Bearer x")
	f.Add("Basic")
	f.Add("Basic !")
	f.Fuzz(func(t *testing.T, header string) {
		c, err := basicAuth(header)
		if err != nil {
			if !isInvalidClient(err) {
				t.Fatalf("%v is no invalid_client", err)
			}
			return
		}
		if c.id == "" || (c.secret == "") != (c.method == methodNone) || c.assertion != "" {
			t.Fatalf("%+v", c)
		}
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret))
		if again, err := basicAuth(r.Header.Get("Authorization")); err != nil || again != c {
			t.Fatalf("%+v is read as %+v, %v", c, again, err)
		}
	})
}

func fuzzServer(f *testing.F) *Server {
	f.Helper()
	s, err := New(&Options{
		Redis: redistest.NewMiniredis(f).Client(f), Issuer: "https://as.example", Resources: []string{"https://rs.example/mcp", "https://rs.example/other"},
		Scopes: testScopes, Clients: []Client{{ID: "c", RedirectURIs: []string{callbackURI, "http://localhost/cb?iss=1"}}, private},
		Upstream: upstreamStub("https://up.example"), NoClientDocuments: true, Limits: &Limits{}, RedirectSchemes: []string{"cursor"},
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func FuzzAuthorizeParams(f *testing.F) {
	s := fuzzServer(f)
	good := "response_type=code&client_id=c&redirect_uri=https%3A%2F%2Fclient.example%2Fcallback&code_challenge=" + challengeOf("v") + "&code_challenge_method=S256&state=s"
	for _, query := range []string{
		good, good + "&scope=read", good + "&resource=https://RS.example/mcp&resource=https://rs.example/other", good + "&state=t", good + "&scope=x", good + "&state=%ff",
		good + "&prompt=none", good + "&response_mode=fragment", strings.Replace(good, "S256", "plain", 1), strings.Replace(good, "code&", "token&", 1),
		strings.Replace(good, "https%3A%2F%2Fclient.example%2Fcallback", "http://localhost:1/cb?iss=1", 1), "client_id=c", "", "%", ";", "client_id=private&redirect_uri=javascript:x",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
		r.URL.RawQuery = query
		got, client, err := s.readRequest(r)
		if got.Redirect != "" {
			// There is somewhere to go: it is the client's, and what is said there is right.
			if client == nil || !slices.ContainsFunc(client.RedirectURIs, func(one string) bool { return matchRedirectURI(one, got.Redirect) }) {
				t.Fatalf("leads to %q of %v", got.Redirect, client)
			}
			to, err := url.Parse(s.responseURI(got, url.Values{"code": {"x"}}))
			if err != nil {
				t.Fatal(err)
			}
			q := to.Query()
			if !slices.Equal(q["iss"], []string{s.opts.Issuer}) || !slices.Equal(q["code"], []string{"x"}) || len(q["error"]) > 0 || q.Get("state") != got.State || len(q["state"]) > 1 {
				t.Fatalf("the response goes to %s", to)
			}
			want, _ := url.Parse(got.Redirect)
			if to.Scheme != want.Scheme || to.Host != want.Host || to.EscapedPath() != want.EscapedPath() || to.Fragment != "" {
				t.Fatalf("the response goes to %s, not to %s", to, want)
			}
		}
		if err != nil {
			if e := s.errorFor(r, err); e.status == http.StatusInternalServerError || printable(e.description) != e.description {
				t.Fatalf("%v", err)
			}
			return
		}
		if !isChallenge(got.Challenge) || len(got.Resources) == 0 || !utf8.ValidString(got.State) || len(got.State) > maxState {
			t.Fatalf("%+v", got)
		}
		for _, resource := range got.Resources {
			if !slices.Contains(s.opts.Resources, resource) {
				t.Fatalf("a token for %q", resource)
			}
		}
		if slices.ContainsFunc(got.Scopes, func(scope string) bool { return !s.hasScope(scope) }) {
			t.Fatalf("scopes %q", got.Scopes)
		}
		data, _ := json.Marshal(got)
		var stored authSession
		if json.Unmarshal(data, &stored) != nil || stored.State != got.State || stored.Redirect != got.Redirect {
			t.Fatalf("%+v is kept as %+v", got, stored)
		}
	})
}

func FuzzTokenForm(f *testing.F) {
	s := fuzzServer(f)
	code, refresh := newCredential(codeKind, random(grantIDBytes)).String(), newCredential(refreshKind, random(grantIDBytes)).String()
	for _, body := range []string{
		"grant_type=authorization_code&client_id=c&code=" + code + "&code_verifier=" + strings.Repeat("v", 43), "grant_type=refresh_token&client_id=c&refresh_token=" + refresh,
		"grant_type=refresh_token&client_id=c&client_id=c", "grant_type=x&client_id=c", "client_id=c", "", "%", "a=%ff", "client_assertion=x&client_assertion_type=y",
		"client_id=private&client_secret=x&grant_type=refresh_token", "grant_type=client_credentials&client_id=private&client_secret=" + url.QueryEscape(privateSecret),
	} {
		f.Add(body, "")
		f.Add(body, "Basic Yzo=")
		f.Add(body, "Basic cHJpdmF0ZTp4")
	}
	f.Fuzz(func(t *testing.T, body, authorization string) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", authorization)
		for _, serve := range []http.HandlerFunc{s.token, s.revoke, s.introspect} {
			w := httptest.NewRecorder()
			serve(w, r.Clone(t.Context()))
			var v struct{ Error, AccessToken string }
			if err := json.Unmarshal(w.Body.Bytes(), &v); w.Body.Len() > 0 && (err != nil || v.Error == "" || v.AccessToken != "") {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w.Code == http.StatusInternalServerError || w.Body.Len() == 0 && w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			r.Body = http.NoBody
		}
	})
}

func FuzzRegistration(f *testing.F) {
	s := fuzzServer(f)
	for _, body := range []string{
		`{"redirect_uris":["https://a.example/"]}`, `{"redirect_uris":["http://localhost:1/"],"token_endpoint_auth_method":"none","scope":"read x"}`,
		`{"redirect_uris":["cursor://a/b","javascript:x","CURSOR:b","https://a.example/","vscode://x"],"application_type":"web","grant_types":["x"]}`,
		`{"redirect_uris":["javascript:x"]}`, `{"redirect_uris":[]}`, `{}`, `[]`, `null`, `{"redirect_uris":null}`, `{"redirect_uris":["https://a.example/"],"grant_types":["x"]}`,
		`{"redirect_uris":["https://a.example/"],"redirect_uris":["javascript:x"]}`, `{"REDIRECT_URIS":["https://a.example/"],"application_type":"web","client_name":"\ud800"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/register", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		req, err := readRegistration(r)
		var client *Client
		if err == nil {
			client, err = s.newClient(req)
		}
		if err != nil {
			if e := s.errorFor(r, err); e.status/100 != 4 || printable(e.description) != e.description {
				t.Fatalf("%v", err)
			}
			return
		}
		if len(client.RedirectURIs) == 0 || len(client.RedirectURIs) > maxRedirectURIs || len(client.Name) > maxNameLength || !isClientID(client.ID) {
			t.Fatalf("%+v", client)
		}
		for _, uri := range client.RedirectURIs {
			u, err := url.Parse(uri)
			if err != nil || u.User != nil || u.Fragment != "" || u.Scheme != "cursor" && u.Host == "" ||
				u.Scheme != "https" && u.Scheme != "cursor" && (u.Scheme != "http" || !loopback.IsHost(u.Hostname())) {
				t.Fatalf("redirect URI %q", uri)
			}
		}
		if kind := applicationType(req.ApplicationType, client.RedirectURIs); kind != "" && kind != "native" && kind != "web" {
			t.Fatalf("application type %q", kind)
		}
		if !slices.Contains(s.authMethods(), client.AuthMethod) || client.AuthMethod == methodAssertion {
			t.Fatalf("method %q", client.AuthMethod)
		}
		if !slices.Contains(client.GrantTypes, grantCode) || slices.Contains(client.GrantTypes, grantClientCredentials) ||
			slices.ContainsFunc(client.Scopes, func(scope string) bool { return !s.hasScope(scope) }) {
			t.Fatalf("%+v", client)
		}
	})
}

func FuzzParseCredential(f *testing.F) {
	for _, k := range []kind{codeKind, accessKind, refreshKind} {
		text := newCredential(k, random(grantIDBytes)).String()
		f.Add(text)
		f.Add(text[:len(text)-1])
		f.Add(text + "A")
		f.Add(strings.ToUpper(text))
		f.Add(text[:len(text)-1] + "\n")
		f.Add(text + "\n")
		f.Add(strings.Replace(text, ".", "{", 1))
	}
	f.Add("")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		kinds := 0
		for _, k := range []kind{codeKind, accessKind, refreshKind} {
			c, ok := parseCredential(k, text)
			if !ok {
				continue
			}
			kinds++
			if c.String() != text || c.kind != k {
				t.Fatalf("%q is read as %q: two texts for one credential", text, c)
			}
			if strings.ContainsAny(c.grant+c.value, "{}:. \r\n\x00+/=") {
				t.Fatalf("%q has characters that mean something in keys", text)
			}
		}
		if kinds > 1 {
			t.Fatalf("%q is of %d kinds", text, kinds)
		}
	})
}
