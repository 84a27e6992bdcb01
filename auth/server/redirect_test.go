package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// mustStay fails the test if a page takes the browser anywhere, or offers to.
func mustStay(t *testing.T, what string, res response) {
	t.Helper()
	if res.status != http.StatusBadRequest || res.header.Get("Location") != "" || res.header.Get("Refresh") != "" ||
		strings.Contains(strings.ToLower(res.body), "http-equiv") || strings.Contains(res.body, "<a ") || strings.Contains(res.body, "<form") {
		t.Errorf("%s: %d %v %s", what, res.status, res.header, res.body)
	}
	if !strings.HasPrefix(res.header.Get("Content-Type"), "text/html") {
		t.Errorf("%s: content type %s", what, res.header.Get("Content-Type"))
	}
}

var notTheCallback = []string{
	"https://attacker.example/", "https://client.example/callback/", "https://client.example/callback2", "https://client.example/",
	"https://client.example/Callback", "https://CLIENT.example/callback", "HTTPS://client.example/callback", "https://client.example:443/callback",
	"https://client.example:8443/callback", "http://client.example/callback", "https://client.example/callback?a=b", "https://client.example/callback?",
	"https://client.example/callback#f", "https://client.example/callback#", "https://user@client.example/callback",
	"https://client.example@attacker.example/callback", "https://client.example/%2e%2e/callback", "https://client.example/x/../callback",
	"https://client.example/./callback", "https://client.example//callback", "https://client.example\\@attacker.example/callback",
	"https://client.example.attacker.example/callback", "//client.example/callback", "/callback", "client.example/callback",
	"https://client.example/callback\n", " https://client.example/callback", "https://client.example/callback%00", "https://client.example./callback",
	"https:client.example/callback", "https:///client.example/callback",
}

func TestT01_OnlyARegisteredRedirectURIIsRedirectedTo(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for _, uri := range notTheCallback {
		mustStay(t, uri, fl.login(t, public, with("redirect_uri", uri)).ask(t))
	}
	for name, change := range map[string]func(url.Values){
		"no client": with("client_id"), "unknown client": with("client_id", "nobody"), "unknown registration": with("client_id", "mcp_f47ac10b-58cc-4372-a567-0e02b2c3d479"),
		"two redirect URIs": with("redirect_uri", callbackURI, callbackURI),
	} {
		mustStay(t, name, fl.login(t, public, change).ask(t))
	}
	if res := fl.login(t, public, with("redirect_uri")).ask(t); res.status != http.StatusOK {
		t.Errorf("the only one need not be named: %d %s", res.status, res.body)
	}
}

func TestT04_OnlyThePortOfALoopbackURIMayDiffer(t *testing.T) {
	t.Parallel()
	native := Client{ID: "native", RedirectURIs: []string{"http://127.0.0.1:3000/cb", "http://localhost/cb", "http://[::1]/cb"}}
	fl := oneFleet(t, func(o *Options) { o.Clients = append(o.Clients, native); o.Limits = &Limits{} })
	for _, uri := range []string{
		"http://127.0.0.1:3000/cb", "http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://localhost/cb", "http://localhost:1/cb",
		"http://localhost:65535/cb", "http://[::1]/cb", "http://[::1]:8080/cb",
	} {
		l := fl.login(t, native, with("redirect_uri", uri))
		if to := l.back(t, "alice"); !strings.HasPrefix(to.String(), uri+"?") {
			t.Errorf("%s leads to %s", uri, to)
		}
	}
	for _, uri := range []string{
		"http://127.0.0.2/cb", "http://localhost/cb/", "http://localhost/", "http://localhost/other", "http://localhost/cb?a=b",
		"https://localhost/cb", "https://127.0.0.1:3000/cb", "http://localhost.evil.com/cb", "http://127.0.0.1.nip.io/cb", "http://LOCALHOST/cb",
		"http://localhost:/cb", "http://localhost:0/cb", "http://localhost:65536/cb", "http://localhost:80x/cb", "http://localhost:80@evil.com/cb",
		"http://user@localhost/cb", "http://[::2]/cb", "http://[::ffff:127.0.0.1]/cb", "http://[::1%25lo]/cb", "http://2130706433/cb",
		"http://127.1/cb", "http://0177.0.0.1/cb", "http://0.0.0.0/cb", "http://localhost./cb", "http://[localhost]/cb", "http://::1/cb",
	} {
		mustStay(t, uri, fl.login(t, native, with("redirect_uri", uri)).ask(t))
	}
	// A host is not another one, though both are the user's machine.
	only := Client{ID: "only", RedirectURIs: []string{"http://localhost/cb"}}
	for _, uri := range []string{"http://127.0.0.1/cb", "http://[::1]/cb"} {
		if matchRedirectURI(only.RedirectURIs[0], uri) {
			t.Errorf("%s is taken for localhost", uri)
		}
	}
}

