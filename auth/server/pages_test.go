package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// grantKeys returns how many grants there are.
func grantKeys(t *testing.T, fl *fleet) (n int) {
	t.Helper()
	for _, key := range redistest.Keys(t, fl.admin, fl.prefix) {
		if strings.HasSuffix(key.Name, ":grant") {
			n++
		}
	}
	return n
}

// wantRefused fails unless the response is a page that says no and leads nowhere.
func wantRefused(t *testing.T, what string, res response) {
	t.Helper()
	if res.status != http.StatusForbidden || res.header.Get("Location") != "" || strings.Contains(res.body, "http-equiv") {
		t.Errorf("%s: %d %v", what, res.status, res.header)
	}
	checkPage(t, what, res)
}

// upstreamState approves and returns the state that the upstream gets.
func (l *login) upstreamState(t *testing.T) string {
	t.Helper()
	if res := l.ask(t); res.status != http.StatusOK {
		t.Fatalf("authorize: %d %s", res.status, res.body)
	}
	res := l.decide(t, "allow")
	if res.status != http.StatusOK {
		t.Fatalf("consent: %d %s", res.status, res.body)
	}
	to, err := url.Parse(res.link(t))
	if err != nil {
		t.Fatal(err)
	}
	return to.Query().Get("state")
}

// callBack opens the callback as an upstream would have the browser do it.
func (l *login) callBack(t *testing.T, b *browser, state string) response {
	t.Helper()
	return b.get(t, l.url+l.instances[0].opts.CallbackPath+"?"+url.Values{"state": {state}, "user": {"mallory"}}.Encode())
}

func TestT12_ConsentFromElsewhereIsRefused(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		set := func(name, value string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set(name, value) }
		}
		for name, spoil := range map[string]func(l, other *login) (*browser, []func(*http.Request)){
			"without token": func(l, _ *login) (*browser, []func(*http.Request)) { l.form.Del("token"); return l.browser, nil },
			"with a made-up token": func(l, _ *login) (*browser, []func(*http.Request)) {
				l.form.Set("token", random(secretBytes))
				return l.browser, nil
			},
			"with another's token": func(l, o *login) (*browser, []func(*http.Request)) {
				l.form.Set("token", o.form.Get("token"))
				return l.browser, nil
			},
			"of another's session": func(l, o *login) (*browser, []func(*http.Request)) {
				l.form.Set("flow", o.form.Get("flow"))
				return l.browser, nil
			},
			"another's form": func(l, o *login) (*browser, []func(*http.Request)) { l.form = o.form; return l.browser, nil },
			"without cookie": func(*login, *login) (*browser, []func(*http.Request)) { return newBrowser(t), nil },
			"with a made-up cookie": func(l, _ *login) (*browser, []func(*http.Request)) {
				b := newBrowser(t)
				b.Jar.SetCookies(mustURL(t, fl.url), []*http.Cookie{{Name: fl.instances[0].cookieName(l.form.Get("flow")), Value: random(secretBytes), Path: "/"}})
				return b, nil
			},
			"in another browser": func(_, o *login) (*browser, []func(*http.Request)) { return o.browser, nil },
			"from another site": func(l, _ *login) (*browser, []func(*http.Request)) {
				return l.browser, []func(*http.Request){set("Sec-Fetch-Site", "cross-site")}
			},
			"from a sibling site": func(l, _ *login) (*browser, []func(*http.Request)) {
				return l.browser, []func(*http.Request){set("Sec-Fetch-Site", "same-site")}
			},
			"from another origin": func(l, _ *login) (*browser, []func(*http.Request)) {
				return l.browser, []func(*http.Request){set("Origin", "https://evil.example")}
			},
			"from an opaque origin": func(l, _ *login) (*browser, []func(*http.Request)) {
				return l.browser, []func(*http.Request){set("Origin", "null")}
			},
		} {
			for _, decision := range []string{"allow", "deny"} {
				l, other := fl.login(t, public), fl.login(t, public)
				l.ask(t)
				other.ask(t)
				kept := url.Values{"flow": l.form["flow"], "token": l.form["token"]}
				b, change := spoil(l, other)
				l.form.Set("decision", decision)
				wantRefused(t, name+", "+decision, b.post(t, fl.url+consentPath, l.form, change...))
				// And nothing was spoilt for the user.
				l.form = kept
				if res := l.decide(t, decision); res.status != http.StatusOK {
					t.Errorf("%s, %s: afterwards: %d %s", name, decision, res.status, res.body)
				}
			}
		}
		l := fl.login(t, public)
		l.upstreamState(t)
		wantRefused(t, "denied after it was allowed", l.decide(t, "deny"))
		if n := grantKeys(t, fl); n != 0 {
			t.Errorf("there are %d grants", n)
		}
	})
}

