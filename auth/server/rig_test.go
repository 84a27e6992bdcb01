package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A fleet is instances of the authorization server that share a Redis, behind
// one address that spreads requests over them in turn.
type fleet struct {
	url       string
	prefix    string
	redis     *redistest.Server
	admin     rueidis.Client
	instances []*Server
	transport http.RoundTripper // nil for the network
}

// tests of the whole server use two instances and these.
var (
	testScopes = []Scope{{"read", "read your notes"}, {"write", "change your notes"}}
	public     = Client{ID: "public", Name: "Public client", RedirectURIs: []string{callbackURI}}
	private    = Client{
		ID: "private", Name: "Private client", RedirectURIs: []string{callbackURI},
		AuthMethod: methodBasic, SecretHash: HashSecret(privateSecret),
	}
)

const (
	callbackURI   = "https://client.example/callback"
	privateSecret = "a secret of the private client: 5iNSXQpL"
)

// eachFleet runs a test with two instances on every sort of Redis.
func eachFleet(t *testing.T, f func(t *testing.T, fl *fleet), change ...func(*Options)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) { f(t, newFleet(t, s, change...)) })
}

// oneFleet runs it with two instances on miniredis.
func oneFleet(t *testing.T, change ...func(*Options)) *fleet {
	t.Helper()
	return newFleet(t, redistest.NewMiniredis(t), change...)
}

func newFleet(t *testing.T, s *redistest.Server, change ...func(*Options)) *fleet {
	t.Helper()
	fl := &fleet{prefix: s.Prefix(t), redis: s, admin: s.Client(t)}
	b := new(balance)
	balancer := httptest.NewServer(b)
	t.Cleanup(balancer.Close)
	fl.url = balancer.URL
	fl.start(t, b, func() rueidis.Client { return s.Client(t) }, change...)
	return fl
}

// bubbleFleet is a fleet for testing/synctest: no sockets, and time that flies.
// Each instance has a link to Redis.
func bubbleFleet(t *testing.T, change ...func(*Options)) (*fleet, []*redistest.Link) {
	t.Helper()
	b, redis := new(balance), redistest.NewBubble(t)
	fl := &fleet{prefix: "mcp", admin: redis.Client(t), url: "http://localhost", transport: inProcess{b}}
	var links []*redistest.Link
	fl.start(t, b, func() rueidis.Client {
		links = append(links, redis.Link())
		return links[len(links)-1].Client(t)
	}, change...)
	return fl, links
}

// inProcess is a transport without a network.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w, in := httptest.NewRecorder(), r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "192.0.2.1:1234", r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	p.ServeHTTP(w, in)
	return w.Result(), nil
}

// A balance sends requests to instances in turn.
type balance struct {
	turn     atomic.Uint64
	handlers []http.Handler
}

func (b *balance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.handlers[int(b.turn.Add(1))%len(b.handlers)].ServeHTTP(w, r)
}

// start adds the instances.
func (fl *fleet) start(t *testing.T, b *balance, client func() rueidis.Client, change ...func(*Options)) {
	t.Helper()
	for range 2 {
		opts := &Options{
			Redis: client(), Prefix: fl.prefix, Issuer: fl.url, Resources: []string{fl.url + "/mcp", fl.url + "/other"},
			Scopes: testScopes, Upstream: upstreamStub(fl.url), Clients: []Client{public, private},
			ResourceServers: []ResourceServer{{ID: "rs", SecretHash: HashSecret("rs secret"), Resources: []string{fl.url + "/mcp"}}},
		}
		for _, f := range change {
			f(opts)
		}
		instance, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		instance.Handle(mux)
		fl.instances, b.handlers = append(fl.instances, instance), append(b.handlers, mux)
	}
}

// upstreamData is what the upstream has to remember, such as a verifier.
const upstreamData = "data of the upstream: tq9wHhXOlrG4cYmN"

// An upstreamStub logs in whoever the test says, without asking.
type upstreamStub string

func (u upstreamStub) Begin(_ context.Context, state string) (*url.URL, []byte, error) {
	location, err := url.Parse(string(u) + "/login?" + url.Values{"state": {state}}.Encode())
	return location, []byte(upstreamData), err
}

func (u upstreamStub) End(_ context.Context, r *http.Request, data []byte) (Login, error) {
	if string(data) != upstreamData {
		return Login{}, errors.New("the upstream did not get its data back")
	}
	if r.FormValue("deny") != "" {
		return Login{}, ErrLoginDenied
	}
	return Login{Subject: r.FormValue("user")}, nil
}

// A browser keeps cookies and follows nothing by itself.
type browser struct{ http.Client }

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// A response is an HTTP response whose body was read.
type response struct {
	status int
	header http.Header
	body   string
}

