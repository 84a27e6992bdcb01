package server

import (
	"encoding/base64"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// basic returns a change of a request that authenticates it.
func basic(id, secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

// What differs in nothing but a secret must not be told apart by the response; that
// comparing takes the same time is for the eye, helped by the next test.
func TestT30_AnUnknownClientAndAWrongSecretLookAlike(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	b := newBrowser(t)
	for _, path := range []string{tokenPath, revokePath} {
		form := url.Values{"grant_type": {grantCode}, "code": {newCredential(codeKind, random(grantIDBytes)).String()}, "code_verifier": {random(secretBytes)}, "token": {"x"}}
		want := b.post(t, fl.url+path, form, basic(private.ID, "wrong"))
		mustRefuse(t, "wrong secret", want, http.StatusUnauthorized, "invalid_client")
		for name, change := range map[string]func(*http.Request){
			"unknown client":       basic("nobody", "wrong"),
			"unknown registration": basic("mcp_f47ac10b-58cc-4372-a567-0e02b2c3d479", "wrong"),
			"empty secret":         basic(private.ID, ""),
			"a public client":      basic(public.ID, "wrong"),
		} {
			got := b.post(t, fl.url+path, form, change)
			if got.status != want.status || got.body != want.body || got.header.Get("WWW-Authenticate") != want.header.Get("WWW-Authenticate") {
				t.Errorf("%s: %d %v %s", name, got.status, got.header, got.body)
			}
		}
	}
}

// RFC 9110, section 15.5.2: whoever is answered 401 is told how to do better.
func TestEvery401SaysHowToAuthenticate(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	b := newBrowser(t)
	for _, path := range []string{tokenPath, revokePath, introspectPath} {
		res := b.post(t, fl.url+path, url.Values{"client_id": {private.ID}, "client_secret": {"wrong"}, "token": {"x"}})
		mustRefuse(t, path, res, http.StatusUnauthorized, "invalid_client")
		if got := res.header.Values("WWW-Authenticate"); len(got) != 1 || !strings.HasPrefix(got[0], "Basic ") {
			t.Errorf("%s: WWW-Authenticate %q", path, got)
		}
	}
}

// T30: no secret is compared in a way whose time tells how much of it was right.
func TestT30_NoSecretIsComparedByEquality(t *testing.T) {
	t.Parallel()
	secrets := regexp.MustCompile(`(?i)secret|verifier|challenge|hash|digest|browser|csrf|^token$`)
	name := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			return e.Sel.Name
		}
		return ""
	}
	files := token.NewFileSet()
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal(err)
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			b, ok := n.(*ast.BinaryExpr)
			if !ok || b.Op != token.EQL && b.Op != token.NEQ {
				return true
			}
			_, literal := b.Y.(*ast.BasicLit)
			if x, y := name(b.X), name(b.Y); !literal && y != "nil" && (secrets.MatchString(x) || secrets.MatchString(y)) {
				t.Errorf("%s compares %s with %s", files.Position(b.Pos()), x, y)
			}
			return true
		})
	}
}

