package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const metadataURL = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"

func TestAValidTokenIsServed(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"Bearer good", "bearer good", "BEARER   good"} {
		r := newResource(t, bookOf(aliceToken()))
		w := ask(r, "POST", "the body", http.Header{"Authorization": {scheme}})
		var got served
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		user := testIssuer + "\x00alice"
		// T26: the handler, and so every tool, gets the token only if it is to.
		want := served{User: user, SDKUser: user, Body: "the body", Method: "POST"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", scheme, diff)
		}
	}
}

func TestT26_TheTokenIsKeptOnlyForThoseWhoExchangeIt(t *testing.T) {
	t.Parallel()
	r := newResource(t, bookOf(aliceToken()), func(o *ResourceOptions) { o.KeepToken = true })
	header := bearerOf("good")
	if w := ask(r, "GET", "", header); !strings.Contains(w.Body.String(), `"Authorization":["Bearer good"]`) {
		t.Errorf("with KeepToken: %s", w.Body)
	}
	r = newResource(t, bookOf(aliceToken()))
	if ask(r, "GET", "", header); header.Get("Authorization") != "Bearer good" {
		t.Error("the header was taken from middleware in front, too")
	}
}

// What is wrong with a request, its status and its error code.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	book := bookOf(aliceToken())
	book.set("expired", aliceToken(func(t *Token) { t.Expires = time.Now() }))
	book.set("narrow", aliceToken(func(t *Token) { t.Scopes = []string{"other"} }))
	const none = "unauthorized" // in the body; the challenge has no error
	for _, test := range []struct {
		name   string
		header []string
		status int
		error  string
	}{
		{"no header", nil, 401, none},
		{"another scheme", []string{"Basic Z29vZDo="}, 401, none},
		{"another scheme with the token", []string{"DPoP good"}, 401, none},
		{"a scheme that begins alike", []string{"Bearers good"}, 401, none},
		{"an empty header", []string{""}, 401, none},
		{"no token", []string{"Bearer"}, 401, "invalid_token"},
		{"an empty token", []string{"Bearer  "}, 401, "invalid_token"},
		{"an unknown token", []string{"Bearer bad"}, 401, "invalid_token"},
		{"another case", []string{"Bearer Good"}, 401, "invalid_token"},
		{"two tokens", []string{"Bearer good good"}, 401, "invalid_token"},
		{"two credentials", []string{"Bearer good, Bearer good"}, 401, "invalid_token"},
		{"a token in quotes", []string{`Bearer "good"`}, 401, "invalid_token"},
		{"white space that the SDK splits at", []string{"Bearer good\u00a0x"}, 401, "invalid_token"},
		{"an expired token", []string{"Bearer expired"}, 401, "invalid_token"},
		{"too little", []string{"Bearer narrow"}, 403, "insufficient_scope"},
		{"several headers", []string{"Bearer good", "Bearer good"}, 400, "invalid_request"},
		{"several headers of several schemes", []string{"Basic Z29vZDo=", "Bearer good"}, 400, "invalid_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if test.header != nil {
				header["Authorization"] = test.header
			}
			r := newResource(t, book)
			for _, method := range []string{"POST", "GET", "DELETE", "OPTIONS", "HEAD"} {
				w := ask(r, method, "", header)
				if w.Code != test.status || errorOf(t, w) != test.error {
					t.Errorf("%s: %d %s, want %d %s", method, w.Code, w.Body, test.status, test.error)
				}
				challenge := challengeOf(t, w.Header())
				want := map[string]string{"scope": "mcp", "resource_metadata": metadataURL}
				if test.error != none {
					want["error"], want["error_description"] = test.error, challenge["error_description"]
				}
				if diff := cmp.Diff(want, challenge); diff != "" {
					t.Errorf("challenge (-want +got)\n%s", diff)
				}
				if w.Header().Get("Cache-Control") != "no-store" {
					t.Error("the response may be stored")
				}
			}
		})
	}
}

