package server

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A provider is a small OAuth 2.0 server with PKCE that logs in alice.
type provider struct {
	url string

	mu         sync.Mutex
	challenges map[string]string // by code
	verifiers  []string          // all it saw
	response   func(w http.ResponseWriter) bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{challenges: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer upstream token" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"sub": "alice"})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != "fleet" || q.Get("code_challenge_method") != "S256" || !isChallenge(q.Get("code_challenge")) || q.Get("prompt") != "login" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	code := random(secretBytes)
	p.mu.Lock()
	p.challenges[code] = q.Get("code_challenge")
	p.mu.Unlock()
	w.Header().Set("Location", q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": q["state"]}.Encode())
	w.WriteHeader(http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.response != nil && p.response(w) {
		return
	}
	code, verifier := r.FormValue("code"), r.FormValue("code_verifier")
	challenge := p.challenges[code]
	delete(p.challenges, code)
	p.verifiers = append(p.verifiers, verifier)
	if challenge == "" || !isVerifier(verifier) || !matches(challenge, verifier) {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "secret: " + code})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"access_token": "upstream token", "token_type": "Bearer", "expires_in": 60})
}

// upstream makes a fleet log in at the provider.
func (p *provider) upstream(t *testing.T, identify IdentifyFunc) func(*Options) {
	t.Helper()
	return func(o *Options) {
		up, err := NewOAuth2Upstream(&oauth2.Config{
			ClientID: "fleet", ClientSecret: "s", RedirectURL: o.Issuer + "/callback",
			Endpoint: oauth2.Endpoint{AuthURL: p.url + "/authorize", TokenURL: p.url + "/token"},
		}, identify, &OAuth2UpstreamOptions{AuthParams: url.Values{"prompt": {"login"}}})
		if err != nil {
			t.Fatal(err)
		}
		o.Upstream = up
	}
}

func (p *provider) identify(ctx context.Context, token *oauth2.Token) (string, error) {
	res, err := oauth2.NewClient(ctx, oauth2.StaticTokenSource(token)).Get(p.url + "/userinfo")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var who struct{ Sub string }
	return who.Sub, json.NewDecoder(res.Body).Decode(&who)
}

// toProvider consents, and returns where the provider sends the browser.
func (l *login) toProvider(t *testing.T) *url.URL {
	t.Helper()
	l.ask(t)
	res := l.get(t, l.decide(t, "allow").link(t))
	back, err := url.Parse(res.header.Get("Location"))
	if err != nil || back.Path != "/callback" {
		t.Fatalf("the provider answered %d %v: %v", res.status, res.header, err)
	}
	return back
}

func TestLoginAtAProvider(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		p := newProvider(t)
		fl := newFleet(t, s, p.upstream(t, p.identify))
		for range 3 {
			l := fl.login(t, public)
			res := l.get(t, l.toProvider(t).String())
			to, err := url.Parse(res.header.Get("Location"))
			if err != nil || res.status != http.StatusSeeOther {
				t.Fatalf("callback: %d %v %s", res.status, err, res.body)
			}
			access, _ := tokensIn(t, l.redeem(t, to.Query().Get("code")))
			token, err := fl.instances[0].Verify(t.Context(), access)
			if err != nil || token.Subject != "alice" {
				t.Fatalf("%+v, %v", token, err)
			}
		}
		if p.verifiers[0] == p.verifiers[1] {
			t.Error("two logins had the same verifier")
		}
	})
}

func TestT39_VerifiersForAProviderAreNotInRedis(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	fl := oneFleet(t, p.upstream(t, p.identify))
	l := fl.login(t, public)
	back := l.toProvider(t)
	dump := map[string]bool{}
	for _, key := range redistest.Keys(t, fl.admin, fl.prefix) {
		if strings.HasSuffix(key.Name, ":flow") {
			fields, err := fl.admin.Do(t.Context(), fl.admin.B().Hgetall().Key(key.Name).Build()).AsStrMap()
			if err != nil {
				t.Fatal(err)
			}
			for value := range maps.Values(fields) {
				dump[value] = true
			}
		}
	}
	l.get(t, back.String())
	if len(dump) == 0 || len(p.verifiers) != 1 || p.verifiers[0] == "" {
		t.Fatalf("%d values, verifiers %q", len(dump), p.verifiers)
	}
	state := back.Query().Get("state")
	for value := range dump {
		if strings.Contains(value, p.verifiers[0]) || strings.Contains(value, state) {
			t.Errorf("Redis has %s", value)
		}
		// Nor can it be made of what is there.
		for other := range dump {
			if upstreamVerifier(value, other) == p.verifiers[0] {
				t.Errorf("the verifier follows from %s and %s", value, other)
			}
		}
		if upstreamVerifier(state, "") == p.verifiers[0] {
			t.Error("the verifier follows from the state alone")
		}
	}
}

func TestAnotherLoginsCodeOfAProviderIsRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	fl := oneFleet(t, p.upstream(t, p.identify))
	victim, attacker := fl.login(t, public), fl.login(t, public)
	stolen, own := victim.toProvider(t), attacker.toProvider(t)
	q := own.Query()
	q.Set("code", stolen.Query().Get("code"))
	own.RawQuery = q.Encode()
	res := attacker.get(t, own.String())
	if to, err := url.Parse(res.link(t)); err != nil || to.Query().Get("error") != "access_denied" || grantKeys(t, fl) != 0 {
		t.Errorf("%d %s", res.status, res.body)
	}
}

func TestTroubleAtAProvider(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for name, one := range map[string]struct {
		query    string // of the callback
		response func(http.ResponseWriter) bool
		identify IdentifyFunc
		status   int
		denied   bool
	}{
		"denied":            {query: "error=access_denied", status: 200, denied: true},
		"refused":           {query: "error=server_error&error_description=secret:", status: 500},
		"no code":           {query: "x=y", status: 400},
		"two codes":         {query: "code=a&code=b", status: 400},
		"unknown code":      {query: "code=a", status: 200, denied: true},
		"not an OAuth one":  {query: "code=a", response: func(w http.ResponseWriter) bool { http.Error(w, "secret: x", 500); return true }, status: 500},
		"no token":          {query: "code=a", response: func(w http.ResponseWriter) bool { writeJSON(w, 200, map[string]string{}); return true }, status: 500},
		"user not welcome":  {identify: func(context.Context, *oauth2.Token) (string, error) { return "", ErrLoginDenied }, status: 200, denied: true},
		"user not known":    {identify: func(context.Context, *oauth2.Token) (string, error) { return "", errors.New("secret: x") }, status: 500},
		"user without name": {identify: func(context.Context, *oauth2.Token) (string, error) { return "", nil }, status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			p := p
			if one.response != nil {
				p = newProvider(t)
				p.response = one.response
			}
			if one.identify == nil {
				one.identify = p.identify
			}
			fl := oneFleet(t, p.upstream(t, one.identify))
			l := fl.login(t, public)
			back := l.toProvider(t)
			if one.query != "" {
				back.RawQuery = "state=" + back.Query().Get("state") + "&" + one.query
			}
			res := l.get(t, back.String())
			if res.status != one.status || strings.Contains(res.body, "secret:") || res.header.Get("Location") != "" {
				t.Errorf("%d %s", res.status, res.body)
			}
			if strings.Contains(res.body, "error=access_denied") != one.denied {
				t.Errorf("denied: %v: %s", !one.denied, res.body)
			}
			if n := grantKeys(t, fl); n != 0 {
				t.Errorf("there are %d grants", n)
			}
		})
	}
}

func TestOAuth2UpstreamOptions(t *testing.T) {
	t.Parallel()
	identify := func(context.Context, *oauth2.Token) (string, error) { return "x", nil }
	endpoint := oauth2.Endpoint{AuthURL: "https://idp.example/a", TokenURL: "https://idp.example/t"}
	good := oauth2.Config{ClientID: "a", RedirectURL: "https://auth.example/callback", Endpoint: endpoint}
	if _, err := NewOAuth2Upstream(&good, identify, nil); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*oauth2.Config){
		"client id": func(c *oauth2.Config) { c.ClientID = "" }, "redirect URL": func(c *oauth2.Config) { c.RedirectURL = "" },
		"plain http": func(c *oauth2.Config) { c.Endpoint.TokenURL = "http://idp.example/t" }, "no endpoint": func(c *oauth2.Config) { c.Endpoint.AuthURL = "" },
	} {
		c := good
		change(&c)
		if _, err := NewOAuth2Upstream(&c, identify, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewOAuth2Upstream(nil, identify, nil); err == nil {
		t.Error("no config: accepted")
	}
	if _, err := NewOAuth2Upstream(&good, nil, nil); err == nil {
		t.Error("no identify: accepted")
	}
}