// RFC 7009, section 2.2. (Defect 7: whose token it is is checked, and a refresh
// token takes its grant with it. Defect 8: introspection needs credentials.)
func TestT31_NobodyLearnsOfForeignTokens(t *testing.T) {
	t.Parallel()
	second := Client{ID: "second", RedirectURIs: []string{callbackURI}}
	fl := oneFleet(t, func(o *Options) {
		o.Clients = append(o.Clients, second)
		o.ResourceServers = append(o.ResourceServers, ResourceServer{"other-rs", HashSecret("other secret"), o.Resources[1:]})
	})
	l := fl.login(t, public)
	accessToken, refreshToken := l.tokens(t, "alice")
	thief := *l
	thief.client = second
	want := thief.asClient(t, revokePath, url.Values{"token": {newCredential(accessKind, random(grantIDBytes)).String()}})
	if want.status != http.StatusOK || want.body != "" {
		t.Errorf("an unknown token: %d %s", want.status, want.body)
	}
	for _, text := range []string{accessToken, refreshToken, "nonsense", accessToken[:len(accessToken)-1]} {
		if got := thief.asClient(t, revokePath, url.Values{"token": {text}}); got.status != want.status || got.body != want.body {
			t.Errorf("%s: %d %s", text, got.status, got.body)
		}
	}
	fl.valid(t, "after foreign revocations", accessToken)
	// Whoever sees an access token knows the grant's id, and of a public client all.
	for _, text := range []string{newCredential(refreshKind, strings.Split(accessToken, ".")[1]).String(), newCredential(accessKind, strings.Split(accessToken, ".")[1]).String()} {
		if got := l.asClient(t, revokePath, url.Values{"token": {text}}); got.status != want.status {
			t.Errorf("%s: %d %s", text, got.status, got.body)
		}
	}
	fl.valid(t, "after made-up tokens of its grant", accessToken)

	const inactive = `{"active":false}`
	ask := func(text string, change ...func(*http.Request)) response {
		return l.post(t, fl.url+introspectPath, url.Values{"token": {text}}, change...)
	}
	for name, change := range map[string]func(*http.Request){
		"nobody": func(*http.Request) {}, "wrong secret": basic("rs", "wrong"), "no secret": basic("rs", ""), "unknown": basic("x", "rs secret"),
		"a client": basic(private.ID, privateSecret), "another's secret": basic("rs", "other secret"), "bearer": header("Authorization", "Bearer "+accessToken),
	} {
		for _, text := range []string{accessToken, "nonsense"} {
			mustRefuse(t, name, ask(text, change), http.StatusUnauthorized, "invalid_client")
		}
	}
	for name, res := range map[string]response{
		"foreign audience": ask(accessToken, basic("other-rs", "other secret")), "unknown token": ask("nonsense", basic("rs", "rs secret")),
		"refresh token": ask(refreshToken, basic("rs", "rs secret")),
	} {
		if res.status != http.StatusOK || strings.TrimSpace(res.body) != inactive {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	if v := ask(accessToken, basic("rs", "rs secret")).json(t); v["active"] != true || v["sub"] != "alice" || v["client_id"] != public.ID || v["iss"] != fl.url {
		t.Errorf("its own resource server sees %v", v)
	}

	// The client's own: an access token alone, a refresh token with all.
	if res := l.asClient(t, revokePath, url.Values{"token": {accessToken}, "token_type_hint": {"refresh_token"}}); res.status != http.StatusOK {
		t.Errorf("revoke: %d %s", res.status, res.body)
	}
	fl.dead(t, "the access token", accessToken)
	accessToken, successor := mustServe(t, "refresh", l.refresh(t, refreshToken))
	if res := l.asClient(t, revokePath, url.Values{"token": {successor}}); res.status != http.StatusOK {
		t.Errorf("revoke: %d %s", res.status, res.body)
	}
	fl.dead(t, "the access token of a revoked grant", accessToken)
	mustRefuse(t, "its refresh token", l.refresh(t, successor), http.StatusBadRequest, "invalid_grant")
}

func TestRevocationIsHeardEverywhere(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		l := fl.login(t, private)
		for _, which := range []func(a, r string) string{func(a, _ string) string { return a }, func(_, r string) string { return r }} {
			accessToken, refreshToken := l.tokens(t, "alice")
			fl.valid(t, "before", accessToken) // and in every cache
			if res := l.asClient(t, revokePath, url.Values{"token": {which(accessToken, refreshToken)}}); res.status != http.StatusOK {
				t.Fatalf("revoke: %d %s", res.status, res.body)
			}
			fl.dead(t, "after", accessToken)
		}
	})
}