// A URL is in logs, in histories and in Referer headers.
func TestATokenInTheQueryOrInAFormIsIgnored(t *testing.T) {
	t.Parallel()
	r := newResource(t, bookOf(aliceToken()))
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, w := range []*httptest.ResponseRecorder{
		askAt(r, "GET", "/mcp?access_token=good", "", nil),
		askAt(r, "POST", "/mcp", "access_token=good", form),
	} {
		if _, has := challengeOf(t, w.Header())["error"]; w.Code != http.StatusUnauthorized || has {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
}

// A token for any other resource is none here, however alike the two are.
func TestT25_ATokenForAnotherResourceIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		resource string
		served   []string
		refused  []string
	}{
		{testResource, []string{testResource, "HTTPS://MCP.EXAMPLE.COM/mcp"}, []string{
			"https://mcp.example.com/mcp-other", "https://mcp.example.com/mcp/", "https://mcp.example.com/mcp/other",
			"https://mcp.example.com", "https://mcp.example.com/", "https://mcp.example.com/MCP", "http://mcp.example.com/mcp",
			"https://mcp.example.com:443/mcp", "https://mcp.example.com:8443/mcp", "https://mcp.example.com/mcp?", "https://mcp.example.com/mcp?a=b",
			"https://mcp.example.com/mcp#", "https://mcp.example.com/mcp#a", "https://alice@mcp.example.com/mcp", "https://mcp.example.com.evil.com/mcp",
			"https://mcp.example.com/%6dcp", "https://mcp.example.com//mcp", "https://mcp.example.com/./mcp", "https://mcp.example.com/other/../mcp",
			"//mcp.example.com/mcp", "mcp.example.com/mcp", "/mcp", "mcp", "client", "*", "", " " + testResource, testResource + " ", testIssuer,
		}},
		{"https://mcp.example.com", []string{"https://mcp.example.com", "https://mcp.example.com/", "https://MCP.example.com"}, []string{
			"https://mcp.example.com/mcp", "https://mcp.example.com//", "https://example.com", "https://mcp.example.com?",
		}},
		{"https://mcp.example.com/", []string{"https://mcp.example.com", "https://mcp.example.com/"}, []string{"https://mcp.example.com/mcp"}},
		{"https://mcp.example.com/mcp/", []string{"https://mcp.example.com/mcp/"}, []string{testResource}},
		// The Kelvin sign is a k in lower case, but not a k.
		{"https://kelvin.example.com/", []string{"https://Kelvin.example.com"}, []string{"https://\u212aelvin.example.com"}},
	} {
		book := &tokenBook{}
		r, err := NewResource(test.resource, &ResourceOptions{Verifier: book, AuthorizationServers: []string{testIssuer}})
		if err != nil {
			t.Fatal(err)
		}
		status := func(audience ...string) *httptest.ResponseRecorder {
			book.set("good", aliceToken(func(t *Token) { t.Audience = audience }))
			return ask(r, "GET", "", bearerOf("good"))
		}
		for _, audience := range test.served {
			if w := status("https://other.example.com", audience); w.Code != http.StatusOK {
				t.Errorf("%s: a token for %s: %d %s", test.resource, audience, w.Code, w.Body)
			}
		}
		for _, audience := range append(test.refused, "https://other.example.com") {
			w := status(audience)
			if w.Code != http.StatusUnauthorized || challengeOf(t, w.Header())["error"] != "invalid_token" {
				t.Errorf("%s: a token for %q: %d %s", test.resource, audience, w.Code, w.Body)
			}
		}
		if w := status(); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: a token for nobody: %d", test.resource, w.Code)
		}
	}
}