var dangerousURIs = []string{
	"javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "\tjavascript:alert(1)", "java\tscript:alert(1)", "data:text/html,x",
	"vbscript:x", "file:///etc/passwd", "blob:https://client.example/1", "about:blank", "ftp://client.example/cb", "http://client.example/cb",
	"http://0.0.0.0/cb", "http://10.0.0.1/cb", "https://", "https:", "https:///cb", "com.example.app:/cb", "cursor://cb", "ws://localhost/cb",
	"https://client.example/cb#f", "https://user:pass@client.example/cb", "https://client.example/\u202e", "https://client.example/a b", "",
}

func TestT05_DangerousRedirectURIsAreRefusedAtRegistrationAndAtUse(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.RedirectSchemes = []string{"com.example.other"}; o.Limits = &Limits{} })
	for i, uri := range dangerousURIs {
		res := fl.register(t, map[string]any{"redirect_uris": []string{uri}})
		mustRefuse(t, "register "+uri, res, http.StatusBadRequest, "invalid_redirect_uri")
		fl.mustRegister(t, "beside another "+uri, map[string]any{"redirect_uris": []string{uri, callbackURI}}, callbackURI)
		_, err := New(&Options{
			Redis: fl.admin, Issuer: fl.url, Resources: []string{fl.url}, Upstream: upstreamStub(""),
			Clients: []Client{{ID: "c", RedirectURIs: []string{uri}}},
		})
		if err == nil {
			t.Errorf("%q can be configured", uri)
		}
		// A record of a time when less was refused.
		old := Client{ID: fmt.Sprintf("%s00000000-0000-4000-8000-%012d", clientIDPrefix, i), RedirectURIs: []string{uri}}
		if err := fl.instances[0].clients.register(t.Context(), &old); err != nil {
			t.Fatal(err)
		}
		mustStay(t, "authorize "+uri, fl.login(t, old).ask(t))
		mustStay(t, "authorize without naming "+uri, fl.login(t, old, with("redirect_uri")).ask(t))
	}
	res := fl.register(t, map[string]any{"redirect_uris": []string{"com.example.other:/cb"}, "token_endpoint_auth_method": "none"})
	if res.status != http.StatusCreated {
		t.Fatalf("a scheme on the list: %d %s", res.status, res.body)
	}
	l := fl.login(t, Client{ID: res.json(t)["client_id"].(string), RedirectURIs: []string{"com.example.other:/cb"}})
	if to := l.back(t, "alice"); to.Scheme != "com.example.other" || to.Query().Get("code") == "" {
		t.Errorf("it leads to %s", to)
	}
}

// No setting makes them acceptable: an operator's mistake is not enough.
func TestT05_DangerousSchemesAreNeverAccepted(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{
		"javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source", "http", "ftp", "ws", "wss", "mailto", "intent",
		"chrome", "content", "JAVASCRIPT", "Cursor", "cursor:", "cursor://x", "1x", "x y", "x\n", "",
	} {
		if ValidRedirectScheme(scheme) {
			t.Errorf("%q can be the scheme of an application", scheme)
		}
		for _, uri := range []string{scheme + ":x", scheme + "://client.example/cb", strings.ToUpper(scheme) + ":x"} {
			if checkRedirectURI(uri, []string{scheme, strings.ToLower(scheme)}) == nil && strings.ToLower(scheme) != "cursor" {
				t.Errorf("%q is a redirect URI", uri)
			}
			if newPages([]string{scheme}).link(uri) != "" && scheme != "http" && scheme != "" {
				t.Errorf("a page links to %q", uri)
			}
		}
	}
}

// register registers a client.
func (fl *fleet) register(t *testing.T, metadata map[string]any, change ...func(*http.Request)) response {
	t.Helper()
	body, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	return fl.registerJSON(t, string(body), change...)
}

func (fl *fleet) registerJSON(t *testing.T, body string, change ...func(*http.Request)) response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, fl.url+registerPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, f := range change {
		f(req)
	}
	b := newBrowser(t)
	b.Transport = fl.transport
	return b.do(t, req)
}

// Errors before the login, at a redirect URI that anyone may have registered.
func TestT02_BeforeTheLoginNoErrorRedirects(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	res := fl.register(t, map[string]any{"redirect_uris": []string{"https://attacker.example/"}, "token_endpoint_auth_method": "none"})
	attacker := Client{ID: res.json(t)["client_id"].(string), RedirectURIs: []string{"https://attacker.example/"}}
	for _, client := range []Client{attacker, public} {
		for code, change := range map[string]func(url.Values){
			"invalid_scope":             with("scope", "no such scope"),
			"unsupported_response_type": with("response_type", "token"),
			"invalid_request":           with("code_challenge"),
			"interaction_required":      with("prompt", "none"),
			"invalid_target":            with("resource", "https://elsewhere.example/"),
			"request_not_supported":     with("request", "x"),
			"request_uri_not_supported": with("request_uri", "https://attacker.example/r"),
		} {
			res := fl.login(t, client, change).ask(t)
			if res.status != http.StatusBadRequest || res.header.Get("Location") != "" || strings.Contains(res.body, "http-equiv") {
				t.Errorf("%s: %d %v %s", code, res.status, res.header, res.body)
			}
			// The user may follow a link, and then the client learns what was wrong.
			to, err := url.Parse(res.link(t))
			if err != nil || to.Query().Get("error") != code || to.Query().Get("state") != "the state" || to.Query().Get("iss") != fl.url {
				t.Errorf("%s: the link leads to %s, %v", code, to, err)
			}
		}
	}
}