func TestT32_RegistrationsAreBounded(t *testing.T) {
	t.Parallel()
	metadata := map[string]any{"redirect_uris": []string{callbackURI}}
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for i := range 3 {
			// Without trusted proxies nobody is believed who says to be another.
			if res := fl.register(t, metadata, header("X-Forwarded-For", fmt.Sprint("192.0.2.", i))); res.status != http.StatusCreated {
				t.Fatalf("registration %d: %d %s", i, res.status, res.body)
			}
		}
		for i := range fl.instances {
			res := fl.register(t, metadata, header("X-Forwarded-For", fmt.Sprint("192.0.2.", 100+i)), header("Forwarded", "for=192.0.2.9"))
			mustRefuse(t, "one more", res, http.StatusTooManyRequests, "too_many_requests")
			if after := res.header.Get("Retry-After"); after == "" || after == "0" || res.header.Get("RateLimit-Remaining") != "0" {
				t.Errorf("headers %v", res.header)
			}
		}
		for _, k := range redistest.AssertTTLs(t, fl.admin, fl.prefix) {
			if strings.HasSuffix(k.Name, ":client") && k.TTL > 30*24*time.Hour {
				t.Errorf("%s lives for %v", k.Name, k.TTL)
			}
		}
	}, func(o *Options) { o.Limits = &Limits{Register: Rate{3, time.Hour}} })

	t.Run("by address behind a proxy", func(t *testing.T) {
		t.Parallel()
		fl := oneFleet(t, func(o *Options) { o.Limits, o.TrustedProxies = &Limits{Register: Rate{1, time.Hour}}, 1 })
		for i, want := range []int{http.StatusCreated, http.StatusTooManyRequests} {
			res := fl.register(t, metadata, header("X-Forwarded-For", fmt.Sprintf("203.0.113.%d, 192.0.2.1", i)))
			if res.status != want {
				t.Errorf("%d: %d, want %d", i, res.status, want)
			}
		}
		if res := fl.register(t, metadata, header("X-Forwarded-For", "192.0.2.2")); res.status != http.StatusCreated {
			t.Errorf("another address: %d", res.status)
		}
	})
	t.Run("in all", func(t *testing.T) {
		t.Parallel()
		fl := oneFleet(t, func(o *Options) { o.Limits, o.TrustedProxies = &Limits{NewClients: Rate{2, time.Hour}}, 1 })
		for i, want := range []int{http.StatusCreated, http.StatusCreated, http.StatusTooManyRequests} {
			fl.register(t, map[string]any{"redirect_uris": []string{}}) // what is refused is not counted
			res := fl.register(t, metadata, header("X-Forwarded-For", fmt.Sprint("192.0.2.", i)))
			if res.status != want || want == http.StatusTooManyRequests && res.header.Get("Retry-After") == "" {
				t.Errorf("%d: %d %v, want %d", i, res.status, res.header, want)
			}
		}
	})
	t.Run("in size", func(t *testing.T) {
		t.Parallel()
		fl := oneFleet(t)
		many := slices.Repeat([]string{callbackURI}, 11)
		mustRefuse(t, "11 redirect URIs", fl.register(t, map[string]any{"redirect_uris": many}), http.StatusBadRequest, "invalid_redirect_uri")
		if res := fl.register(t, map[string]any{"redirect_uris": many[:10]}); res.status != http.StatusCreated {
			t.Errorf("10 redirect URIs: %d %s", res.status, res.body)
		}
		mustRefuse(t, "65 KiB", fl.register(t, map[string]any{"redirect_uris": many[:1], "x": strings.Repeat("x", 65<<10)}), http.StatusRequestEntityTooLarge, "invalid_request")
		mustRefuse(t, "a long name", fl.register(t, map[string]any{"redirect_uris": many[:1], "client_name": strings.Repeat("x", 201)}), http.StatusBadRequest, "invalid_client_metadata")
		long := callbackURI + strings.Repeat("x", 2048-len(callbackURI))
		if res := fl.register(t, map[string]any{"redirect_uris": []string{long, long}}); res.status != http.StatusCreated {
			t.Errorf("2 long redirect URIs: %d %s", res.status, res.body)
		}
		mustRefuse(t, "3 long redirect URIs", fl.register(t, map[string]any{"redirect_uris": []string{long, long, long}}), http.StatusBadRequest, "invalid_redirect_uri")
		mustRefuse(t, "a long URI", fl.register(t, map[string]any{"redirect_uris": []string{callbackURI + strings.Repeat("x", 2048)}}), http.StatusBadRequest, "invalid_redirect_uri")
	})
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			fl, _ := bubbleFleet(t, func(o *Options) { o.ClientTTL = time.Minute })
			newLogin := func() *login {
				res := fl.register(t, map[string]any{"redirect_uris": []string{callbackURI}, "token_endpoint_auth_method": "none"})
				return fl.login(t, Client{ID: res.json(t)["client_id"].(string), RedirectURIs: []string{callbackURI}})
			}
			inUse, l := newLogin(), newLogin()
			for range 3 {
				time.Sleep(40 * time.Second)
				if res := inUse.ask(t); res.status != http.StatusOK {
					t.Errorf("a client in use: %d %s", res.status, res.body)
				}
			}
			mustStay(t, "a client that nobody used", l.ask(t))
			mustRefuse(t, "at the token endpoint", l.refresh(t, newCredential(refreshKind, random(grantIDBytes)).String()), http.StatusUnauthorized, "invalid_client")
		})
	})
}