// Clients throw a token away that they are told is not valid.
func TestT42_ATokenThatCannotBeVerifiedIsNotCalledInvalid(t *testing.T) {
	t.Parallel()
	const secret = "dial tcp 10.0.0.7:6379: connection refused"
	for _, test := range []struct {
		name   string
		err    error
		status int
		retry  string
	}{
		{"unavailable", fmt.Errorf("%w: %s", ErrUnavailable, secret), 503, "1"},
		{"unavailable, and so perhaps not valid", errors.Join(ErrInvalidToken, ErrUnavailable, errors.New(secret)), 503, "1"},
		{"anything else", errors.New(secret), 500, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			book := bookOf(aliceToken())
			book.fail(test.err)
			r := newResource(t, book, func(o *ResourceOptions) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			w := ask(r, "POST", "", bearerOf("good"))
			if w.Code != test.status || w.Header().Get("Retry-After") != test.retry || w.Header().Get("WWW-Authenticate") != "" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			// T28: what went wrong here is not the client's to know.
			if strings.Contains(w.Body.String(), "10.0.0.7") {
				t.Errorf("the client is told %s", w.Body)
			}
			if !strings.Contains(log.String(), secret) || strings.Contains(log.String(), "good") {
				t.Errorf("the log says %s", &log)
			}
		})
	}
}

// A verifier's mistake must not let anybody in, least of all as everybody.
func TestTokensWithoutAUserAreRefused(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]*Token{
		"no issuer":  aliceToken(func(t *Token) { t.Issuer = "" }),
		"no subject": aliceToken(func(t *Token) { t.Subject = "" }),
		"no token":   nil,
	} {
		if w := ask(newResource(t, bookOf(token)), "GET", "", bearerOf("good")); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	forever := aliceToken(func(t *Token) { t.Expires = time.Time{} })
	if w := ask(newResource(t, bookOf(forever)), "GET", "", bearerOf("good")); w.Code != http.StatusUnauthorized {
		t.Errorf("a token without an end: %d", w.Code)
	}
}

func TestIssuersShareNoUser(t *testing.T) {
	t.Parallel()
	users := map[string]bool{}
	for _, token := range []Token{
		{Issuer: "https://a.example", Subject: "x"}, {Issuer: "https://a.example/", Subject: "x"},
		{Issuer: "https://b.example", Subject: "x"}, {Issuer: "https://a.examplex", Subject: ""}, {Issuer: "https://a.example", Subject: "X"},
	} {
		users[token.UserID()] = true
	}
	if len(users) != 5 {
		t.Errorf("five users have the identities %v", users)
	}
}

