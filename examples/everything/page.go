package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"github.com/mcpfleet/mcpfleet/examples/internal/demo"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
)

// page returns the handler of the page that explains this server. The page loads
// nothing, runs no script, and is the same for every request.
func page(base string, auth demo.AuthConfig) http.Handler {
	var body bytes.Buffer
	err := template.Must(template.New("page").Parse(pageHTML)).Execute(&body, struct {
		CSS       template.CSS
		Base, URL string
		Auth      demo.AuthConfig
		Curl      string
		Script    string
	}{template.CSS(pageCSS), base, base + "/mcp", auth, curlEchoAt(base), oauthScript})
	if err != nil {
		panic(err) // The template is a constant: a mistake in it shows at every start.
	}
	sum := sha256.Sum256([]byte(pageCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		w.Write(body.Bytes())
	})
}