func TestT33_GuessingASecretShutsOutNobodyElse(t *testing.T) {
	t.Parallel()
	second := Client{ID: "second", RedirectURIs: []string{callbackURI}, AuthMethod: methodPost, SecretHash: HashSecret("second secret of 128 bits")}
	eachFleet(t, func(t *testing.T, fl *fleet) {
		from := func(address string) func(*http.Request) { return header("X-Forwarded-For", address) }
		b := newBrowser(t)
		try := func(id, secret, address string) response {
			form := url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {newCredential(refreshKind, random(grantIDBytes)).String()}, "client_id": {id}}
			if secret != "" {
				form.Set("client_secret", secret)
			}
			return b.post(t, fl.url+tokenPath, form, from(address))
		}
		for _, id := range []string{private.ID, "nobody", public.ID} {
			for range 5 {
				mustRefuse(t, "a guess", try(id, "guess", "192.0.2.1"), http.StatusUnauthorized, "invalid_client")
			}
			for _, secret := range []string{"guess", privateSecret} { // the right one as well: who guesses must not see it
				res := try(id, secret, "192.0.2.1")
				mustRefuse(t, "one more of "+id, res, http.StatusTooManyRequests, "too_many_requests")
				if after := res.header.Get("Retry-After"); after == "" || after == "0" {
					t.Errorf("Retry-After %q", after)
				}
			}
		}
		// invalid_grant: the client was let in.
		mustRefuse(t, "the client from elsewhere", try(private.ID, privateSecret, "192.0.2.2"), http.StatusBadRequest, "invalid_grant")
		mustRefuse(t, "another client from there", try(second.ID, "second secret of 128 bits", "192.0.2.1"), http.StatusBadRequest, "invalid_grant")
		mustRefuse(t, "the public client from there", try(public.ID, "", "192.0.2.1"), http.StatusBadRequest, "invalid_grant")

		for range 5 {
			b.post(t, fl.url+introspectPath, url.Values{"token": {"x"}}, from("192.0.2.1"), basic("rs", "guess"))
		}
		res := b.post(t, fl.url+introspectPath, url.Values{"token": {"x"}}, from("192.0.2.1"), basic("rs", "rs secret"))
		mustRefuse(t, "the resource server's secret", res, http.StatusTooManyRequests, "too_many_requests")
		if res := b.post(t, fl.url+introspectPath, url.Values{"token": {"x"}}, from("192.0.2.3"), basic("rs", "rs secret")); res.status != http.StatusOK {
			t.Errorf("the resource server from elsewhere: %d %s", res.status, res.body)
		}
		redistest.AssertTTLs(t, fl.admin, fl.prefix)
	}, func(o *Options) {
		o.Clients, o.TrustedProxies = append(o.Clients, second), 1
		o.Limits = &Limits{Failures: Rate{5, time.Hour}}
	})
}

// Whoever sends a resource server tokens of his own making decides how often it
// has to ask: that must not shut out its users.
func TestT33_AResourceServerMayAskAsOftenAsItIsAsked(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.Limits = &Limits{Introspect: Rate{2, time.Hour}} })
	l := fl.login(t, public)
	accessToken, _ := l.tokens(t, "alice")
	ask := func(text string, change func(*http.Request)) response {
		return l.post(t, fl.url+introspectPath, url.Values{"token": {text}}, change)
	}
	for range 5 {
		if res := ask(newCredential(accessKind, random(grantIDBytes)).String(), basic("rs", "rs secret")); res.status != http.StatusOK {
			t.Fatalf("a made-up token: %d %s", res.status, res.body)
		}
	}
	for _, want := range []int{http.StatusUnauthorized, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusTooManyRequests} {
		if res := ask(accessToken, basic(random(8), "guess")); res.status != want || want == http.StatusTooManyRequests && res.header.Get("Retry-After") == "" {
			t.Errorf("nobody: %d %v %s, want %d", res.status, res.header, res.body, want)
		}
	}
	if res := ask(accessToken, basic("rs", "rs secret")); res.json(t)["active"] != true {
		t.Errorf("a user's token: %d %s", res.status, res.body)
	}
}