func (r response) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v in %d %q", err, r.status, r.body)
	}
	return v
}

func (b *browser) do(t *testing.T, req *http.Request) response {
	t.Helper()
	res, err := b.Do(req.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, string(body)}
}

func (b *browser) get(t *testing.T, uri string) response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.do(t, req)
}

func (b *browser) post(t *testing.T, uri string, form url.Values, change ...func(*http.Request)) response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, uri, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range change {
		f(req)
	}
	return b.do(t, req)
}

// A login is a client's way through the code flow with one browser.
type login struct {
	*fleet
	*browser
	client   Client
	verifier string
	request  url.Values
	form     url.Values // of the consent page
}

func (fl *fleet) login(t *testing.T, client Client, change ...func(url.Values)) *login {
	t.Helper()
	l := &login{fleet: fl, browser: newBrowser(t), client: client, verifier: random(secretBytes)}
	l.browser.Transport = fl.transport
	l.request = url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {client.RedirectURIs[0]},
		"code_challenge": {challengeOf(l.verifier)}, "code_challenge_method": {"S256"}, "state": {"the state"},
	}
	for _, f := range change {
		f(l.request)
	}
	return l
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ask opens the consent page.
func (l *login) ask(t *testing.T) response {
	t.Helper()
	res := l.get(t, l.url+authorizePath+"?"+l.request.Encode())
	l.form = hiddenFields(res.body)
	return res
}

// decide sends the consent page's form.
func (l *login) decide(t *testing.T, decision string, change ...func(*http.Request)) response {
	t.Helper()
	l.form.Set("decision", decision)
	return l.post(t, l.url+consentPath, l.form, change...)
}

// link returns where a page leads.
func (r response) link(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`<a[^>]* href="([^"]*)"`).FindStringSubmatch(r.body)
	if m == nil {
		t.Fatalf("no link in %d %s", r.status, r.body)
	}
	return html.UnescapeString(m[1])
}

func hiddenFields(body string) url.Values {
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(body, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

// back goes through consent and login, and returns the client's redirect URI as
// the browser is sent there.
func (l *login) back(t *testing.T, user string) *url.URL {
	t.Helper()
	if res := l.ask(t); res.status != http.StatusOK {
		t.Fatalf("authorize: %d %s", res.status, res.body)
	}
	res := l.decide(t, "allow")
	if res.status != http.StatusOK {
		t.Fatalf("consent: %d %s", res.status, res.body)
	}
	upstream, err := url.Parse(res.link(t))
	if err != nil {
		t.Fatal(err)
	}
	q := url.Values{"state": {upstream.Query().Get("state")}, "user": {user}}
	res = l.get(t, l.url+l.instances[0].opts.CallbackPath+"?"+q.Encode())
	if res.status != http.StatusSeeOther {
		t.Fatalf("callback: %d %s", res.status, res.body)
	}
	to, err := url.Parse(res.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// redeem exchanges a code.
func (l *login) redeem(t *testing.T, code string, change ...func(url.Values)) response {
	t.Helper()
	form := url.Values{"grant_type": {grantCode}, "code": {code}, "code_verifier": {l.verifier}, "redirect_uri": l.request["redirect_uri"]}
	return l.asClient(t, tokenPath, form, change...)
}

// asClient posts a form with the client's credentials.
func (l *login) asClient(t *testing.T, path string, form url.Values, change ...func(url.Values)) response {
	t.Helper()
	if !l.client.confidential() {
		form.Set("client_id", l.client.ID)
	}
	for _, f := range change {
		f(form)
	}
	return l.post(t, l.url+path, form, func(r *http.Request) {
		if l.client.confidential() {
			r.SetBasicAuth(url.QueryEscape(l.client.ID), url.QueryEscape(privateSecret))
		}
	})
}

// tokens goes through the whole flow and returns what the client gets.
func (l *login) tokens(t *testing.T, user string) (accessToken, refreshToken string) {
	t.Helper()
	res := l.redeem(t, l.back(t, user).Query().Get("code"))
	if res.status != http.StatusOK {
		t.Fatalf("token: %d %s", res.status, res.body)
	}
	return tokensIn(t, res)
}

func tokensIn(t *testing.T, res response) (accessToken, refreshToken string) {
	t.Helper()
	v := res.json(t)
	accessToken, _ = v["access_token"].(string)
	refreshToken, _ = v["refresh_token"].(string)
	return accessToken, refreshToken
}

// refresh exchanges a refresh token.
func (l *login) refresh(t *testing.T, token string, change ...func(url.Values)) response {
	t.Helper()
	return l.asClient(t, tokenPath, url.Values{"grant_type": {grantRefreshToken}, "refresh_token": {token}}, change...)
}
