package fakeupstream_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/auth/fakeupstream"
	"github.com/mcpfleet/mcpfleet/auth/server"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A fleet is two instances of the authorization server with the fake upstream,
// behind one address that takes them in turn.
type fleet struct {
	url, prefix string
	admin       rueidis.Client
	servers     []*server.Server
	upstreams   []*fakeupstream.Upstream
}

const verifier = "a-verifier-of-the-client-with-43-or-more-characters"

var client = server.Client{ID: "client", Name: "Client", RedirectURIs: []string{"https://client.example/callback"}}

func newFleet(t *testing.T, s *redistest.Server, change ...func(*fakeupstream.Options)) *fleet {
	t.Helper()
	fl := &fleet{prefix: s.Prefix(t), admin: s.Client(t)}
	var turn atomic.Uint64
	var handlers []http.Handler
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers[int(turn.Add(1))%len(handlers)].ServeHTTP(w, r)
	}))
	t.Cleanup(balancer.Close)
	fl.url = balancer.URL
	for range 2 {
		opts := &fakeupstream.Options{Redis: s.Client(t), Prefix: fl.prefix, BaseURL: fl.url}
		for _, f := range change {
			f(opts)
		}
		up, err := fakeupstream.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := server.New(&server.Options{
			Redis: opts.Redis, Prefix: fl.prefix, Issuer: fl.url, Resources: []string{fl.url + "/mcp"},
			Upstream: up, CallbackPath: fakeupstream.CallbackPath, Clients: []server.Client{client},
		})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		instance.Handle(mux)
		mux.Handle(fakeupstream.AuthorizePath, up)
		fl.servers, fl.upstreams, handlers = append(fl.servers, instance), append(fl.upstreams, up), append(handlers, mux)
	}
	return fl
}

type reply struct {
	status int
	header http.Header
	body   string
}

// A browser keeps cookies, runs no script and follows nothing by itself.
type browser struct{ http.Client }

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) do(t *testing.T, method, uri string, form url.Values, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}

var (
	refreshTo = regexp.MustCompile(`<meta http-equiv="refresh" content="0;url=([^"]*)">`)
	field     = regexp.MustCompile(`<input [^>]*name="([^"]*)" value="([^"]*)"`)
)