func TestT33_ClientsThatAuthenticateAreNotCounted(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.Limits = &Limits{Failures: Rate{1, time.Hour}} })
	l := fl.login(t, private)
	_, refreshToken := l.tokens(t, "alice")
	for range 5 {
		_, refreshToken = mustServe(t, "refresh", l.refresh(t, refreshToken))
	}
}

func TestT34_ParametersAreThereOnceInTheirPlace(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	for _, name := range []string{"response_type", "client_id", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method", "unknown"} {
		for _, values := range [][]string{{"a", "b"}, {"", ""}} {
			l := fl.login(t, public)
			twice := l.request
			if twice.Get(name) != "" && values[0] != "" {
				values = slices.Repeat([]string{twice.Get(name)}, 2)
			}
			twice[name] = values
			mustStay(t, name, l.ask(t))
			res := l.post(t, fl.url+authorizePath, twice)
			mustStay(t, "POST "+name, res)
		}
	}
	l := fl.login(t, public, with("resource", fl.url+"/mcp", fl.url+"/other"))
	code := l.code(t, "alice")
	for _, name := range []string{"grant_type", "client_id", "code", "code_verifier", "redirect_uri", "scope", "unknown"} {
		mustRefuse(t, name, l.redeem(t, code, func(form url.Values) { form[name] = []string{form.Get(name), form.Get(name)} }), http.StatusBadRequest, "invalid_request")
	}
	both := func(form url.Values) { form.Set("client_secret", privateSecret) }
	p := fl.login(t, private)
	mustRefuse(t, "body and Basic", p.redeem(t, code, both), http.StatusBadRequest, "invalid_request")
	mustRefuse(t, "another client_id in the body", p.redeem(t, code, with("client_id", public.ID)), http.StatusBadRequest, "invalid_request")
	form := url.Values{"grant_type": {grantCode}, "code": {code}, "code_verifier": {l.verifier}, "client_id": {public.ID}}
	for name, change := range map[string]func(*http.Request){
		"JSON":           header("Content-Type", "application/json"),
		"multipart":      header("Content-Type", "multipart/form-data; boundary=x"),
		"no media type":  func(r *http.Request) { r.Header.Del("Content-Type") },
		"no UTF-8":       func(r *http.Request) { replaceBody(r, form.Encode()+"&x=%ff") },
		"bad escape":     func(r *http.Request) { replaceBody(r, form.Encode()+"&x=%zz") },
		"two of headers": header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("public:")), "Basic x"),
		"in the query":   func(r *http.Request) { r.URL.RawQuery = form.Encode(); replaceBody(r, "") },
	} {
		res := l.post(t, fl.url+tokenPath, form, change)
		if v := res.json(t); res.status/100 != 4 || v["error"] != "invalid_request" && v["error"] != "invalid_client" {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	mustRefuse(t, "64 KiB", l.redeem(t, code, with("x", strings.Repeat("x", 65<<10))), http.StatusRequestEntityTooLarge, "invalid_request")
	mustServe(t, "several resources, and empty parameters", l.redeem(t, code, with("resource", fl.url+"/mcp", fl.url+"/other"), with("scope", ""), with("client_secret", "")))

	b := newBrowser(t)
	for path, allow := range map[string]string{
		tokenPath: "POST, OPTIONS", revokePath: "POST, OPTIONS", registerPath: "POST, OPTIONS", introspectPath: "POST",
		authorizePath: "GET, POST", consentPath: "POST", "/callback": "GET", "/.well-known/oauth-authorization-server": "GET, OPTIONS",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"} {
			isHead := method == "HEAD" && strings.Contains(path, "well-known")
			if slices.Contains(strings.Split(allow, ", "), method) || isHead {
				continue
			}
			req, err := http.NewRequest(method, fl.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res := b.do(t, req); res.status != http.StatusMethodNotAllowed || res.header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, res.status, res.header.Get("Allow"))
			}
		}
	}
}