func TestT03_ADenialIsToldByTheSameRule(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	res := fl.register(t, map[string]any{"redirect_uris": []string{"https://attacker.example/?iss=x"}, "token_endpoint_auth_method": "none"})
	attacker := Client{ID: res.json(t)["client_id"].(string), RedirectURIs: []string{"https://attacker.example/?iss=x"}}
	for _, client := range []Client{attacker, public} {
		l := fl.login(t, client)
		l.ask(t)
		atConsent := l.decide(t, "deny")
		if again := l.decide(t, "allow"); again.status != http.StatusForbidden {
			t.Errorf("allowed after the denial: %d", again.status)
		}
		l = fl.login(t, client)
		l.ask(t)
		upstream, err := url.Parse(l.decide(t, "allow").link(t))
		if err != nil {
			t.Fatal(err)
		}
		atLogin := l.get(t, l.url+"/callback?deny=1&state="+upstream.Query().Get("state"))
		for where, res := range map[string]response{"consent": atConsent, "login": atLogin} {
			if res.status != http.StatusOK || res.header.Get("Location") != "" {
				t.Errorf("%s: %d %v", where, res.status, res.header)
			}
			// Only to whom the operator vouches for does the browser go by itself.
			if auto := strings.Contains(res.body, "http-equiv"); auto != (client.ID == public.ID) {
				t.Errorf("%s of %s: by itself: %v", where, client.ID, auto)
			}
			to, err := url.Parse(res.link(t))
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"error": "access_denied", "state": "the state", "iss": fl.url} {
				if got := to.Query()[name]; !slices.Equal(got, []string{want}) {
					t.Errorf("%s: %s is %q", where, name, got)
				}
			}
		}
		if grants := fl.grantFields(t); len(grants) != 0 {
			t.Errorf("there are grants: %v", grants)
		}
	}
}

// RFC 9207. (Defect 13: a redirect URI's own query is kept, and state encoded.)
func TestT11_EveryResponseNamesTheIssuerOnce(t *testing.T) {
	t.Parallel()
	const state = "a b&code=x#%2f+é\""
	uris := []string{
		"https://client.example/cb?iss=https://evil.example", "https://client.example/cb?a=b%20c&iss=1&%69ss=2&d", "https://client.example/cb?code=1&state=2&error=3",
		"https://client.example/cb?a=1&a=2", "http://localhost/cb?tenant=7", "https://client.example?x", "https://client.example/%7Eu/cb?y=%2B+",
	}
	client := Client{ID: "client", RedirectURIs: uris}
	fl := oneFleet(t, func(o *Options) { o.Clients = append(o.Clients, client) })
	if m := fl.metadata(t, "/.well-known/oauth-authorization-server").json(t); m["issuer"] != fl.url || m["authorization_response_iss_parameter_supported"] != true {
		t.Errorf("metadata: %v", m)
	}
	for _, uri := range uris {
		l := fl.login(t, client, with("redirect_uri", uri), with("state", state))
		success := l.back(t, "alice")
		l = fl.login(t, client, with("redirect_uri", uri), with("state", state))
		l.ask(t)
		denial, err1 := url.Parse(l.decide(t, "deny").link(t))
		problem, err2 := url.Parse(fl.login(t, client, with("redirect_uri", uri), with("state", state), with("scope", "none")).ask(t).link(t))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		base, query, _ := strings.Cut(uri, "?")
		for what, to := range map[string]*url.URL{"code": success, "denial": denial, "error": problem} {
			q := to.Query()
			if !slices.Equal(q["iss"], []string{fl.url}) || !slices.Equal(q["state"], []string{state}) || len(q["code"])+len(q["error"]) != 1 {
				t.Errorf("%s, %s: %s", uri, what, to)
			}
			if !strings.HasPrefix(to.String(), base+"?") || to.Fragment != "" {
				t.Errorf("%s, %s: %s is another place", uri, what, to)
			}
			own, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range own {
				if !isResponseParameter(name) && !slices.Equal(q[name], values) {
					t.Errorf("%s, %s: %s became %q", uri, what, name, q[name])
				}
			}
		}
	}
}

func (fl *fleet) metadata(t *testing.T, path string, change ...func(*http.Request)) response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, fl.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	return newBrowser(t).do(t, req)
}

func TestAnEmptyStateIsNoState(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for _, change := range []func(url.Values){with("state"), with("state", "")} {
		if to := fl.login(t, public, change).back(t, "alice"); to.Query().Has("state") {
			t.Errorf("%s", to)
		}
	}
}
