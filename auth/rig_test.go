package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
)

// tokenBook is a verifier that knows the tokens it was told of.
type tokenBook struct {
	mu     sync.Mutex
	tokens map[string]*Token
	err    error // what every verification fails with
	asked  int
}

func (b *tokenBook) Verify(_ context.Context, text string) (*Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	switch token, ok := b.tokens[text]; {
	case b.err != nil:
		return nil, b.err
	case !ok:
		return nil, ErrInvalidToken
	default:
		return token, nil
	}
}

func (b *tokenBook) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *tokenBook) set(text string, token *Token) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens == nil {
		b.tokens = map[string]*Token{}
	}
	b.tokens[text] = token
}

func (b *tokenBook) revoke(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tokens, text)
}

func (b *tokenBook) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

const (
	testResource = "https://mcp.example.com/mcp"
	testIssuer   = "https://login.example.com"
)

// aliceToken returns a token of alice for testResource, changed.
func aliceToken(change ...func(*Token)) *Token {
	t := &Token{
		Issuer: testIssuer, Subject: "alice", ClientID: "client", Audience: []string{testResource},
		Scopes: []string{"mcp"}, Expires: time.Now().Add(time.Hour),
	}
	for _, f := range change {
		f(t)
	}
	return t
}

// bookOf returns a verifier that knows one token, "good".
func bookOf(token *Token) *tokenBook {
	b := &tokenBook{}
	b.set("good", token)
	return b
}

func newResource(t testing.TB, b Verifier, change ...func(*ResourceOptions)) *Resource {
	t.Helper()
	opts := &ResourceOptions{Verifier: b, AuthorizationServers: []string{testIssuer}, Scopes: []string{"mcp"}}
	for _, f := range change {
		f(opts)
	}
	r, err := NewResource(testResource, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// served is what a handler behind a Resource answers with: what it sees.
type served struct {
	User, SDKUser, Body string
	Authorization       []string
	Method              string
}

func serving() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		s := served{Body: string(body), Authorization: r.Header.Values("Authorization"), Method: r.Method}
		if token := TokenFromContext(r.Context()); token != nil {
			s.User = token.UserID()
		}
		if info := sdkauth.TokenInfoFromContext(r.Context()); info != nil {
			s.SDKUser = info.UserID
		}
		_ = json.NewEncoder(w).Encode(s)
	})
}

// ask sends a request to the serving handler behind r.
func ask(r *Resource, method, body string, header http.Header) *httptest.ResponseRecorder {
	return askAt(r, method, "/mcp", body, header)
}

func askAt(r *Resource, method, target, body string, header http.Header) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	if header != nil {
		req.Header = header
	}
	w := httptest.NewRecorder()
	r.Protect(serving()).ServeHTTP(w, req)
	return w
}

func bearerOf(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// A challengeParam is one parameter of a WWW-Authenticate header.
type challengeParam struct{ name, value string }

// parseChallenge reads a challenge as strictly as RFC 9110, section 11.6.1, and
// RFC 6750, section 3, allow it to be read.
func parseChallenge(header string) ([]challengeParam, error) {
	rest, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return nil, fmt.Errorf("%q is no Bearer challenge", header)
	}
	var params []challengeParam
	for {
		name, after, ok := strings.Cut(rest, `="`)
		if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return nil, fmt.Errorf("%q has no parameter at %q", header, rest)
		}
		value, after, ok := strings.Cut(after, `"`)
		if !ok {
			return nil, fmt.Errorf("%q has an open quote", header)
		}
		for _, c := range []byte(value) {
			if c < 0x20 || c > 0x7e || c == '\\' {
				return nil, fmt.Errorf("%q has the character %q", header, c)
			}
		}
		params = append(params, challengeParam{name, value})
		if after == "" {
			return params, nil
		}
		if rest, ok = strings.CutPrefix(after, ", "); !ok {
			return nil, fmt.Errorf("%q goes on with %q", header, after)
		}
	}
}

// challengeOf returns the parameters of a response's only challenge.
func challengeOf(t testing.TB, header http.Header) map[string]string {
	t.Helper()
	values := header.Values("WWW-Authenticate")
	if len(values) != 1 {
		t.Fatalf("%d challenges: %q", len(values), values)
	}
	params, err := parseChallenge(values[0])
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, p := range params {
		if _, twice := m[p.name]; twice {
			t.Fatalf("%s is there twice: %s", p.name, values[0])
		}
		m[p.name] = p.value
	}
	return m
}

func errorOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Description == "" {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	return body.Error
}
