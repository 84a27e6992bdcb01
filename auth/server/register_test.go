package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// mustRegister registers a client and fails the test unless the response says that
// it was registered with the redirect URIs that are wanted.
func (fl *fleet) mustRegister(t *testing.T, what string, metadata map[string]any, want ...string) Client {
	t.Helper()
	res := fl.register(t, metadata)
	if res.status != http.StatusCreated {
		t.Errorf("%s: %d %s", what, res.status, res.body)
		return Client{ID: "not registered", RedirectURIs: want}
	}
	v := res.json(t)
	var got []string
	for _, uri := range v["redirect_uris"].([]any) {
		got = append(got, uri.(string))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: registered with %q, want %q", what, got, want)
	}
	return Client{ID: v["client_id"].(string), RedirectURIs: got}
}

func TestARegistrationKeepsWhatCanBeServed(t *testing.T) {
	t.Parallel()
	const custom, local, web = "cursor://anysphere.cursor-mcp/oauth/callback", "http://localhost:8787/callback", "https://client.example/callback"
	eachFleet(t, func(t *testing.T, fl *fleet) {
		client := fl.mustRegister(t, "an editor", map[string]any{
			"redirect_uris": []string{custom, local, web}, "token_endpoint_auth_method": "none",
		}, local, web)
		for _, uri := range []string{local, "http://localhost:50123/callback", web} {
			l := fl.login(t, client, with("redirect_uri", uri))
			res := l.redeem(t, l.back(t, "alice").Query().Get("code"))
			access, refresh := mustServe(t, uri, res)
			fl.valid(t, uri, access)
			mustServe(t, uri, l.refresh(t, refresh))
		}
		mustStay(t, "what was left out", fl.login(t, client, with("redirect_uri", custom)).ask(t))
	})
}

func TestWhichRedirectURIsARegistrationKeeps(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.Limits = &Limits{}; o.RedirectSchemes = []string{"cursor", "com.example.app"} })
	many := func(n int, format string) (uris []string) {
		for i := range n {
			uris = append(uris, fmt.Sprintf(format, i))
		}
		return uris
	}
	long := callbackURI + strings.Repeat("x", 2048)
	for name, one := range map[string]struct{ asked, want []string }{
		"every form of loopback": {
			[]string{"http://localhost/", "http://localhost:1/", "http://127.0.0.1:65535/cb", "http://[::1]/cb", "http://[::1]:8080/cb"},
			[]string{"http://localhost/", "http://localhost:1/", "http://127.0.0.1:65535/cb", "http://[::1]/cb", "http://[::1]:8080/cb"},
		},
		"http elsewhere":          {[]string{"http://client.example/", "http://10.0.0.1/", "http://localhost.evil.example/", "http://localhost/"}, []string{"http://localhost/"}},
		"fragments and users":     {[]string{callbackURI + "#", callbackURI + "#x", "https://a@client.example/", callbackURI}, []string{callbackURI}},
		"no URIs":                 {[]string{"", "callback", "/callback", " " + callbackURI, "::", callbackURI}, []string{callbackURI}},
		"duplicates":              {[]string{callbackURI, "http://localhost/", callbackURI}, []string{callbackURI, "http://localhost/"}},
		"one that is too long":    {[]string{long, callbackURI}, []string{callbackURI}},
		"very many others":        {append(many(500, "other%d:/cb"), callbackURI), []string{callbackURI}},
		"as many as there may be": {many(10, "http://localhost/%d"), many(10, "http://localhost/%d")},
		"schemes that are accepted": {
			[]string{"cursor://anysphere.cursor-mcp/oauth/callback", "CURSOR://x", "com.example.app:/cb", "com.example.other:/cb", "vscode://x", "cursor://a@b/c"},
			[]string{"cursor://anysphere.cursor-mcp/oauth/callback", "CURSOR://x", "com.example.app:/cb"},
		},
	} {
		fl.mustRegister(t, name, map[string]any{"redirect_uris": one.asked}, one.want...)
	}
	for name, uris := range map[string][]string{
		"nothing": nil, "an empty list": {}, "none that can be served": {"vscode://x", "http://client.example/", ""},
		"more than can be stored": many(11, "http://localhost/%d"), "none that is short enough": {long},
	} {
		mustRefuse(t, name, fl.register(t, map[string]any{"redirect_uris": uris}), http.StatusBadRequest, "invalid_redirect_uri")
	}
}

// One rule for clients that register and those that have a document.
func TestADocumentKeepsTheSameRedirectURIs(t *testing.T) {
	t.Parallel()
	schemes := []string{"cursor"}
	for _, uris := range [][]string{
		{"cursor://x", "vscode://x", "http://localhost/", callbackURI}, {"vscode://x", callbackURI + "#"}, {}, dangerousURIs, notTheCallback,
	} {
		usable, err := usableRedirectURIs(uris, schemes)
		client, docErr := parseDocument(documentURL, []byte(documentOf(metadataSet{"redirect_uris": uris})), schemes)
		if (err == nil) != (docErr == nil) || err == nil && !slices.Equal(client.RedirectURIs, usable) {
			t.Errorf("%q: a document keeps %+v, %v; a registration %q, %v", uris, client, docErr, usable, err)
		}
	}
}

// An application that has only its scheme logs in if the operator accepts that, and
// the user is told where the access goes.
func TestAnAcceptedSchemeIsNamedAndServed(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for uri, scheme := range map[string]string{
			"cursor://anysphere.cursor-mcp/oauth/callback": "cursor:", "com.example.app:/oauth?kept=1": "com.example.app:", "CURSOR:cb": "cursor:",
		} {
			client := fl.mustRegister(t, uri, map[string]any{
				"redirect_uris": []string{uri}, "token_endpoint_auth_method": "none", "application_type": "web",
			}, uri)
			page := fl.login(t, client).ask(t)
			for _, want := range []string{`<dd class="host">` + scheme + "</dd>", "opens the application registered for " + scheme, "your own machine"} {
				if !strings.Contains(page.body, want) {
					t.Errorf("%s: the page lacks %q: %s", uri, want, page.body)
				}
			}
			if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self'") {
				t.Errorf("%s: policy %q", uri, policy)
			}
			l := fl.login(t, client)
			to := l.back(t, "alice")
			if !strings.EqualFold(to.Scheme+":", scheme) || strings.Contains(uri, "kept") != (to.Query().Get("kept") == "1") {
				t.Errorf("%s leads to %s", uri, to)
			}
			_, refresh := mustServe(t, uri, l.redeem(t, to.Query().Get("code")))
			mustServe(t, uri, l.refresh(t, refresh))
			for _, other := range []string{uri + "x", strings.Replace(uri, ":", "x:", 1), "cursor://other", "vscode://anysphere.cursor-mcp/oauth/callback"} {
				mustStay(t, other, fl.login(t, client, with("redirect_uri", other)).ask(t))
			}
		}
	}, func(o *Options) { o.RedirectSchemes = []string{"cursor", "com.example.app"} })
}