// next returns where a page sends the browser.
func (r reply) next(t *testing.T) *url.URL {
	t.Helper()
	m := refreshTo.FindStringSubmatch(r.body)
	if m == nil {
		t.Fatalf("%d leads nowhere: %s", r.status, r.body)
	}
	to, err := url.Parse(html.UnescapeString(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// fields returns the inputs of a page's form.
func (r reply) fields() url.Values {
	form := url.Values{}
	for _, m := range field.FindAllStringSubmatch(r.body, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

// loginPage consents in a browser and opens the fake login.
func (fl *fleet) loginPage(t *testing.T, b *browser) reply {
	t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "state": {"the state"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	form := b.do(t, "GET", fl.url+"/authorize?"+q.Encode(), nil).fields()
	form.Set("decision", "allow")
	return b.do(t, "GET", b.do(t, "POST", fl.url+"/authorize/consent", form).next(t).String(), nil)
}

// callback logs in as a user, and returns where the fake login sends the browser.
func (fl *fleet) callback(t *testing.T, b *browser, user string) *url.URL {
	t.Helper()
	form := fl.loginPage(t, b).fields()
	form.Set("user", user)
	return b.do(t, "POST", fl.url+fakeupstream.AuthorizePath, form).next(t)
}

// subject finishes a login, and returns who has logged in.
func (fl *fleet) subject(t *testing.T, b *browser, callback *url.URL) string {
	t.Helper()
	res := b.do(t, "GET", callback.String(), nil)
	to, err := url.Parse(res.header.Get("Location"))
	if err != nil || res.status != http.StatusSeeOther {
		t.Fatalf("callback: %d %s", res.status, res.body)
	}
	res = b.do(t, "POST", fl.url+"/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {client.ID}, "code": to.Query()["code"], "code_verifier": {verifier},
	})
	m := regexp.MustCompile(`"access_token":"([^"]*)"`).FindStringSubmatch(res.body)
	if m == nil {
		t.Fatalf("token: %d %s", res.status, res.body)
	}
	token, err := fl.servers[0].Verify(t.Context(), m[1])
	if err != nil {
		t.Fatal(err)
	}
	return token.Subject
}

func TestWhoeverComesIsBelieved(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		fl := newFleet(t, s)
		for _, user := range []string{"alice", "Ælfrēd & <Søn>", "a b", strings.Repeat("x", 128), " trimmed "} {
			b := newBrowser(t)
			callback := fl.callback(t, b, user)
			if callback.Path != fakeupstream.CallbackPath || callback.Query().Has("user") || strings.Contains(callback.RawQuery, user) {
				t.Errorf("the callback is %s", callback)
			}
			redistest.AssertTTLs(t, fl.admin, fl.prefix)
			if got := fl.subject(t, b, callback); got != strings.TrimSpace(user) {
				t.Errorf("logged in as %q, want %q", got, user)
			}
		}
	})
}

func TestPageWorksWithoutItsScript(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	b := newBrowser(t)
	one, other := fl.loginPage(t, b).fields(), fl.loginPage(t, b).fields()
	if uuid.Validate(one.Get("user")) != nil || one.Get("user") == other.Get("user") {
		t.Errorf("new ids are %q and %q", one.Get("user"), other.Get("user"))
	}
	callback := b.do(t, "POST", fl.url+fakeupstream.AuthorizePath, one).next(t)
	if got := fl.subject(t, b, callback); got != one.Get("user") {
		t.Errorf("logged in as %q", got)
	}
}

func TestTheCallbackCannotBeGivenAnotherUser(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		fl := newFleet(t, s)
		alice, mallory := newBrowser(t), newBrowser(t)
		stolen, own := fl.callback(t, alice, "alice"), fl.callback(t, mallory, "mallory")

		// Whatever else is in the query changes nothing.
		q := own.Query()
		for _, name := range []string{"user", "userId", "sub", "subject"} {
			q.Set(name, "alice")
		}
		own.RawQuery = q.Encode()
		if got := fl.subject(t, mallory, own); got != "mallory" {
			t.Errorf("mallory logged in as %s", got)
		}

		// Nor does another login's code help, nor a made-up or no code.
		for _, code := range []string{stolen.Query().Get("code"), "made-up", ""} {
			own := fl.callback(t, mallory, "mallory")
			q := own.Query()
			q.Set("code", code)
			own.RawQuery = q.Encode()
			res := mallory.do(t, "GET", own.String(), nil)
			if res.header.Get("Location") != "" || res.next(t).Query().Get("error") != "access_denied" {
				t.Errorf("code %q: %d %v", code, res.status, res.header)
			}
		}
	})
}

func TestACodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		fl := newFleet(t, s)
		callback := httptest.NewRequest("GET", fl.callback(t, newBrowser(t), "alice").String(), nil)
		login, err := fl.upstreams[0].End(t.Context(), callback, nil)
		if err != nil || login.Subject != "alice" {
			t.Fatalf("%+v, %v", login, err)
		}
		if login, err := fl.upstreams[1].End(t.Context(), callback, nil); err == nil {
			t.Errorf("twice: %+v", login)
		}
	})
}

func TestCancelDenies(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	b := newBrowser(t)
	form := fl.loginPage(t, b).fields()
	form.Set("decision", "cancel")
	form.Set("user", "")
	callback := b.do(t, "POST", fl.url+fakeupstream.AuthorizePath, form).next(t)
	q := b.do(t, "GET", callback.String(), nil).next(t).Query()
	if q.Get("error") != "access_denied" || q.Get("state") != "the state" || q.Has("code") {
		t.Errorf("the client is told %v", q)
	}
}