// Users click twice, and step back. The page they get last is that of the first
// click, so the form is good for one login all the same.
func TestT12_ConsentGivenTwiceBeginsOneLogin(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, public)
		l.ask(t)
		first := l.decide(t, "allow")
		again := l.decide(t, "allow")
		if again.status != http.StatusOK || again.link(t) != first.link(t) {
			t.Errorf("the second time: %d %s, not what the first led to", again.status, again.body)
		}
		state := mustURL(t, first.link(t)).Query().Get("state")
		if res := l.callBack(t, l.browser, state); res.status != http.StatusSeeOther {
			t.Errorf("the login that both led to: %d %s", res.status, res.body)
		}
		wantRefused(t, "after the login", l.decide(t, "allow"))
		wantRefused(t, "the login, twice", l.callBack(t, l.browser, state))
		if n := grantKeys(t, fl); n != 1 {
			t.Errorf("there are %d grants", n)
		}
	})
}

func TestT13_ACallbackThatNobodyConsentedToIsRefused(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, public)
		l.ask(t)
		wantRefused(t, "no consent", l.callBack(t, l.browser, l.form.Get("flow")+"."+random(secretBytes)))

		l = fl.login(t, public)
		state := l.upstreamState(t)
		wantRefused(t, "no cookie", l.callBack(t, newBrowser(t), state))
		other := fl.login(t, public)
		otherState := other.upstreamState(t)
		wantRefused(t, "another browser", l.callBack(t, other.browser, state))
		wantRefused(t, "another browser's state", l.callBack(t, l.browser, otherState))
		wantRefused(t, "made-up state", l.callBack(t, l.browser, l.form.Get("flow")+"."+random(secretBytes)))
		for _, state := range []string{"", "x", "..", l.form.Get("flow"), l.form.Get("flow") + ".", random(grantIDBytes) + "." + random(secretBytes)} {
			wantRefused(t, "state "+state, l.callBack(t, l.browser, state))
		}
		if n := grantKeys(t, fl); n != 0 {
			t.Fatalf("there are %d grants", n)
		}

		// It is the user's turn still; but once only, even if the cookie is kept.
		at, err := url.Parse(fl.url)
		if err != nil {
			t.Fatal(err)
		}
		kept := l.Jar.Cookies(at)
		if res := l.callBack(t, l.browser, state); res.status != http.StatusSeeOther {
			t.Errorf("the user's own callback: %d %s", res.status, res.body)
		}
		wantRefused(t, "twice", l.callBack(t, l.browser, state))
		l.Jar.SetCookies(at, kept)
		wantRefused(t, "twice with the cookie", l.callBack(t, l.browser, state))
		if n := grantKeys(t, fl); n != 1 {
			t.Errorf("there are %d grants", n)
		}
	})
}

