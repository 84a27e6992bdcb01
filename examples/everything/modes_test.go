package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
	"github.com/mcpfleet/mcpfleet/internal/testing/demotest"
)

func echo(t *testing.T, client *mcp.ClientSession) {
	t.Helper()
	res, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": "hello"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Content[0].(*mcp.TextContent).Text; got != "Echo: hello" {
		t.Errorf("echo answered %q", got)
	}
}

// By default clients have to log in, and the metadata tells them where. It names
// the resource they called. (Defect 10 of the reference server: it does not.)
func TestByDefaultClientsLogIn(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t, "AUTH_MODE=")
	base := atLocalhost(p.URL)
	for _, path := range []string{"/mcp", "/sse", "/message"} {
		res, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Header.Get("WWW-Authenticate"), "resource_metadata=") {
			t.Errorf("GET %s: %s, %q", path, res.Status, res.Header.Get("WWW-Authenticate"))
		}
	}
	res, err := http.Get(base + "/.well-known/oauth-protected-resource/mcp")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var metadata struct {
		Resource string
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.NewDecoder(res.Body).Decode(&metadata); err != nil || metadata.Resource != base+"/mcp" || len(metadata.Servers) != 1 || metadata.Servers[0] != base {
		t.Errorf("the metadata is %+v, %v", metadata, err)
	}
	echo(t, authtest.Connect(t, base+"/mcp", "alice"))
}

// The proxy in front may leave the path of BASE_URI as it is, or strip it.
func TestAPublicURLWithAPath(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	root := "http://localhost:" + port
	base := root + "/some/path"
	demotest.Start(t, "AUTH_MODE=internal", "PORT="+port, "BASE_URI="+base+"/")
	echo(t, authtest.Connect(t, base+"/mcp", "alice"))
	for _, url := range []string{root, base} {
		for path, want := range map[string]int{
			"/": http.StatusOK, "/readyz": http.StatusOK, "/mcp": http.StatusUnauthorized, "/sse": http.StatusUnauthorized, "/nowhere": http.StatusNotFound,
		} {
			res, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("GET %s: %s, want %d", url+path, res.Status, want)
			}
		}
	}
}

func TestTheSSEEndpointIsBelowThePathOfThePublicURL(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t, "BASE_URI=http://localhost/some/path")
	for _, prefix := range []string{"", "/some/path"} {
		res, err := http.Get(p.URL + prefix + "/sse")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		event, err := sse.Read(bufio.NewReader(res.Body))
		if err != nil || !strings.HasPrefix(string(event.Data), "/some/path/message?") {
			t.Errorf("GET %s/sse: %q, %v", prefix, event.Data, err)
		}
	}
}

// An authorization server and an MCP server that share nothing but some settings:
// tokens are verified by introspection or by their signatures.
func TestAnAuthorizationServerOfItsOwn(t *testing.T) {
	t.Parallel()
	for how, settings := range map[string][]string{
		"introspection": {"INTROSPECTION_CLIENT_SECRET=the two of them know this"},
		"signatures":    {"SIGNING_KEY_FILE=" + signingKey(t)},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			as := demotest.Start(t, append(settings, "AUTH_MODE=auth_server", "RESOURCE_URIS=http://localhost:"+port+"/mcp")...)
			p := demotest.Start(t, append(settings, "AUTH_MODE=external", "PORT="+port, "AUTH_SERVER_URL="+atLocalhost(as.URL))...)
			echo(t, authtest.Connect(t, atLocalhost(p.URL)+"/mcp", "alice"))
			for _, url := range []string{as.URL, p.URL} {
				for _, path := range []string{"/", "/livez", "/readyz"} {
					if res, err := http.Get(url + path); err != nil || res.StatusCode != http.StatusOK {
						t.Errorf("GET %s: %v, %v", path, res, err)
					}
				}
			}
		})
	}
}

func TestAnAuthorizationServerThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := demotest.Run(t, "AUTH_MODE=external", "AUTH_SERVER_URL=http://127.0.0.1:1")
	if status != 2 || stdout != "" || !strings.HasPrefix(stderr, `AUTH_SERVER_URL="http://127.0.0.1:1": `) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

// Every response of the demo has them, also those that refuse, and those that the
// mux writes: unknown paths, wrong methods, redirects to clean paths.
func TestSecurityHeadersOnEveryRoute(t *testing.T) {
	t.Parallel()
	routes := []string{
		"/", "/mcp", "/sse", "/message", "/authorize", "/authorize/consent", "/token", "/register", "/revoke", "/introspect", "/jwks",
		"/fakeupstreamauth/authorize", "/fakeupstreamauth/redirect", "/livez", "/readyz",
		"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration",
		"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource/sse",
		"/nowhere", "/mcp/", "/authorize/", "/authorize/nowhere", "/.well-known/", "/%00", "//authorize", "/./token", "/nowhere/../livez",
		"/path", "/path/", "/path/nowhere", "/path//token",
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"}
	for _, settings := range [][]string{
		{"AUTH_MODE=internal", "BASE_URI=https://demo.example/path"},
		{"AUTH_MODE=none", "BASE_URI=https://demo.example"},
		{"AUTH_MODE=auth_server", "BASE_URI=https://demo.example", "SIGNING_KEY_FILE=" + signingKey(t)},
	} {
		t.Run(settings[0], func(t *testing.T) {
			t.Parallel()
			p := demotest.Start(t, settings...)
			for _, path := range routes {
				for _, method := range methods {
					checkSecurityHeaders(t, p.URL, method, path)
				}
			}
			checkSecurityHeaders(t, p.URL, "OPTIONS", "*") // which has no path
		})
	}
}

func checkSecurityHeaders(t *testing.T, base, method, path string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // of what may be a stream
	req, err := http.NewRequestWithContext(ctx, method, base, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "demo.example"
	req.URL.Opaque = path // as it is
	if strings.HasPrefix(path, "//") {
		req.URL.Opaque = "//" + req.URL.Host + path
	}
	res, err := http.DefaultTransport.RoundTrip(req) // which follows nothing
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return
	}
	defer res.Body.Close()
	h := res.Header
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Strict-Transport-Security": "max-age=31536000",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s %s: %s with %s %q, want %q", method, path, res.Status, name, got, want)
		}
	}
	policy := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "} {
		if !strings.Contains(policy, want) {
			t.Errorf("%s %s: %s with policy %q, which lacks %s", method, path, res.Status, policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || !strings.Contains(h.Get("Cache-Control"), "no-store") {
		t.Errorf("%s %s: %s with %v", method, path, res.Status, h)
	}
}

// atLocalhost returns a program's URL as its default BASE_URI has it.
func atLocalhost(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// signingKey writes a private key to a file, and returns its name.
func signingKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "signing.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