func TestUsersThatCannotBe(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	b := newBrowser(t)
	for _, user := range []string{"", " ", "\t", "a\x00b", "a\nb", "a\u202eb", "\u200b", "\xff", "client:robot", strings.Repeat("x", 129), strings.Repeat("é", 65)} {
		res := b.do(t, "POST", fl.url+fakeupstream.AuthorizePath, url.Values{"state": {"s"}, "user": {user}})
		if res.status != http.StatusBadRequest || refreshTo.MatchString(res.body) || !strings.Contains(res.body, `role="alert"`) {
			t.Errorf("user %q: %d %s", user, res.status, res.body)
		}
		if got := res.fields().Get("state"); got != "s" {
			t.Errorf("user %q: the state is %q afterwards", user, got)
		}
	}
	for _, key := range redistest.Keys(t, fl.admin, fl.prefix) {
		if strings.HasSuffix(key.Name, ":login") {
			t.Errorf("there is %s", key.Name)
		}
	}
}

func TestItLeadsToItsCallbackOnlyAndWithTheStateUnchanged(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	b := newBrowser(t)
	for _, state := range []string{"s", "a=b&code=c#d", `"><script>`, "%0d%0a", "a+b", "'\\", "https://evil.example/", strings.Repeat("x", 1024)} {
		evil := url.Values{"state": {state}, "user": {"u"}, "redirect_uri": {"https://evil.example/"}, "callback": {"https://evil.example/"}}
		at := fl.url + fakeupstream.AuthorizePath + "?" + evil.Encode()
		page := b.do(t, "GET", at, nil, "Host", "evil.example")
		if got := page.fields().Get("state"); got != state || strings.Contains(page.body, "evil.example/\"") && state != "https://evil.example/" {
			t.Errorf("state %q is %q on the page", state, got)
		}
		for _, decision := range []string{"login", "cancel"} {
			evil.Set("decision", decision)
			res := b.do(t, "POST", at, evil)
			to := res.next(t)
			if q := to.Query(); to.Scheme+"://"+to.Host+to.Path != fl.url+fakeupstream.CallbackPath || !slices.Equal(q["state"], []string{state}) || len(q) != 2 {
				t.Errorf("it leads to %s", to)
			}
			if res.header.Get("Location") != "" {
				t.Error("it redirects: browsers would apply form-action")
			}
		}
	}
	for _, bad := range []url.Values{{}, {"state": {""}}, {"state": {"a", "b"}}, {"state": {"a b"}}, {"state": {"ä"}}, {"state": {"\x00"}}, {"state": {strings.Repeat("x", 1025)}}} {
		if res := b.do(t, "GET", fl.url+fakeupstream.AuthorizePath+"?"+bad.Encode(), nil); res.status != http.StatusBadRequest {
			t.Errorf("%v: %d", bad, res.status)
		}
	}
}

func TestT17_NothingIsUnescapedOnTheFakeLogin(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	b := newBrowser(t)
	for _, text := range []string{`"><script>alert(1)</script>`, `</title><script>`, `'onfocus='alert(1)`, "javascript:alert(1)", "</script><script>alert(1)</script>", "\u202e\x00" + `"><img src=x>`} {
		form := url.Values{"state": {text}, "user": {text + "\x00"}}
		for _, res := range []reply{
			b.do(t, "GET", fl.url+fakeupstream.AuthorizePath+"?"+form.Encode(), nil),
			b.do(t, "POST", fl.url+fakeupstream.AuthorizePath, form),
			b.do(t, "POST", fl.url+fakeupstream.AuthorizePath, url.Values{"state": {"s"}, "user": {text + "\x00"}}),
		} {
			if strings.Count(res.body, "<script") > 1 || strings.Contains(res.body, "<script>alert") || strings.Contains(res.body, "<img") || strings.ContainsAny(res.body, "\u202e\x00") {
				t.Errorf("%q: %s", text, res.body)
			}
		}
	}
}

var inline = regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)

