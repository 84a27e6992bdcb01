package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/examples/internal/demo"
)

func TestPageSaysHowToCall(t *testing.T) {
	t.Parallel()
	for mode, want := range map[demo.AuthMode]string{
		demo.AuthNone:     "https://mcp.example.com/mcp",
		demo.AuthInternal: "oauth.sh https://mcp.example.com<",
		demo.AuthExternal: "https://login.example",
		demo.AuthServer:   "https://elsewhere.example/mcp",
	} {
		res := httptest.NewRecorder()
		auth := demo.AuthConfig{Mode: mode, ServerURL: "https://login.example", Resources: []string{"https://elsewhere.example/mcp"}}
		page("https://mcp.example.com", auth).ServeHTTP(res, httptest.NewRequest("GET", "/", nil))
		body := res.Body.String()
		if !strings.Contains(body, want) || strings.Contains(body, "localhost") {
			t.Errorf("with AUTH_MODE=%s the page lacks %s, or does not name its own address:\n%s", mode, want, body)
		}
	}
}

func TestPageOfAnAuthorizationServerDoesNotSayThatItIsAnMCPServer(t *testing.T) {
	t.Parallel()
	for mode, want := range map[demo.AuthMode]bool{demo.AuthInternal: true, demo.AuthServer: false} {
		res := httptest.NewRecorder()
		page(defaultURL, demo.AuthConfig{Mode: mode}).ServeHTTP(res, httptest.NewRequest("GET", "/", nil))
		if got := strings.Contains(res.Body.String(), "shows every feature"); got != want {
			t.Errorf("with AUTH_MODE=%s it says so: %v", mode, got)
		}
	}
}

// The browser computes this hash of the style; if it differs, the page has no style.
func TestPolicyAllowsTheStyleAndNothingElse(t *testing.T) {
	t.Parallel()
	res := httptest.NewRecorder()
	page(defaultURL, demo.AuthConfig{}).ServeHTTP(res, httptest.NewRequest("GET", "/", nil))
	_, rest, _ := strings.Cut(res.Body.String(), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	policy := res.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("the policy %q does not allow the style", policy)
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") {
		t.Errorf("the policy %q allows more", policy)
	}
}

func TestREADMEHasTheCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```sh\n"+curlEcho+"```\n") {
		t.Error("README.md lacks curlEcho as it is in nextsteps.go")
	}
}
