// Package htmlpage writes the HTML pages of this module: all in one style, all under
// the same strict policy.
package htmlpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"net/http"
)

var (
	//go:embed style.css
	style string
	//go:embed head.html
	head string
)

// A Set is a set of pages. Browsers load nothing for them, run nothing in them
// but the set's script, show them in no frame, and tell nobody where they come
// from when they leave. It is safe for concurrent use.
type Set struct {
	templates *template.Template
	policy    string
}

// New returns the pages whose templates match pattern in files. A page begins
// with {{template "head" "its title"}}, ends the head itself, and may
// have {{script}} once. It panics
// if a template cannot be parsed: they are part of the program.
func New(files fs.FS, pattern, script string) *Set {
	policy := "default-src 'none'; style-src " + hash(style)
	if script != "" {
		policy += "; script-src " + hash(script)
	}
	// Whole elements, because a browser hashes what is between the tags: no
	// escaping must touch it.
	templates := template.New("").Funcs(template.FuncMap{
		"style":  func() template.HTML { return template.HTML("<style>" + style + "</style>") },
		"script": func() template.HTML { return template.HTML("<script>" + script + "</script>") },
	})
	return &Set{
		templates: template.Must(template.Must(templates.Parse(head)).ParseFS(files, pattern)),
		policy:    policy + "; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	}
}

// hash returns the source expression (CSP Level 3, section 2.3.1) that allows
// what is written in the page itself.
func hash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Write writes the page that has that name as the response. It panics if the template
// fails, which is for tests to find.
func (s *Set) Write(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := s.templates.ExecuteTemplate(&body, name, data); err != nil {
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", s.policy)
	h.Set("X-Frame-Options", "DENY") // for browsers that know no frame-ancestors
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a browser that has gone needs no page
}