func TestT16_EveryPageOfTheFakeLoginForbidsFramesAndOtherScripts(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	limited := newFleet(t, redistest.NewMiniredis(t), func(o *fakeupstream.Options) { o.Limit = server.Rate{Requests: 1, Per: time.Hour} })
	var clients []rueidis.Client
	away := newFleet(t, redistest.NewMiniredis(t), func(o *fakeupstream.Options) { clients = append(clients, o.Redis) })
	b := newBrowser(t)
	login, ok := fakeupstream.AuthorizePath, url.Values{"state": {"s"}, "user": {"u"}}
	b.do(t, "GET", limited.url+login, nil)
	for _, client := range clients {
		client.Close()
	}
	for name, one := range map[string]struct {
		res    reply
		status int
	}{
		"page":           {b.do(t, "GET", fl.url+login+"?state=s", nil), 200},
		"no state":       {b.do(t, "GET", fl.url+login, nil), 400},
		"done":           {b.do(t, "POST", fl.url+login, ok), 200},
		"no user":        {b.do(t, "POST", fl.url+login, url.Values{"state": {"s"}}), 400},
		"form, no state": {b.do(t, "POST", fl.url+login, url.Values{"user": {"u"}}), 400},
		"method":         {b.do(t, "PUT", fl.url+login, nil), 405},
		"preflight":      {b.do(t, "OPTIONS", fl.url+login, nil), 405},
		"other site":     {b.do(t, "POST", fl.url+login, ok, "Sec-Fetch-Site", "cross-site"), 403},
		"other origin":   {b.do(t, "POST", fl.url+login, ok, "Origin", "https://evil.example"), 403},
		"too large":      {b.do(t, "POST", fl.url+login, url.Values{"user": {strings.Repeat("x", 20<<10)}}), 400},
		"too many":       {b.do(t, "GET", limited.url+login+"?state=s", nil), 429},
		"store away":     {b.do(t, "GET", away.url+login+"?state=s", nil), 503},
	} {
		h := one.res.header
		if one.res.status != one.status {
			t.Errorf("%s: %d %s", name, one.res.status, one.res.body)
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !slices.Contains(strings.Split(policy, "; "), want) {
				t.Errorf("%s: policy %q lacks %s", name, policy, want)
			}
		}
		for _, m := range inline.FindAllStringSubmatch(one.res.body, -1) {
			sum := sha256.Sum256([]byte(m[2]))
			if !strings.Contains(policy, m[1]+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
				t.Errorf("%s: policy %q does not allow the %s", name, policy, m[1])
			}
		}
		for header, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "Access-Control-Allow-Origin": "", "Location": "", "Set-Cookie": "",
		} {
			if h.Get(header) != want {
				t.Errorf("%s: %s is %q", name, header, h.Get(header))
			}
		}
		if strings.Contains(policy, "unsafe") || regexp.MustCompile(`\son\w+=`).MatchString(one.res.body) {
			t.Errorf("%s: scripts may run: %q", name, policy)
		}
		if (h.Get("Retry-After") != "") != (one.status == 429 || one.status == 503) {
			t.Errorf("%s: Retry-After is %q", name, h.Get("Retry-After"))
		}
	}
}

func TestItSaysThatItIsFake(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	if res := fl.loginPage(t, newBrowser(t)); !strings.Contains(res.body, "<strong>FAKE LOGIN</strong>") {
		t.Error(res.body)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	client := redistest.NewMiniredis(t).Client(t)
	for name, opts := range map[string]*fakeupstream.Options{
		"none": nil, "no Redis": {BaseURL: "https://a.example"}, "no URL": {Redis: client}, "relative": {Redis: client, BaseURL: "/a"},
		"scheme": {Redis: client, BaseURL: "javascript://a/"}, "query": {Redis: client, BaseURL: "https://a.example?b"}, "prefix": {Redis: client, BaseURL: "https://a.example", Prefix: "{"},
	} {
		if _, err := fakeupstream.New(opts); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEncodedFormsAreRefused(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, redistest.NewMiniredis(t))
	if got := newBrowser(t).do(t, http.MethodPost, fl.url+fakeupstream.AuthorizePath, url.Values{"state": {"s"}}, "Content-Encoding", "gzip"); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("%d", got.status)
	}
}
