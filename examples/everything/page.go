package main

import (
	"embed"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/page"
)

//go:embed page.html
var pageFiles embed.FS

// frontPage returns the handler of the page that says what this server is. The
// page loads nothing, runs nothing, and is the same for every request.
func frontPage(base string, login bool) http.Handler {
	pages := page.New(pageFiles, "page.html", "")
	view := struct {
		URL, Curl string
		Login     bool
	}{base + "/mcp", curlEchoAt(base), login}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		pages.Write(w, http.StatusOK, "page.html", view)
	})
}
