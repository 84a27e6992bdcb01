package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/auth/server"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A ownServer is two instances of our authorization server behind one address.
type ownServer struct {
	url       string
	instances []*server.Server
	down      atomic.Bool
}

type noUpstream struct{}

func (noUpstream) Begin(context.Context, string) (*url.URL, []byte, error) {
	return nil, nil, errors.New("nobody logs in here")
}

func (noUpstream) End(context.Context, *http.Request, []byte) (server.Login, error) {
	return server.Login{}, errors.New("nobody logs in here")
}

func newOwnServer(t *testing.T, redis *redistest.Server, keys ...server.SigningKey) *ownServer {
	t.Helper()
	own := &ownServer{}
	var turn atomic.Uint64
	var handlers []http.Handler
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		handlers[int(turn.Add(1))%len(handlers)].ServeHTTP(w, r)
	}))
	t.Cleanup(balancer.Close)
	own.url = balancer.URL
	prefix := redis.Prefix(t)
	for range 2 {
		instance, err := server.New(&server.Options{
			Redis: redis.Client(t), Prefix: prefix, Issuer: own.url, Resources: []string{own.url + "/mcp", own.url + "/other"},
			Scopes: []server.Scope{{Name: "read"}, {Name: "write"}}, Upstream: noUpstream{}, SigningKeys: keys,
			Clients: []server.Client{{
				ID: "robot", AuthMethod: "client_secret_basic", SecretHash: server.HashSecret("robot's secret"), GrantTypes: []string{"client_credentials"},
			}},
			ResourceServers: []server.ResourceServer{{ID: "rs", SecretHash: server.HashSecret("rs's secret"), Resources: []string{own.url + "/mcp"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		instance.Handle(mux)
		handlers, own.instances = append(handlers, mux), append(own.instances, instance)
	}
	return own
}

// post sends a form as the robot.
func (own *ownServer) post(t *testing.T, path string, form url.Values) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, own.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("robot", url.QueryEscape("robot's secret"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(res.Body).Decode(&v); res.StatusCode != http.StatusOK || err != nil && path == "/token" {
		t.Fatalf("%s: %d %v %v", path, res.StatusCode, v, err)
	}
	return v
}

// token returns a token for a resource.
func (own *ownServer) token(t *testing.T, resource string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {own.url + resource}, "scope": {"read"}}
	return own.post(t, "/token", form)["access_token"].(string)
}

func (own *ownServer) introspector(t *testing.T) auth.Verifier {
	t.Helper()
	v, err := auth.NewIntrospector(&auth.IntrospectorOptions{
		Issuer: own.url, Endpoint: own.url + "/introspect", ClientID: "rs", ClientSecret: "rs's secret", CacheTTL: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func signingKey(t *testing.T) server.SigningKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return server.SigningKey{ID: "1", Key: key}
}

func TestEveryVerifierSaysTheSameOfATokenOfOurServer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, redis *redistest.Server) {
		own := newOwnServer(t, redis, signingKey(t))
		jwt, err := auth.NewJWTVerifier(&auth.JWTOptions{Issuer: own.url, JWKSURI: own.url + "/jwks"})
		if err != nil {
			t.Fatal(err)
		}
		text := own.token(t, "/mcp")
		for name, v := range map[string]auth.Verifier{
			"this instance": own.instances[0], "the other": own.instances[1], "introspection": own.introspector(t), "signature": jwt,
		} {
			for range 2 {
				token, err := v.Verify(t.Context(), text)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if token.UserID() != own.url+"\x00client:robot" || token.ClientID != "robot" ||
					!slices.Equal(token.Scopes, []string{"read"}) || !slices.Equal(token.Audience, []string{own.url + "/mcp"}) {
					t.Errorf("%s: %+v", name, token)
				}
			}
			if _, err := v.Verify(t.Context(), text[:len(text)-2]); !errors.Is(err, auth.ErrInvalidToken) {
				t.Errorf("%s, changed: %v", name, err)
			}
		}
	})
}

func TestIntrospectionSeesARevocationAndNoForeignAudience(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]server.SigningKey{nil, {signingKey(t)}} {
		own := newOwnServer(t, redistest.NewMiniredis(t), keys...)
		v := own.introspector(t)
		text := own.token(t, "/mcp")
		if _, err := v.Verify(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		if token, err := v.Verify(t.Context(), own.token(t, "/other")); !errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("for another resource: %+v, %v", token, err)
		}
		own.post(t, "/revoke", url.Values{"token": {text}})
		for range 2 {
			if token, err := v.Verify(t.Context(), text); !errors.Is(err, auth.ErrInvalidToken) {
				t.Errorf("revoked: %+v, %v", token, err)
			}
		}
		own.down.Store(true)
		if _, err := v.Verify(t.Context(), text); !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("down: %v", err)
		}
	}
}
