package mcp_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// guarded sends a request past HTTP, so that it can come from anywhere: local
// is the address that the connection was accepted on.
func guarded(i *simulatedInstance, method, local, host string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	r.Host, r.Header = host, header
	if addr, err := net.ResolveTCPAddr("tcp", local); err == nil {
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
	}
	w := httptest.NewRecorder()
	i.handler.ServeHTTP(w, r)
	return w
}

func TestHosts(t *testing.T) {
	t.Parallel()
	const loopback, public = "127.0.0.1:3232", "192.0.2.1:3232"
	for _, test := range []struct {
		name    string
		allowed []string
		local   string
		served  []string
		refused []string
	}{
		{
			"a loopback address serves loopback hosts", nil, loopback,
			[]string{"localhost", "localhost:3232", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9", "127.9.9.9", "[::1]", "[::1]:3232"},
			[]string{
				"", "example.com", "example.com:3232", "localhost.example.com", "127.0.0.1.example.com", "localhost@example.com",
				"192.0.2.1", "0.0.0.0", "[::2]:3232", "xn--localhost",
			},
		},
		{"the IPv6 loopback is one", nil, "[::1]:3232", []string{"localhost", "[::1]:3232"}, []string{"example.com"}},
		{"a public address serves every host", nil, public, []string{"example.com", "192.0.2.1:3232", "localhost", ""}, nil},
		{"so does a connection without an address", nil, "", []string{"example.com", ""}, nil},
		{
			"an allowed host is served on any port", []string{"mcp.example.com"}, public,
			[]string{"mcp.example.com", "mcp.example.com:443", "MCP.Example.com:8443"},
			[]string{"", "example.com", "mcp.example.com.evil.com", "evilmcp.example.com", "localhost", "127.0.0.1:3232"},
		},
		{
			"an allowed host with a port is served on that one", []string{"mcp.example.com:8443"}, public,
			[]string{"mcp.example.com:8443"}, []string{"mcp.example.com", "mcp.example.com:443"},
		},
		{
			"an allowed IPv6 host", []string{"[2001:db8::1]", "2001:db8::2"}, public,
			[]string{"[2001:db8::1]", "[2001:db8::1]:443", "[2001:db8::2]:443"}, []string{"[2001:db8::3]", "[2001:db8::3]:443"},
		},
		{
			"an allowed host is served on a loopback address too, as behind a proxy", []string{"mcp.example.com"}, loopback,
			[]string{"mcp.example.com", "localhost:3232"}, []string{"example.com"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{options: func(o *fleet.Options) { o.AllowedHosts = test.allowed }}, func(t *testing.T, s *simulation) {
				for _, i := range s.instances {
					for _, host := range test.served {
						if w := guarded(i, "OPTIONS", test.local, host, nil); w.Code != http.StatusMethodNotAllowed {
							t.Errorf("host %q: status %d, want it served", host, w.Code)
						}
					}
					for _, host := range test.refused {
						w := guarded(i, "POST", test.local, host, nil)
						want := errorResponse(403, "null", -32000, `host "`+host+`" is not allowed`)
						if diff := cmp.Diff(want, read(t, w.Result())); diff != "" {
							t.Errorf("host %q: (-want +got)\n%s", host, diff)
						}
					}
				}
			})
		})
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	allow := func(o *fleet.Options) {
		o.AllowedOrigins = []string{"https://app.example.com", "http://dev.example.com:8080"}
	}
	simulate(t, simulated{options: allow}, func(t *testing.T, s *simulation) {
		served := []string{
			"https://app.example.com", "http://dev.example.com:8080",
			"http://localhost", "https://localhost:5173", "http://127.0.0.1:6274", "http://[::1]:80",
		}
		refused := []string{
			"null", "https://example.com", "http://app.example.com", "https://app.example.com:8443", "https://app.example.com.evil.com",
			"https://evil.com/https://app.example.com", "http://dev.example.com", "file://localhost", "chrome-extension://localhost",
			"http://localhost.evil.com", "http://localhost@evil.com", "http://evil.com#localhost", "localhost", "*", "%", "http://",
			"https://app.example.com, https://evil.com", "http://192.168.0.1",
		}
		for _, i := range s.instances {
			for _, method := range []string{"POST", "GET", "DELETE", "OPTIONS"} {
				for _, origin := range served {
					w := guarded(i, method, "", "example.com", http.Header{"Origin": {origin}})
					got := []string{
						w.Header().Get("Access-Control-Allow-Origin"), w.Header().Get("Access-Control-Expose-Headers"), w.Header().Get("Vary"),
					}
					if diff := cmp.Diff([]string{origin, "Mcp-Session-Id, WWW-Authenticate", "Origin"}, got); diff != "" || w.Code == http.StatusForbidden {
						t.Errorf("%s from %s: status %d; (-want +got)\n%s", method, origin, w.Code, diff)
					}
				}
				for _, origin := range refused {
					w := guarded(i, method, "", "example.com", http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}})
					quoted := strings.ReplaceAll(origin, `"`, `\"`)
					want := errorResponse(403, "null", -32000, `origin "`+quoted+`" is not allowed`)
					if diff := cmp.Diff(want, read(t, w.Result())); diff != "" {
						t.Errorf("%s from %s: (-want +got)\n%s", method, origin, diff)
					}
					if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
						t.Errorf("%s from %s: the page may read the response", method, origin)
					}
				}
			}
		}
	})
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for _, i := range s.instances {
			w := guarded(i, "OPTIONS", "", "example.com", http.Header{
				"Origin":                         {"http://localhost:6274"},
				"Access-Control-Request-Method":  {"DELETE"},
				"Access-Control-Request-Headers": {"authorization,content-type,mcp-protocol-version,mcp-session-id"},
			})
			want := http.Header{
				"Access-Control-Allow-Origin":   {"http://localhost:6274"},
				"Access-Control-Allow-Methods":  {"GET, POST, DELETE"},
				"Access-Control-Allow-Headers":  {"authorization,content-type,mcp-protocol-version,mcp-session-id"},
				"Access-Control-Expose-Headers": {"Mcp-Session-Id, WWW-Authenticate"},
				"Access-Control-Max-Age":        {"600"},
				"Cache-Control":                 {"no-store"},
				"Vary":                          {"Origin", "Access-Control-Request-Headers"},
			}
			if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != http.StatusNoContent {
				t.Errorf("status %d; (-want +got)\n%s", w.Code, diff)
			}
		}
	})
}

// A page sees the headers of real responses, errors included.
func TestCORSOfResponses(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		c.Header.Set("Origin", "http://localhost:6274")
		for _, id := range []string{c.Session, "none"} {
			res := c.Post(t, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, set("Mcp-Session-Id", id))
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != "http://localhost:6274" {
				t.Errorf("status %d: allowed origin %q", res.StatusCode, got)
			}
		}
		stream := c.Get(t, "")
		if got := stream.Header.Get("Access-Control-Allow-Origin"); got != "http://localhost:6274" {
			t.Errorf("of a stream: allowed origin %q", got)
		}
	})
}
