package server

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed pages
var pageFiles embed.FS

// pages are what users see. They run no script, load nothing, cannot be framed,
// and say nothing to where they lead.
type pages struct {
	templates *template.Template
	style     template.CSS
	policy    string
}

func newPages() *pages {
	css, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(css)
	return &pages{
		templates: template.Must(template.ParseFS(pageFiles, "pages/*.html")),
		style:     template.CSS(css),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	}
}

// A consentPage asks the user for a decision.
type consentPage struct {
	Flow, Token string // hidden fields of the form
	Action      string // where the form goes
	Client      string // the client's name for itself
	ClientHost  string // of the client's document, empty for other clients
	Redirect    string // the host that the user goes back to
	Local       bool   // it is the user's own machine
	Scopes      []Scope
	Resources   []string
}

// A leavePage takes the browser elsewhere.
type leavePage struct {
	To, Host string
	Login    bool // to log in
	Denied   bool // back to the client, with a refusal
	Auto     bool // by itself; else the user follows a link
}

// A problemPage says why a request cannot be served.
type problemPage struct {
	Code, Description string
	Client            string // empty if it is not known
	Back, BackHost    string // a link to the client, empty if there is none
}

func (p *pages) consent(w http.ResponseWriter, page consentPage) {
	p.write(w, http.StatusOK, "consent.html", page)
}

func (p *pages) leave(w http.ResponseWriter, page leavePage) {
	p.write(w, http.StatusOK, "leave.html", page)
}

func (p *pages) problem(w http.ResponseWriter, status int, page problemPage) {
	p.write(w, status, "problem.html", page)
}

func (p *pages) write(w http.ResponseWriter, status int, name string, page any) {
	var body bytes.Buffer
	data := struct {
		CSS  template.CSS
		Page any
	}{p.style, page}
	if err := p.templates.ExecuteTemplate(&body, name, data); err != nil {
		panic(err) // the templates are ours, and a test executes each
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a browser that has gone needs no page
}

// consentPage returns what the user is asked.
func (s *Server) consentPage(t ticket, f flow, client *Client) consentPage {
	page := consentPage{
		Flow: t.id, Token: t.form, Action: s.opts.Issuer + consentPath,
		Client: client.Name, Redirect: hostOf(f.Redirect), Resources: f.Resources,
	}
	if isDocument(client.ID) {
		page.ClientHost = hostOf(client.ID)
	}
	_, page.Local = withoutLoopbackPort(f.Redirect)
	for _, scope := range s.opts.Scopes {
		for _, name := range f.Scopes {
			if name == scope.Name {
				page.Scopes = append(page.Scopes, scope)
			}
		}
	}
	return page
}