func replaceBody(r *http.Request, body string) {
	n, _ := http.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
	r.Body, r.ContentLength, r.GetBody = n.Body, n.ContentLength, n.GetBody
}

// What the server says of itself it has from its options.
func TestT36_HostAndForwardedHeadersChangeNothing(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	lies := []func(*http.Request){
		func(r *http.Request) { r.Host = "evil.example" }, header("X-Forwarded-Host", "evil.example"), header("X-Forwarded-Proto", "https"),
		header("Forwarded", "host=evil.example;proto=https"), header("X-Original-Url", "https://evil.example/"), header("X-Forwarded-Prefix", "/evil"),
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		want, got := fl.metadata(t, path), fl.metadata(t, path, lies...)
		if want.status != http.StatusOK || got.status != want.status || got.body != want.body || !strings.Contains(want.body, `"issuer":"`+fl.url+`"`) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	l := fl.login(t, public)
	req, err := http.NewRequest(http.MethodGet, fl.url+authorizePath+"?"+l.request.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, lie := range lies {
		lie(req)
	}
	if res := newBrowser(t).do(t, req); res.status != http.StatusOK || strings.Contains(res.body, "evil.example") || !strings.Contains(res.body, `action="`+fl.url+consentPath) {
		t.Errorf("consent page: %d %s", res.status, res.body)
	}
	res := l.post(t, fl.url+tokenPath, url.Values{"grant_type": {grantCode}}, append(lies, basic("nobody", "x"))...)
	if strings.Contains(fmt.Sprint(res.header, res.body), "evil") {
		t.Errorf("token: %v %s", res.header, res.body)
	}
}

// A page of any origin may call the token endpoint, which does it no good: what
// it needs it has only if it is the client. (Defect 14: no credentials in CORS.)
func TestT44_CookiesDoNotAuthenticateAtTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	evil := []func(*http.Request){header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "cors")}
	l := fl.login(t, private)
	code := l.code(t, "alice")
	l.ask(t) // the browser has a cookie of another session as well
	for name, form := range map[string]url.Values{
		"code without verifier": {"grant_type": {grantCode}, "code": {code}, "client_id": {private.ID}},
		"without the secret":    {"grant_type": {grantCode}, "code": {code}, "code_verifier": {l.verifier}, "client_id": {private.ID}},
		"session instead":       {"grant_type": {grantCode}, "code": {l.form.Get("flow")}, "code_verifier": {l.verifier}, "client_id": {private.ID}},
	} {
		withCookies, without := l.post(t, fl.url+tokenPath, form, evil...), newBrowser(t).post(t, fl.url+tokenPath, form, evil...)
		if withCookies.status != http.StatusUnauthorized || withCookies.status != without.status || withCookies.body != without.body {
			t.Errorf("%s: %d %s with cookies, %d %s without", name, withCookies.status, withCookies.body, without.status, without.body)
		}
	}
	p := fl.login(t, public)
	form := url.Values{"grant_type": {grantCode}, "code": {p.code(t, "alice")}, "client_id": {public.ID}, "code_verifier": {p.verifier}}
	res := newBrowser(t).post(t, fl.url+tokenPath, form, evil...)
	mustServe(t, "a client in a browser, of whatever origin", res)
	if res.header.Get("Access-Control-Allow-Origin") != "*" || res.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("CORS headers %v", res.header)
	}
	for _, path := range []string{tokenPath, revokePath, registerPath} {
		req, err := http.NewRequest(http.MethodOptions, fl.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://evil.example")
		req.Header.Set("Access-Control-Request-Method", "POST")
		if res := l.do(t, req); res.status != http.StatusNoContent || res.header.Get("Access-Control-Allow-Credentials") != "" || res.header.Get("Set-Cookie") != "" {
			t.Errorf("preflight of %s: %d %v", path, res.status, res.header)
		}
	}
}

