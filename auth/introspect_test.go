package auth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An endpointStub is an introspection endpoint, without a network.
type endpointStub struct {
	mu       sync.Mutex
	response map[string]any
	status   int
	down     error
	body     string // instead of response
	cut      bool   // the body breaks off
	hang     bool
	asked    []*http.Request
	forms    []url.Values
}

func (e *endpointStub) set(f func(*endpointStub)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

func (e *endpointStub) requests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

// RoundTrip implements [http.RoundTripper].
func (e *endpointStub) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked, e.forms = append(e.asked, r), append(e.forms, form)
	if e.hang {
		e.mu.Unlock()
		<-r.Context().Done()
		e.mu.Lock()
		return nil, r.Context().Err()
	}
	if e.down != nil {
		return nil, e.down
	}
	text := e.body
	if text == "" {
		text = string(must(json.Marshal(e.response)))
	}
	var reader io.Reader = strings.NewReader(text)
	if e.cut {
		reader = io.MultiReader(reader, brokenReader{})
	}
	status := e.status
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}, "Location": {"https://other.example/"}},
		Body: io.NopCloser(reader), Request: r,
	}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func activeResponse(change ...func(claimSet)) claimSet {
	c := claimSet{
		"active": true, "iss": jwtIssuer, "sub": "alice", "client_id": "client", "aud": jwtResource,
		"scope": "read write", "exp": time.Now().Unix() + 600, "token_type": "Bearer",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (e *endpointStub) verifier(t *testing.T, change ...func(*IntrospectorOptions)) *introspector {
	t.Helper()
	o := &IntrospectorOptions{
		Issuer: jwtIssuer, Endpoint: jwtIssuer + "/introspect", ClientID: "r:s", ClientSecret: "a+b c",
		HTTPClient: &http.Client{Transport: e, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	for _, f := range change {
		f(o)
	}
	v, err := NewIntrospector(o)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*introspector)
}

func TestAnIntrospectorAsksWithItsOwnCredentials(t *testing.T) {
	t.Parallel()
	e := &endpointStub{response: activeResponse(func(c claimSet) { c["aud"] = []string{jwtResource, "other"} })}
	token, err := e.verifier(t).Verify(t.Context(), "a token & more")
	if err != nil {
		t.Fatal(err)
	}
	if token.UserID() != jwtIssuer+"\x00alice" || token.ClientID != "client" || !slices.Equal(token.Scopes, []string{"read", "write"}) ||
		!slices.Equal(token.Audience, []string{jwtResource, "other"}) || !token.Expires.After(time.Now()) {
		t.Errorf("%+v", token)
	}
	r := e.asked[0]
	if id, secret, ok := r.BasicAuth(); !ok || id != "r%3As" || secret != "a%2Bb+c" {
		t.Errorf("credentials %q %q", id, secret)
	}
	if r.Method != http.MethodPost || e.forms[0].Get("token") != "a token & more" || r.URL.RawQuery != "" {
		t.Errorf("%s %s %v", r.Method, r.URL, e.forms[0])
	}
}

func TestAResponseThatIsNoValidAccessTokenIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Now().Unix()
	for name, change := range map[string]func(claimSet){
		"inactive":         func(c claimSet) { c["active"] = false },
		"nothing":          func(c claimSet) { maps.DeleteFunc(c, func(string, any) bool { return true }) },
		"other issuer":     func(c claimSet) { c["iss"] = "https://other.example" },
		"no subject":       func(c claimSet) { delete(c, "sub") },
		"no expiry":        func(c claimSet) { delete(c, "exp") },
		"expired":          func(c claimSet) { c["exp"] = now - 1 },
		"exp without end":  func(c claimSet) { c["exp"] = 1e300 },
		"not yet":          func(c claimSet) { c["nbf"] = now + 60 },
		"another type":     func(c claimSet) { c["token_type"] = "DPoP" },
		"a refresh token":  func(c claimSet) { c["token_type"] = "refresh_token" },
		"active as a name": func(c claimSet) { delete(c, "active") },
	} {
		e := &endpointStub{response: activeResponse(change)}
		v := e.verifier(t)
		for range 2 {
			if token, err := v.Verify(t.Context(), "token"); !errors.Is(err, ErrInvalidToken) {
				t.Errorf("%s: %+v, %v", name, token, err)
			}
		}
		if e.requests() != 2 {
			t.Errorf("%s: the response was cached", name)
		}
	}
	e := &endpointStub{response: activeResponse()}
	if _, err := e.verifier(t).Verify(t.Context(), strings.Repeat("x", maxToken+1)); !errors.Is(err, ErrInvalidToken) || e.requests() > 0 {
		t.Errorf("too long: %v", err)
	}
}

func TestT42_WithoutAResponseNoTokenIsCalledInvalid(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(*endpointStub){
		"down":                   func(e *endpointStub) { e.down = io.ErrUnexpectedEOF },
		"hangs":                  func(e *endpointStub) { e.hang = true },
		"503":                    func(e *endpointStub) { e.status = 503 },
		"429":                    func(e *endpointStub) { e.status = 429 },
		"our credentials, wrong": func(e *endpointStub) { e.status = 401 },
		"a redirect":             func(e *endpointStub) { e.status = 307 },
		"no JSON":                func(e *endpointStub) { e.body = "<html>" },
		"another JSON":           func(e *endpointStub) { e.body = `{"active":"yes"}` },
		"too much":               func(e *endpointStub) { e.body = `{"active":true,"x":"` + strings.Repeat("x", maxKeySet) + `"}` },
		"broken off":             func(e *endpointStub) { e.cut = true },
	} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpointStub{response: activeResponse()}
			e.set(trouble)
			v := e.verifier(t)
			start := time.Now()
			_, err := v.Verify(t.Context(), "canary")
			if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalidToken) || strings.Contains(err.Error(), "%!") || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: took %v", name, took)
			}
			if e.requests() != 1 {
				t.Errorf("%s: asked %d times", name, e.requests())
			}
			*e = endpointStub{response: activeResponse()}
			if _, err := v.Verify(t.Context(), "token"); err != nil {
				t.Errorf("%s, when it is over: %v", name, err)
			}
		})
	}
}

func TestAnActiveTokenIsNotAskedForAgainForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpointStub{response: activeResponse(func(c claimSet) { c["exp"] = time.Now().Unix() + 7 })}
		v := e.verifier(t)
		verify := func() error {
			_, err := v.Verify(t.Context(), "token")
			return err
		}
		for range 10 {
			if err := verify(); err != nil {
				t.Fatal(err)
			}
		}
		if e.requests() != 1 {
			t.Errorf("asked %d times", e.requests())
		}
		time.Sleep(5 * time.Second)
		if err := verify(); err != nil || e.requests() != 2 {
			t.Errorf("after 5 seconds: %v, asked %d times", err, e.requests())
		}
		// It ends with the token, at the latest.
		e.set(func(e *endpointStub) { e.response["active"] = false })
		time.Sleep(2 * time.Second)
		if err := verify(); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("expired: %v", err)
		}
		e.set(func(e *endpointStub) { e.response = activeResponse() })
		for range 2 {
			if err := verify(); err != nil {
				t.Error(err)
			}
		}
		e.set(func(e *endpointStub) { e.response["active"] = false })
		time.Sleep(5 * time.Second)
		if err := verify(); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("revoked: %v", err)
		}
		none := e.verifier(t, func(o *IntrospectorOptions) { o.CacheTTL = -1 })
		e.set(func(e *endpointStub) { e.response, e.asked = activeResponse(), nil })
		for range 3 {
			if _, err := none.Verify(t.Context(), "token"); err != nil {
				t.Error(err)
			}
		}
		if e.requests() != 3 {
			t.Errorf("without a cache: asked %d times", e.requests())
		}
	})
}

func TestTheCacheOfAnIntrospectorIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most = 100
		e := &endpointStub{response: activeResponse(func(c claimSet) { c["exp"] = time.Now().Unix() + 3600 })}
		v := e.verifier(t, func(o *IntrospectorOptions) { o.MaxCached = most })
		for n := range 10 * most {
			if _, err := v.Verify(t.Context(), rand.Text()); err != nil {
				t.Fatal(err)
			}
			if len(v.cache) > most {
				t.Fatalf("%d tokens", len(v.cache))
			}
			if n%7 == 0 {
				time.Sleep(time.Second) // some are outdated, some are not
			}
		}
		var wg sync.WaitGroup
		for n := range 4 * most {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), "token "+string(rune('a'+n%26))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(v.cache) > most {
			t.Errorf("%d tokens", len(v.cache))
		}
	})
}

func TestIntrospectorOptionsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*IntrospectorOptions{
		"Issuer is empty":          nil,
		"Endpoint":                 {Issuer: jwtIssuer, ClientID: "rs", ClientSecret: "secret"},
		"not an http or https URL": {Issuer: jwtIssuer, Endpoint: "unix:/socket", ClientID: "rs", ClientSecret: "secret"},
		"ClientID":                 {Issuer: jwtIssuer, Endpoint: jwtIssuer, ClientSecret: "secret"},
		"ClientSecret":             {Issuer: jwtIssuer, Endpoint: jwtIssuer, ClientID: "rs"},
	} {
		if _, err := NewIntrospector(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An authorization server that tells of grants is asked about them; what it says
// while the token is active costs no request of its own.
func TestIntrospectionTellsReplacedFromRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		grant := map[string]any{"has_token": true, "covered": now.Add(time.Hour).Unix(), "ends": now.Add(24 * time.Hour).Unix()}
		active := map[string]any{
			"active": true, "sub": "alice", "exp": now.Add(time.Hour).Unix(), "aud": testResource, "grant": grant,
		}
		e := &endpointStub{response: active}
		v := e.verifier(t)
		if _, err := v.Verify(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		want := Grant{HasToken: true, Covered: now.Add(time.Hour), Ends: now.Add(24 * time.Hour)}
		check := func(what string, requests int) {
			t.Helper()
			got, err := v.VerifyGrant(t.Context(), "t")
			if err != nil || got.HasToken != want.HasToken || !got.Covered.Equal(want.Covered) || !got.Ends.Equal(want.Ends) {
				t.Errorf("%s: %+v, %v, want %+v", what, got, err, want)
			}
			if n := e.requests(); n != requests {
				t.Errorf("%s: %d requests, want %d", what, n, requests)
			}
		}
		check("just verified", 1)
		time.Sleep(6 * time.Second)
		e.set(func(e *endpointStub) { e.response = map[string]any{"active": false, "grant": grant} })
		check("replaced", 2)
		check("cached", 2)
		if token, err := v.Verify(t.Context(), "t"); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("a new request with the replaced token: %+v, %v", token, err)
		}
		time.Sleep(6 * time.Second)
		grant["has_token"], want.HasToken = false, false
		check("revoked by name", 4)
		time.Sleep(6 * time.Second)
		e.set(func(e *endpointStub) { e.response = map[string]any{"active": false} })
		if got, err := v.VerifyGrant(t.Context(), "t"); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("without a grant: %+v, %v", got, err)
		}
		for i, form := range e.forms {
			if verified := i == 0 || i == 2; verified == form.Has("include_grant") {
				t.Errorf("request %d: %v", i, form)
			}
		}
	})
}

// Any other authorization server is asked as ever: it may refuse what it does not know.
func TestOtherAuthorizationServersAreNotAskedForGrants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Hour)
		e := &endpointStub{response: map[string]any{"active": true, "sub": "alice", "exp": until.Unix(), "aud": testResource}}
		v := e.verifier(t)
		for range 2 {
			if g, err := v.VerifyGrant(t.Context(), "t"); err != nil || !g.HasToken || !g.Covered.Equal(until) || !g.Ends.Equal(until) {
				t.Errorf("%+v, %v", g, err)
			}
			time.Sleep(6 * time.Second)
		}
		e.set(func(e *endpointStub) { e.response = map[string]any{"active": false} })
		if g, err := v.VerifyGrant(t.Context(), "t"); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("not active: %+v, %v", g, err)
		}
		for _, form := range e.forms {
			if form.Has("include_grant") {
				t.Errorf("asked %v", form)
			}
		}
	})
}
