package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestPageSaysHowToCall(t *testing.T) {
	t.Parallel()
	res := httptest.NewRecorder()
	page("https://mcp.example.com").ServeHTTP(res, httptest.NewRequest("GET", "/", nil))
	body := res.Body.String()
	if !strings.Contains(body, "https://mcp.example.com/mcp") || strings.Contains(body, "localhost") {
		t.Errorf("the page does not name its own address:\n%s", body)
	}
}

// The browser computes this hash of what it got; one that differs leaves the
// page without its style.
func TestPolicyAllowsTheStyleAndNothingElse(t *testing.T) {
	t.Parallel()
	res := httptest.NewRecorder()
	page(defaultURL).ServeHTTP(res, httptest.NewRequest("GET", "/", nil))
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