// Defect 11: what the metadata lists works, and what works is listed.
func TestMetadataIsTrueOfClientAuthentication(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	m := fl.metadata(t, "/.well-known/oauth-authorization-server").json(t)
	listed := fmt.Sprint(m["token_endpoint_auth_methods_supported"])
	for _, method := range []string{"", "none", "client_secret_basic", "client_secret_post"} {
		metadata := map[string]any{"redirect_uris": []string{callbackURI}, "client_name": "A client"}
		if method != "" {
			metadata["token_endpoint_auth_method"] = method
		}
		res := fl.register(t, metadata)
		v := res.json(t)
		if method == "" {
			method = "client_secret_basic" // RFC 7591, section 2
		}
		if res.status != http.StatusCreated || v["token_endpoint_auth_method"] != method || !strings.Contains(listed, method) {
			t.Errorf("%s: %d %s; listed are %s", method, res.status, res.body, listed)
		}
		secret, _ := v["client_secret"].(string)
		if expires, _ := v["client_secret_expires_at"].(float64); (secret != "") != (method != "none") || secret != "" && int64(expires) < time.Now().Unix() {
			t.Errorf("%s: secret %q until %v", method, secret, v["client_secret_expires_at"])
		}
		l := fl.login(t, Client{ID: v["client_id"].(string), RedirectURIs: []string{callbackURI}})
		for name, change := range map[string]func(*http.Request){
			"none":                func(*http.Request) {},
			"client_secret_basic": basic(l.client.ID, secret),
			"client_secret_post":  nil,
		} {
			form := url.Values{"grant_type": {grantCode}, "code": {l.code(t, "alice")}, "code_verifier": {l.verifier}, "client_id": {l.client.ID}}
			if name == "client_secret_post" {
				form.Set("client_secret", secret)
				change = func(*http.Request) {}
			}
			// A secret may be sent in either way; who has none sends none.
			want := http.StatusOK
			if (name == "none") != (method == "none") && secret != "" {
				want = http.StatusUnauthorized
			}
			if res := l.post(t, fl.url+tokenPath, form, change); res.status != want {
				t.Errorf("a client of %s by %s: %d %s, want %d", method, name, res.status, res.body, want)
			}
		}
	}
	var wellKnown []string
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		wellKnown = append(wellKnown, fl.metadata(t, path).body)
	}
	if len(slices.Compact(wellKnown)) != 1 {
		t.Error("the well-known documents differ")
	}
}