func TestT13_ASessionThatTookTooLongIsOver(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	l := fl.login(t, public)
	state := l.upstreamState(t)
	key := fl.instances[0].keys.AuthSession(l.form.Get("flow"))
	if ttl := fl.admin.Do(t.Context(), fl.admin.B().Pttl().Key(key).Build()); must(ttl.AsInt64()) > (10 * time.Minute).Milliseconds() {
		t.Error("an authorization session lives for more than 10 minutes")
	}
	// As if the time had passed.
	if err := fl.admin.Do(t.Context(), fl.admin.B().Pexpire().Key(key).Milliseconds(1).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	redistest.Until(t, "the session has ended", func() bool {
		return must(fl.admin.Do(t.Context(), fl.admin.B().Exists().Key(key).Build()).AsInt64()) == 0
	})
	// The browser's cookie has ended as well; an attacker would have kept it.
	wantRefused(t, "too late", l.callBack(t, l.browser, state))
}

// The upstream stub asks nobody, as one with a session of its own would do: so
// all that protects users is that they are asked here, every time.
func TestT14_EveryClientIsAskedForEveryTime(t *testing.T) {
	t.Parallel()
	second := Client{ID: "second", Name: "Second client", RedirectURIs: []string{"https://evil.example/callback"}}
	fl := oneFleet(t, func(o *Options) { o.Clients = append(o.Clients, second) })
	b := newBrowser(t)
	for _, client := range []Client{public, public, second} {
		l := fl.login(t, client)
		l.browser = b // all in the browser that has allowed the first
		res := l.ask(t)
		if res.status != http.StatusOK || !strings.Contains(res.body, client.Name) || l.form.Get("token") == "" || res.header.Get("Location") != "" {
			t.Errorf("%s: %d %v", client.ID, res.status, res.header)
		}
		if !strings.Contains(res.body, hostOf(client.RedirectURIs[0])) {
			t.Errorf("%s: the page does not say where the response goes", client.ID)
		}
		l.back(t, "alice")
	}
	if n := grantKeys(t, fl); n != 3 {
		t.Errorf("there are %d grants", n)
	}
}

func TestT15_ALoginFinishesWhereItBegan(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		// The attacker logs in himself and has the victim's browser finish it, so
		// that the victim uses the attacker's account; and the other way round.
		attacker, victim := fl.login(t, public), fl.login(t, public)
		state, other := attacker.upstreamState(t), victim.upstreamState(t)
		wantRefused(t, "attacker's login in the victim's browser", attacker.callBack(t, victim.browser, state))
		wantRefused(t, "victim's login in the attacker's browser", victim.callBack(t, attacker.browser, other))
		// A cookie of the right name but another session's value.
		var cookies []*http.Cookie
		at, err := url.Parse(fl.url)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range victim.Jar.Cookies(at) {
			cookies = append(cookies, &http.Cookie{Name: fl.instances[0].cookieName(attacker.form.Get("flow")), Value: c.Value, Path: "/"})
		}
		victim.Jar.SetCookies(at, cookies)
		wantRefused(t, "with the victim's secret", attacker.callBack(t, victim.browser, state))
		if n := grantKeys(t, fl); n != 0 {
			t.Errorf("there are %d grants", n)
		}
	})
}