// A preflight request has no token; the handler, or CORS middleware, answers it.
func TestPreflightRequestsPass(t *testing.T) {
	t.Parallel()
	book := bookOf(aliceToken())
	r := newResource(t, book)
	w := ask(r, "OPTIONS", "", http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}})
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"User":""`) || book.count() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, header := range map[string]http.Header{
		"without an origin": {"Access-Control-Request-Method": {"POST"}},
		"without a method":  {"Origin": {"https://app.example.com"}},
	} {
		if w := ask(r, "OPTIONS", "", header); w.Code != http.StatusUnauthorized {
			t.Errorf("OPTIONS %s: %d", name, w.Code)
		}
	}
	if w := ask(r, "POST", "", http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}}); w.Code != http.StatusUnauthorized {
		t.Errorf("POST with the headers of a preflight: %d", w.Code)
	}
}

// long is a handler that serves until its request ends, and says why.
func long(began chan<- struct{}, ended chan<- error) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})
}

func TestALongRequestEndsWhenItsTokenIsRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := bookOf(aliceToken())
		r := newResource(t, book)
		began, ended := make(chan struct{}), make(chan error, 1)
		req := httptest.NewRequest("GET", "/mcp", nil)
		req.Header = bearerOf("good")
		ctx, leave := context.WithCancel(t.Context())
		go r.Protect(long(began, ended)).ServeHTTP(httptest.NewRecorder(), req.WithContext(ctx))
		<-began
		time.Sleep(time.Minute)
		// For as long as nobody can tell, nothing ends.
		for _, err := range []error{ErrUnavailable, errors.New("broken"), errors.Join(ErrInvalidToken, ErrUnavailable)} {
			book.fail(err)
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(ended) != 0 {
				t.Fatalf("while verification fails with %v the request ended: %v", err, <-ended)
			}
		}
		book.fail(nil)
		time.Sleep(time.Minute)
		book.revoke("good")
		at := time.Now()
		if err := <-ended; !errors.Is(err, errRevoked) || time.Since(at) > 5*time.Second {
			t.Errorf("ended after %v: %v", time.Since(at), err)
		}
		leave()
	})
}

// Expiry is in TokenInfo, for the handler to see to in its own way.
func TestALongRequestIsNotCancelledWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := bookOf(aliceToken(func(t *Token) { t.Expires = time.Now().Add(time.Minute) }))
		r := newResource(t, book)
		began, ended := make(chan struct{}), make(chan error, 1)
		req := httptest.NewRequest("GET", "/mcp", nil)
		req.Header = bearerOf("good")
		ctx, leave := context.WithCancel(t.Context())
		go r.Protect(long(began, ended)).ServeHTTP(httptest.NewRecorder(), req.WithContext(ctx))
		<-began
		time.Sleep(time.Minute)
		book.revoke("good") // as verifiers do with what has expired
		time.Sleep(time.Hour)
		if asked := book.count(); asked > 13 {
			t.Errorf("an expired token was verified %d times", asked)
		}
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended: %v", err)
		}
	})
}

// What is short costs no second verification, and leaves nothing behind.
func TestAShortRequestIsVerifiedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := bookOf(aliceToken())
		ask(newResource(t, book), "GET", "", bearerOf("good"))
		time.Sleep(time.Hour)
		if asked := book.count(); asked != 1 {
			t.Errorf("verified %d times", asked)
		}
	})
}

func TestResourcesThatCannotBe(t *testing.T) {
	t.Parallel()
	ok := func(o *ResourceOptions) {}
	for _, test := range []struct {
		identifier string
		change     func(*ResourceOptions)
		names      string
	}{
		{"", ok, `""`},
		{"/mcp", ok, "/mcp"},
		{"mcp.example.com/mcp", ok, "mcp.example.com"},
		{"ftp://mcp.example.com/mcp", ok, "ftp"},
		{"https:///mcp", ok, "https:///mcp"},
		{testResource + "#", ok, "fragment"},
		{"https://alice@mcp.example.com/", ok, "user"},
		{"https://\u212aelvin.example/", ok, "ASCII"},
		{testResource, func(o *ResourceOptions) { o.Verifier = nil }, "Verifier"},
		{testResource, func(o *ResourceOptions) { o.AuthorizationServers = nil }, "AuthorizationServers"},
		{testResource, func(o *ResourceOptions) { o.AuthorizationServers = []string{"login.example.com"} }, "login.example.com"},
		{testResource, func(o *ResourceOptions) { o.AuthorizationServers = []string{testIssuer + "?a"} }, "AuthorizationServers"},
		{testResource, func(o *ResourceOptions) { o.RecheckEvery = -1 }, "RecheckEvery"},
		{testResource, func(o *ResourceOptions) { o.MaxBody = -1 }, "MaxBody"},
		{testResource, func(o *ResourceOptions) { o.Scopes = []string{"a b"} }, `"a b"`},
		{testResource, func(o *ResourceOptions) { o.ScopesSupported = []string{"a\"b"} }, "not a scope"},
		{testResource, func(o *ResourceOptions) { o.Implies = map[string][]string{"a": {""}} }, "not a scope"},
		{testResource, func(o *ResourceOptions) { o.Implies = map[string][]string{"\n": {"a"}} }, "not a scope"},
		{testResource, func(o *ResourceOptions) { o.ScopesSupported = []string{"mcp", "offline_access"} }, "offline_access"},
	} {
		opts := &ResourceOptions{Verifier: &tokenBook{}, AuthorizationServers: []string{testIssuer}}
		test.change(opts)
		if _, err := NewResource(test.identifier, opts); err == nil || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%q: %v does not name %s", test.identifier, err, test.names)
		}
	}
	if _, err := NewResource(testResource, nil); err == nil {
		t.Error("a resource without options")
	}
}
