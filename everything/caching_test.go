package everything_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// cacheHints are the hints of one result of each kind.
func cacheHints(t *testing.T, cs *mcp.ClientSession) map[string]mcp.Cacheable {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tools, err := cs.ListTools(t.Context(), nil)
	must(err)
	prompts, err := cs.ListPrompts(t.Context(), nil)
	must(err)
	resources, err := cs.ListResources(t.Context(), nil)
	must(err)
	templates, err := cs.ListResourceTemplates(t.Context(), nil)
	must(err)
	text, err := cs.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "test://static/resource/1"})
	must(err)
	app, err := cs.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: appURI})
	must(err)
	return map[string]mcp.Cacheable{
		"tools": tools.Cacheable, "prompts": prompts.Cacheable,
		"resources": resources.Cacheable, "templates": templates.Cacheable,
		"text": text.Cacheable, "app": app.Cacheable,
	}
}

func wantCacheHints(scope string) map[string]mcp.Cacheable {
	list := mcp.Cacheable{TTLMs: 5_000, CacheScope: scope}
	switched := mcp.Cacheable{TTLMs: 1_000, CacheScope: scope}
	read := mcp.Cacheable{TTLMs: 300_000, CacheScope: scope}
	return map[string]mcp.Cacheable{
		"tools": switched, "prompts": list, "resources": switched, "templates": list,
		"text": read, "app": read,
	}
}

func TestResultsOfAnOpenServerMayBeShared(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		if diff := cmp.Diff(wantCacheHints("public"), cacheHints(t, connect(nil))); diff != "" {
			t.Errorf("hints (-want +got):\n%s", diff)
		}
	})
}

// bearer adds a token to every request.
type bearer struct{ token string }

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(req)
}

func TestResultsForUsersAreTheirs(t *testing.T) {
	t.Parallel()
	verify := func(context.Context, string, *http.Request) (*auth.TokenInfo, error) {
		return &auth.TokenInfo{UserID: "ada", Expiration: time.Now().Add(time.Hour)}, nil
	}
	for _, version := range []string{v2025, v2026} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := everything.New(nil)
			handler := mcp.NewStreamableHTTPHandler(
				func(*http.Request) *mcp.Server { return server },
				&mcp.StreamableHTTPOptions{Stateless: version == v2026},
			)
			httpServer := httptest.NewServer(auth.RequireBearerToken(verify, nil)(handler))
			t.Cleanup(httpServer.Close)
			cs := connectClient(t, &mcp.StreamableClientTransport{
				Endpoint:   httpServer.URL,
				HTTPClient: &http.Client{Transport: bearer{"token"}},
			}, version, nil)
			t.Cleanup(func() { _ = cs.Close() })
			if diff := cmp.Diff(wantCacheHints("private"), cacheHints(t, cs)); diff != "" {
				t.Errorf("hints (-want +got):\n%s", diff)
			}
		})
	}
}

// The SDK's client keeps the hints of this result to itself.
func TestDiscoveryMayBeKept(t *testing.T) {
	t.Parallel()
	response := post2026(t, serveHTTP(t, everything.New(nil), v2026), "server/discover", `{}`)
	result := response["result"].(map[string]any)
	if result["ttlMs"] != 300_000.0 || result["cacheScope"] != "public" {
		t.Errorf("ttlMs is %v, cacheScope %v", result["ttlMs"], result["cacheScope"])
	}
}