func TestMetadataOfAnIssuerWithPathIsFoundInEveryPlace(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t, func(o *Options) { o.Issuer += "/tenant/one" })
	want := fl.metadata(t, "/.well-known/oauth-authorization-server/tenant/one")
	if m := want.json(t); m["issuer"] != fl.url+"/tenant/one" || m["token_endpoint"] != fl.url+"/tenant/one/token" {
		t.Errorf("%s", want.body)
	}
	for _, path := range []string{"/.well-known/openid-configuration/tenant/one", "/tenant/one/.well-known/openid-configuration"} {
		if got := fl.metadata(t, path); got.body != want.body {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	fl.url += "/tenant/one"
	l := fl.login(t, public)
	mustServe(t, "the flow", l.redeem(t, l.code(t, "alice")))
}

func TestOptionsThatCannotBeUsedAreNamed(t *testing.T) {
	t.Parallel()
	client := oneFleet(t).admin
	hash := HashSecret("a secret")
	for want, change := range map[string]func(*Options){
		"Options.Redis":                          func(o *Options) { o.Redis = nil },
		"Options.Upstream":                       func(o *Options) { o.Upstream = nil },
		`Options.Issuer "http://a.example"`:      func(o *Options) { o.Issuer = "http://a.example" },
		`Options.Issuer "https://a.example/"`:    func(o *Options) { o.Issuer += "/" },
		`Options.Issuer "https://a.example?x"`:   func(o *Options) { o.Issuer += "?x" },
		`Options.Issuer "https://a.example/{x}"`: func(o *Options) { o.Issuer += "/{x}" },
		"Options.Resources is empty":             func(o *Options) { o.Resources = nil },
		`Options.Resources: "/mcp"`:              func(o *Options) { o.Resources = []string{"/mcp"} },
		`Options.Resources: "https://a#"`:        func(o *Options) { o.Resources = []string{"https://a#"} },
		"Options.CodeTTL is 11m0s":               func(o *Options) { o.CodeTTL = 11 * time.Minute },
		"Options.AccessTokenTTL is negative":     func(o *Options) { o.AccessTokenTTL = -time.Second },
		"Options.MaxGrantAge is 59m0s":           func(o *Options) { o.MaxGrantAge = 59 * time.Minute },
		`Options.CallbackPath "callback"`:        func(o *Options) { o.CallbackPath = "callback" },
		`Options.CallbackPath "/token"`:          func(o *Options) { o.CallbackPath = "/token" },
		`Options.CallbackPath "/jwks"`:           func(o *Options) { o.CallbackPath = "/jwks" },
		`Options.CallbackPath "/{x}"`:            func(o *Options) { o.CallbackPath = "/{x}" },
		`Options.RedirectSchemes: "javascript"`:  func(o *Options) { o.RedirectSchemes = []string{"javascript"} },
		`Options.RedirectSchemes: "Com.App"`:     func(o *Options) { o.RedirectSchemes = []string{"Com.App"} },
		"Options.TrustedProxies":                 func(o *Options) { o.TrustedProxies = -1 },
		"Options.Prefix":                         func(o *Options) { o.Prefix = "{a}" },
		`Options.Scopes: "offline_access"`:       func(o *Options) { o.Scopes = []Scope{{Name: "offline_access"}} },
		`Options.Scopes: "a b"`:                  func(o *Options) { o.Scopes = []Scope{{Name: "a b"}} },
		`Options.Scopes has "a" twice`:           func(o *Options) { o.Scopes = []Scope{{Name: "a"}, {Name: "a"}} },
		`Options.DefaultScopes: "b"`:             func(o *Options) { o.DefaultScopes = []string{"b"} },
		`client ID "" is empty`:                  func(o *Options) { o.Clients = []Client{{}} },
		`client ID "c" is empty or there`:        func(o *Options) { o.Clients = []Client{{ID: "c"}, {ID: "c"}} },
		`unknown auth method "x"`:                func(o *Options) { o.Clients = []Client{{ID: "c", AuthMethod: "x"}} },
		`client "c" has no secret hash`:          func(o *Options) { o.Clients = []Client{{ID: "c", AuthMethod: methodBasic}} },
		`client "d" has no secret hash`:          func(o *Options) { o.Clients = []Client{{ID: "d", AuthMethod: methodPost, SecretHash: HashSecret("")}} },
		`client "e" has a secret hash`:           func(o *Options) { o.Clients = []Client{{ID: "e", SecretHash: hash}} },
		`client "g" has scope "x"`:               func(o *Options) { o.Clients = []Client{{ID: "g", Scopes: []string{"x"}}} },
		`client "f" has no keys`:                 func(o *Options) { o.Clients = []Client{{ID: "f", AuthMethod: methodAssertion}} },
		`"rs" has no ID or no secret hash`:       func(o *Options) { o.ResourceServers = []ResourceServer{{"rs", "plain", o.Resources[:1]}} },
		`is not in Options.Resources`:            func(o *Options) { o.ResourceServers = []ResourceServer{{"rs", hash, []string{"https://b.example"}}} },
	} {
		o := &Options{Redis: client, Issuer: "https://a.example", Resources: []string{"https://a.example/mcp"}, Upstream: upstreamStub("")}
		if _, err := New(o); err != nil {
			t.Fatal(err)
		}
		change(o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := New(nil); err == nil {
		t.Error("no options at all will do")
	}
}

// Every script says in its head what its keys and arguments are.
func TestScriptsSayWhatTheyTake(t *testing.T) {
	t.Parallel()
	scripts, err := fs.Glob(os.DirFS("lua"), "*.lua")
	if err != nil || len(scripts) == 0 {
		t.Fatal(err)
	}
	argument := regexp.MustCompile(`(KEYS|ARGV)\[\d+\]`)
	for _, name := range scripts {
		text, err := os.ReadFile(filepath.Join("lua", name))
		if err != nil {
			t.Fatal(err)
		}
		head, body := map[string]bool{}, map[string]bool{}
		for line := range strings.Lines(string(text)) {
			into := body
			if strings.HasPrefix(line, "--") {
				into = head
			}
			for _, a := range argument.FindAllString(line, -1) {
				into[a] = true
			}
		}
		if !maps.Equal(head, body) {
			t.Errorf("%s: the head has %v, the script %v", name, slices.Sorted(maps.Keys(head)), slices.Sorted(maps.Keys(body)))
		}
	}
}