func TestSessionCookieIsTheBrowsersOnly(t *testing.T) {
	t.Parallel()
	for issuer, prefix := range map[string]string{"https://auth.example": "__Host-", "http://localhost": ""} {
		fl := oneFleet(t, func(o *Options) { o.Issuer = issuer })
		res := fl.login(t, public).ask(t)
		c, err := http.ParseSetCookie(res.header.Get("Set-Cookie"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.Name, prefix+"mcp-flow-") || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != (prefix != "") {
			t.Errorf("%s: cookie %s", issuer, c)
		}
	}
}

var inlineStyle = regexp.MustCompile(`(?s)<style>(.*?)</style>`)

// checkPage fails unless a response has what every page must have.
func checkPage(t *testing.T, what string, res response) {
	t.Helper()
	h := res.header
	policy := h.Get("Content-Security-Policy")
	m := inlineStyle.FindStringSubmatch(res.body)
	if m == nil || !strings.Contains(policy, "style-src 'sha256-"+base64SHA256(m[1])+"'") {
		t.Errorf("%s: policy %q does not allow the style", what, policy)
	}
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !slices.Contains(strings.Split(policy, "; "), want) {
			t.Errorf("%s: policy %q lacks %s", what, policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") || strings.Contains(res.body, "<script") {
		t.Errorf("%s: a script, or a policy that allows one: %q", what, policy)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY",
		"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
	for _, part := range []string{`<html lang="en">`, `<meta name="viewport"`, "<title>", "<main>", "<h1>"} {
		if strings.Count(res.body, part) != 1 {
			t.Errorf("%s: %s is not there once", what, part)
		}
	}
	checkHeaders(t, what, res)
}

// checkHeaders fails unless a response has what every one must have.
func checkHeaders(t *testing.T, what string, res response) {
	t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
		if got := res.header.Get(name); got != want && !(name == "Cache-Control" && strings.HasPrefix(got, "public, max-age=")) {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
	if got := res.header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'; ") || !strings.Contains(got, "frame-ancestors 'none'") {
		t.Errorf("%s: policy %q", what, got)
	}
}

// A route is a request to the server, and what must come of it.
type route struct {
	name   string
	status int
	do     func(t *testing.T, fl *fleet) response
	html   bool
}

func get(path string) func(*testing.T, *fleet) response {
	return func(t *testing.T, fl *fleet) response { return newBrowser(t).get(t, fl.url+path) }
}

func post(path string, form url.Values) func(*testing.T, *fleet) response {
	return func(t *testing.T, fl *fleet) response { return newBrowser(t).post(t, fl.url+path, form) }
}

func method(name, path string) func(*testing.T, *fleet) response {
	return func(t *testing.T, fl *fleet) response {
		req, err := http.NewRequest(name, fl.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return newBrowser(t).do(t, req)
	}
}

func asking(change ...func(url.Values)) func(*testing.T, *fleet) response {
	return func(t *testing.T, fl *fleet) response { return fl.login(t, public, change...).ask(t) }
}

func deciding(decision string) func(*testing.T, *fleet) response {
	return func(t *testing.T, fl *fleet) response {
		l := fl.login(t, public)
		l.ask(t)
		return l.decide(t, decision)
	}
}

func callingBack(query string) func(*testing.T, *fleet) response {
	return func(t *testing.T, fl *fleet) response {
		l := fl.login(t, public)
		return l.get(t, l.url+l.instances[0].opts.CallbackPath+"?state="+l.upstreamState(t)+query)
	}
}

// routes are all endpoints, and every way in which the pages can go wrong.
var routes = []route{
	{"authorize", 200, asking(), true},
	{"authorize by form", 200, func(t *testing.T, fl *fleet) response {
		l := fl.login(t, public)
		return l.post(t, l.url+authorizePath, l.request)
	}, true},
	{"authorize, nothing", 400, get(authorizePath), true},
	{"authorize, no client", 400, asking(with("client_id", "nobody")), true},
	{"authorize, redirect URI", 400, asking(with("redirect_uri", "https://evil.example/")), true},
	{"authorize, scope", 400, asking(with("scope", "nope")), true},
	{"authorize, PKCE", 400, asking(with("code_challenge_method", "plain")), true},
	{"authorize, resource", 400, asking(with("resource", "https://evil.example/mcp")), true},
	{"authorize, prompt", 400, asking(with("prompt", "none")), true},
	{"authorize, long state", 400, asking(with("state", strings.Repeat("x", maxState+1))), true},
	{"authorize, twice", 400, get(authorizePath + "?client_id=a&client_id=b"), true},
	{"authorize, malformed", 400, get(authorizePath + "?client_id=%zz"), true},
	{"authorize, JSON", 400, func(t *testing.T, fl *fleet) response {
		return newBrowser(t).post(t, fl.url+authorizePath, nil, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
	}, true},
	{"authorize, too large", 413, post(authorizePath, url.Values{"state": {strings.Repeat("x", maxBody)}}), true},
	{"authorize, method", 405, method("PUT", authorizePath), true},
	{"authorize, preflight", 405, method("OPTIONS", authorizePath), true},
	{"consent, allow", 200, deciding("allow"), true},
	{"consent, deny", 200, deciding("deny"), true},
	{"consent, neither", 400, deciding("maybe"), true},
	{"consent, nothing", 403, post(consentPath, nil), true},
	{"consent, method", 405, get(consentPath), true},
	{"callback, nothing", 403, get("/callback"), true},
	{"callback, twice", 400, get("/callback?state=a&state=b"), true},
	{"callback, method", 405, post("/callback", nil), true},
	{"callback, denied", 200, callingBack("&deny=1"), true},
	{"callback, nobody", 500, callingBack(""), true},
	{"callback", 303, callingBack("&user=alice"), false},
	{"token, nothing", 401, post(tokenPath, nil), false},
	{"token, method", 405, get(tokenPath), false},
	{"token, preflight", 204, method("OPTIONS", tokenPath), false},
	{"token", 200, func(t *testing.T, fl *fleet) response {
		l := fl.login(t, public)
		return l.redeem(t, l.back(t, "alice").Query().Get("code"))
	}, false},
	{"register, nothing", 400, post(registerPath, nil), false},
	{"register, method", 405, get(registerPath), false},
	{"register", 201, func(t *testing.T, fl *fleet) response {
		return fl.register(t, map[string]any{"redirect_uris": []string{callbackURI}})
	}, false},
	{"revoke, nothing", 401, post(revokePath, nil), false},
	{"revoke, method", 405, get(revokePath), false},
	{"introspect, nothing", 401, post(introspectPath, nil), false},
	{"introspect, method", 405, get(introspectPath), false},
	{"metadata", 200, get("/.well-known/oauth-authorization-server"), false},
	{"metadata of OpenID", 200, get("/.well-known/openid-configuration"), false},
	{"metadata, method", 405, post("/.well-known/oauth-authorization-server", nil), false},
}

func TestT16_EveryPageForbidsFramesAndScripts(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for _, r := range routes {
		t.Run(r.name, func(t *testing.T) {
			res := r.do(t, fl)
			if res.status != r.status {
				t.Errorf("status %d, want %d: %s", res.status, r.status, res.body)
			}
			if r.html {
				checkPage(t, r.name, res)
				return
			}
			checkHeaders(t, r.name, res)
			if strings.Contains(res.header.Get("Content-Type"), "html") || strings.HasPrefix(res.body, "<") {
				t.Errorf("HTML that is no page of ours: %v %s", res.header, res.body)
			}
		})
	}
}

func TestT16_TroublePagesForbidFramesAndScripts(t *testing.T) {
	t.Parallel()
	broken := upstreamFunc(func() error { return errors.New("a secret of ours") })
	for name, one := range map[string]struct {
		change func(*Options)
		status int
		do     func(t *testing.T, fl *fleet) response
	}{
		"too many": {func(o *Options) { o.Limits = &Limits{Authorize: Rate{1, time.Hour}} }, 429, func(t *testing.T, fl *fleet) response {
			asking()(t, fl)
			return asking()(t, fl)
		}},
		"store away": {func(o *Options) { o.RedisTimeout = 200 * time.Millisecond }, 503, func(t *testing.T, fl *fleet) response {
			for _, instance := range fl.instances {
				instance.rdb.Close()
			}
			return asking()(t, fl)
		}},
		"upstream": {func(o *Options) { o.Upstream = broken }, 500, deciding("allow")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := one.do(t, oneFleet(t, one.change))
			if res.status != one.status || strings.Contains(res.body, "a secret of ours") {
				t.Errorf("%d %s", res.status, res.body)
			}
			if (res.header.Get("Retry-After") != "") != (res.status != 500) {
				t.Errorf("Retry-After is %q", res.header.Get("Retry-After"))
			}
			checkPage(t, name, res)
		})
	}
}

// An upstreamFunc is an upstream that does not work.
type upstreamFunc func() error

func (f upstreamFunc) Begin(context.Context, string) (*url.URL, []byte, error) { return nil, nil, f() }

func (f upstreamFunc) End(context.Context, *http.Request, []byte) (Login, error) { return Login{}, f() }

// nasty is what clients may try to write on our pages.
var nasty = []string{
	`"><script>alert(1)</script>`, `</title><script>alert(1)</script>`, `</style><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`, "javascript:alert(1)", "{{.Token}}", "<!--", "]]>", "\x00\x1b[31m", "a\r\nSet-Cookie: a=b",
	"evil\u202egnp.exe", "\u2066\u2067\u200b\ufeff", strings.Repeat("x", 10_000), strings.Repeat("\u0300", 500), "\xff\xfe",
}

// checkShown fails if what a client wrote is more than text on a page.
func checkShown(t *testing.T, what string, res response) {
	t.Helper()
	checkPage(t, what, res)
	for _, bad := range []string{"<script", "<img", "onerror=alert(1)>", "' onmouseover", "\u202e", "\u2066", "\u2067", "\u200b", "\ufeff", "\x00", "\x1b", "\r", strings.Repeat("x", 500), "\u0300\u0300\u0300\u0300"} {
		if strings.Contains(res.body, bad) {
			t.Errorf("%s: the page has %q", what, bad)
		}
	}
	for _, m := range regexp.MustCompile(`<[^>]*(?:href|action|src|url)=["']?([^"'> ]*)`).FindAllStringSubmatch(res.body, -1) {
		if u, err := url.Parse(m[1]); err != nil || u.Scheme != "https" && u.Scheme != "http" {
			t.Errorf("%s: the page leads to %s", what, m[0])
		}
	}
	if strings.ContainsFunc(res.body, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t'
	}) {
		t.Errorf("%s: the page has control characters", what)
	}
}

func TestT17_WhatClientsWriteStaysText(t *testing.T) {
	t.Parallel()
	for i, text := range nasty {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			named := Client{ID: "named", Name: text, RedirectURIs: []string{callbackURI}}
			fl := oneFleet(t, func(o *Options) {
				o.Clients = append(o.Clients, named)
				o.Scopes = append(slices.Clone(o.Scopes), Scope{"odd", text}) // the operator's, but who knows from where
				o.DefaultScopes = []string{"odd"}
			})
			l := fl.login(t, named, with("state", text))
			checkShown(t, "consent", l.ask(t))
			if len(text) <= maxState && utf8.ValidString(text) {
				denied := l.decide(t, "deny")
				checkShown(t, "deny", denied)
				if to, err := url.Parse(denied.link(t)); err != nil || to.Query().Get("state") != text || to.Host != "client.example" {
					t.Errorf("deny leads to %v, %v", to, err)
				}
			}
			for _, name := range []string{"client_id", "redirect_uri", "scope", "state", "resource", "response_type", "response_mode", "code_challenge", "prompt", text} {
				checkShown(t, name, fl.login(t, named, with(name, text), with("request", "x")).ask(t))
				checkShown(t, name+" alone", fl.login(t, named, with(name, text)).ask(t))
			}
			checkShown(t, "consent without a session", post(consentPath, url.Values{"flow": {text}, "token": {text}, "decision": {text}})(t, fl))
			checkShown(t, "callback", get("/callback?"+url.Values{"state": {text}, "error": {text}, "error_description": {text}}.Encode())(t, fl))
		})
	}
}

func TestT17_RegisteredNamesAreCutAndQualified(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for name, shown := range map[string]string{
		"Notes": "<bdi>Notes</bdi>", "": "<bdi>an application without a name</bdi>", "\u200b\u3164\u2800": "<bdi>an application without a name</bdi>",
		"evil\u202egnp.exe": "<bdi>evilgnp.exe</bdi>", strings.Repeat("é", 90): "<bdi>" + strings.Repeat("é", maxShownName) + "…</bdi>",
	} {
		res := fl.register(t, map[string]any{"redirect_uris": []string{callbackURI}, "client_name": name, "token_endpoint_auth_method": "none"})
		id, _ := res.json(t)["client_id"].(string)
		page := fl.login(t, Client{ID: id, RedirectURIs: []string{callbackURI}}).ask(t)
		checkShown(t, name, page)
		if !strings.Contains(page.body, shown) || !strings.Contains(page.body, "nobody has checked it") {
			t.Errorf("%q: %s", name, page.body)
		}
	}
}

func TestConsentPageSaysWhatIsAsked(t *testing.T) {
	t.Parallel()
	const scheme = "com.example.app"
	clients := []Client{
		{ID: "web", Name: "Notes", RedirectURIs: []string{"https://client.example:8443/callback?a=b"}},
		{ID: "native", Name: "Notes", RedirectURIs: []string{"http://127.0.0.1:1/callback"}},
		{ID: "app", Name: "Notes", RedirectURIs: []string{scheme + "://callback/x"}},
		{ID: "https://client.example/id", Name: "Notes", RedirectURIs: []string{"https://client.example/callback"}},
		{ID: "look-alike", Name: "Notes", RedirectURIs: []string{"https://%D0%B0pple.example/callback"}},
	}
	fl := oneFleet(t, func(o *Options) { o.Clients, o.RedirectSchemes = clients, []string{scheme} })
	for i, want := range [][]string{
		{`<dd class="host">client.example:8443</dd>`, "read your notes", "<code>read</code>", "/mcp</dd>"},
		{`<dd class="host">127.0.0.1:1</dd>`, "your own machine"},
		{`<dd class="host">com.example.app:</dd>`, "an application on this device", "your own machine"},
		{`<dd class="host">client.example</dd>`},
		{`<dd class="host">%D0%B0pple.example</dd>`},
	} {
		res := fl.login(t, clients[i], with("scope", "read")).ask(t)
		for _, part := range want {
			if !strings.Contains(res.body, part) {
				t.Errorf("%s: the page lacks %q: %s", clients[i].ID, part, res.body)
			}
		}
		if strings.Contains(res.body, "change your notes") || strings.Contains(res.body, "/other</dd>") || strings.Contains(res.body, "nobody has checked") ||
			strings.Contains(res.body, "described by a document") {
			t.Errorf("%s: the page says more than is asked: %s", clients[i].ID, res.body)
		}
		if local := i == 1 || i == 2; strings.Contains(res.body, "your own machine") != local {
			t.Errorf("%s: warning of the own machine: %v", clients[i].ID, !local)
		}
	}
}

// html/template would write #ZgotmplZ for a scheme that it does not know, and
// the login of every such application would end there.
func TestLinksOfApplicationsWork(t *testing.T) {
	t.Parallel()
	const scheme = "com.example.app"
	app := Client{ID: "app", RedirectURIs: []string{scheme + ":/callback?kept=1"}}
	fl := oneFleet(t, func(o *Options) { o.Clients, o.RedirectSchemes = []Client{app}, []string{scheme} })
	l := fl.login(t, app)
	l.ask(t)
	res := l.decide(t, "deny")
	to := res.link(t)
	if !strings.HasPrefix(to, scheme+":/callback?kept=1&") || !strings.Contains(to, "error=access_denied") {
		t.Errorf("the link leads to %s", to)
	}
	refresh := regexp.MustCompile(`<meta http-equiv="refresh" content="0;url=([^"]*)">`).FindStringSubmatch(res.body)
	if refresh == nil || html.UnescapeString(refresh[1]) != to {
		t.Errorf("the refresh leads to %q, the link to %s", refresh, to)
	}
	problem := fl.login(t, app, with("scope", "nope")).ask(t)
	if to := problem.link(t); !strings.HasPrefix(to, scheme+":/callback?kept=1&") || !strings.Contains(to, "invalid_scope") {
		t.Errorf("the problem's link leads to %s", to)
	}
}

func TestLinksRunNothing(t *testing.T) {
	t.Parallel()
	// Even if an operator has allowed the scheme.
	p := newPages([]string{"javascript", "data", "com.example.app"})
	for uri, ok := range map[string]bool{
		"https://client.example/": true, "http://localhost/": true, "com.example.app:/x": true,
		"javascript:alert(1)": false, "JavaScript:alert(1)": false, " javascript:alert(1)": false, "java\tscript:alert(1)": false,
		"data:text/html,x": false, "vbscript:x": false, "file:///etc/passwd": false, "blob:x": false, "org.example:/x": false, "": false, "/path": false, "//host": false,
	} {
		if got := p.link(uri) != ""; got != ok {
			t.Errorf("link to %q: %v", uri, got)
		}
	}
}

func TestPagesLeadNowhereRatherThanToAScript(t *testing.T) {
	t.Parallel()
	p := newPages(nil)
	for _, uri := range []string{"javascript:alert(1)", "data:text/html,x", "com.example.app:/x"} {
		for _, auto := range []bool{true, false} {
			left, failed := httptest.NewRecorder(), httptest.NewRecorder()
			p.leave(left, leavePage{To: uri, Host: hostOf(uri), Auto: auto})
			p.problem(failed, http.StatusBadRequest, problemPage{Back: uri, BackHost: hostOf(uri)})
			for _, body := range []string{left.Body.String(), failed.Body.String()} {
				if strings.Contains(body, "href") || strings.Contains(body, "http-equiv") || strings.Contains(body, "ZgotmplZ") {
					t.Errorf("%s: %s", uri, body)
				}
			}
		}
	}
}

func TestT03_DenyTellsTheClientByTheRuleOfTrust(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	res := fl.register(t, map[string]any{"redirect_uris": []string{callbackURI}, "token_endpoint_auth_method": "none"})
	id, _ := res.json(t)["client_id"].(string)
	for _, client := range []Client{public, {ID: id, RedirectURIs: []string{callbackURI}}} {
		l := fl.login(t, client)
		l.ask(t)
		res := l.decide(t, "deny")
		to, err := url.Parse(res.link(t))
		if err != nil {
			t.Fatal(err)
		}
		q := to.Query()
		if to.Host != "client.example" || !slices.Equal(q["error"], []string{"access_denied"}) || !slices.Equal(q["iss"], []string{fl.url}) || !slices.Equal(q["state"], []string{"the state"}) {
			t.Errorf("%s: the client would be told %s", client.ID, to)
		}
		// Only to whom the operator knows is the browser sent by itself.
		if auto := strings.Contains(res.body, "http-equiv"); auto != (client.ID == public.ID) || res.header.Get("Location") != "" {
			t.Errorf("%s: sent there by itself: %v", client.ID, auto)
		}
	}
}

func TestT35_ResponsesAreNotStoredRepeatedOrShared(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for _, r := range routes {
		t.Run(r.name, func(t *testing.T) {
			res := r.do(t, fl)
			checkHeaders(t, r.name, res)
			if res.status == http.StatusTemporaryRedirect || res.status == http.StatusPermanentRedirect || res.status == http.StatusFound {
				t.Errorf("a form could be sent on: %d", res.status)
			}
			if res.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("pages of other origins may use cookies")
			}
			own := r.html || strings.HasPrefix(r.name, "callback") || strings.HasPrefix(r.name, "introspect")
			want := "*"
			if own {
				want = ""
			}
			if got := res.header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("Access-Control-Allow-Origin is %q, want %q", got, want)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func base64SHA256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}
