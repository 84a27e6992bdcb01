package mcp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/auth/server"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// An ownServer is our authorization server in a simulation: an instance for each of
// the fleet's, and a client that logs its user in and refreshes.
type ownServer struct {
	// introspected has the instances of the fleet introspect tokens, as if the
	// authorization server were elsewhere.
	introspected bool
	options      func(*server.Options)

	mu        sync.Mutex
	instances []*server.Server
	handlers  []http.Handler
	turn      int
}

const (
	ownClient   = "client"
	ownRedirect = "https://client.example/callback"
	ownVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// join starts an instance in a simulation.
func (o *ownServer) join(t testing.TB, s *simulation) {
	t.Helper()
	opts := &server.Options{
		Redis: s.redis.Link().Client(t), Prefix: s.prefix, Issuer: ourIssuer, Resources: []string{balancer}, Upstream: believing{},
		Clients:         []server.Client{{ID: ownClient, RedirectURIs: []string{ownRedirect}}},
		ResourceServers: []server.ResourceServer{{ID: "rs", SecretHash: server.HashSecret("rs's secret"), Resources: []string{balancer}}},
	}
	if o.options != nil {
		o.options(opts)
	}
	instance, err := server.New(opts)
	must(t, err)
	mux := http.NewServeMux()
	instance.Handle(mux)
	o.instances, o.handlers = append(o.instances, instance), append(o.handlers, mux)
}

// protect is middleware of the next instance of a fleet.
func (o *ownServer) protect(t testing.TB, s *simulation, h http.Handler) http.Handler {
	t.Helper()
	o.join(t, s)
	var verifier auth.Verifier = o.instances[len(o.instances)-1]
	if o.introspected {
		var err error
		verifier, err = auth.NewIntrospector(&auth.IntrospectorOptions{
			Issuer: ourIssuer, Endpoint: ourIssuer + "/introspect", ClientID: "rs", ClientSecret: "rs's secret", HTTPClient: &http.Client{Transport: o},
		})
		must(t, err)
	}
	resource, err := auth.NewResource(balancer, &auth.ResourceOptions{Verifier: verifier, AuthorizationServers: []string{ourIssuer}})
	must(t, err)
	f := h.(*fleet.Handler)
	mux := http.NewServeMux()
	mux.Handle("/", f.Guard(resource.Protect(f)))
	mux.Handle("/sse", f.Guard(resource.Protect(f.SSE("/message"))))
	mux.Handle("/message", f.Guard(resource.Protect(f.Messages())))
	return mux
}

// RoundTrip sends requests to the instances in turn, without a network.
func (o *ownServer) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.turn++
	h := o.handlers[o.turn%len(o.handlers)]
	o.mu.Unlock()
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "192.0.2.1:1234", r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	return w.Result(), nil
}

func (o *ownServer) send(t testing.TB, method, path string, form url.Values, cookies []*http.Cookie) (*http.Response, string) {
	t.Helper()
	body := ""
	if method == http.MethodPost {
		body = form.Encode()
	} else {
		path += "?" + form.Encode()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, ourIssuer+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range cookies {
		req.AddCookie(c)
	}
	res, err := o.RoundTrip(req)
	must(t, err)
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res, string(text)
}

// A grantedClient has the tokens of one login.
type grantedClient struct{ access, refresh string }

// login goes through the code flow.
func (o *ownServer) login(t testing.TB, user string) *grantedClient {
	t.Helper()
	challenge := sha256.Sum256([]byte(ownVerifier))
	res, page := o.send(t, http.MethodGet, "/authorize", url.Values{
		"response_type": {"code"}, "client_id": {ownClient}, "redirect_uri": {ownRedirect}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}, nil)
	cookies := res.Cookies()
	form := url.Values{"decision": {"allow"}}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	_, page = o.send(t, http.MethodPost, "/authorize/consent", form, cookies)
	m := regexp.MustCompile(`<a[^>]* href="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("consent: %s", page)
	}
	upstream, err := url.Parse(html.UnescapeString(m[1]))
	must(t, err)
	res, page = o.send(t, http.MethodGet, "/callback", url.Values{"state": {upstream.Query().Get("state")}, "user": {user}}, cookies)
	to, err := res.Location()
	if err != nil {
		t.Fatalf("callback: %v: %s", err, page)
	}
	c := &grantedClient{}
	o.exchange(t, c, url.Values{
		"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "code_verifier": {ownVerifier}, "redirect_uri": {ownRedirect},
	})
	return c
}

// renew refreshes a client's tokens.
func (o *ownServer) renew(t testing.TB, c *grantedClient) {
	t.Helper()
	o.exchange(t, c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refresh}})
}

func (o *ownServer) exchange(t testing.TB, c *grantedClient, form url.Values) {
	t.Helper()
	form.Set("client_id", ownClient)
	res, body := o.send(t, http.MethodPost, "/token", form, nil)
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(body), &tokens); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("token: %s %s", res.Status, body)
	}
	c.access, c.refresh = tokens.Access, tokens.Refresh
}

// revoke revokes a token by name.
func (o *ownServer) revoke(t testing.TB, token string) {
	t.Helper()
	if res, body := o.send(t, http.MethodPost, "/revoke", url.Values{"token": {token}, "client_id": {ownClient}}, nil); res.StatusCode != http.StatusOK {
		t.Fatalf("revoke: %s %s", res.Status, body)
	}
}

// believing is an upstream that believes what the callback says.
type believing struct{}

func (believing) Begin(_ context.Context, state string) (*url.URL, []byte, error) {
	to, err := url.Parse("https://upstream.example/login?" + url.Values{"state": {state}}.Encode())
	return to, nil, err
}

func (believing) End(_ context.Context, r *http.Request, _ []byte) (server.Login, error) {
	return server.Login{Subject: r.FormValue("user")}, nil
}

// eachOwnServer runs a test with two instances and every way in which tokens of our
// authorization server are verified.
func eachOwnServer(t *testing.T, life time.Duration, f func(t *testing.T, s *simulation, o *ownServer)) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for name, o := range map[string]*ownServer{
		"opaque":                 {},
		"signed":                 {options: func(o *server.Options) { o.SigningKeys = []server.SigningKey{{ID: "1", Key: key}} }},
		"opaque, introspected":   {introspected: true},
		"signed, introspected":   {introspected: true, options: func(o *server.Options) { o.SigningKeys = []server.SigningKey{{ID: "1", Key: key}} }},
		"opaque, without graces": {options: func(o *server.Options) { o.RefreshGrace = -1 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := o.options
			o.options = func(opts *server.Options) {
				opts.AccessTokenTTL = life
				if change != nil {
					change(opts)
				}
			}
			simulateOwnServer(t, o, f)
		})
	}
}

func simulateOwnServer(t *testing.T, o *ownServer, f func(t *testing.T, s *simulation, o *ownServer)) {
	t.Helper()
	var protected []*replaceable
	later := func(h http.Handler) http.Handler { // there is no Redis yet
		protected = append(protected, &replaceable{h})
		return protected[len(protected)-1]
	}
	simulate(t, simulated{rig: statelessRig(), wrap: later}, func(t *testing.T, s *simulation) {
		for _, p := range protected {
			p.Handler = o.protect(t, s, p.Handler)
		}
		f(t, s, o)
	})
}

type replaceable struct{ http.Handler }
