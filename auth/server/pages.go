package server

import (
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpfleet/mcpfleet/internal/htmlpage"
	"github.com/mcpfleet/mcpfleet/internal/loopback"
)

//go:embed pages
var pageFiles embed.FS

// Bounds of shown texts, in characters.
const (
	maxShownName        = 80
	maxShownDescription = 400
)

// pages are the pages that users see. They have no script, and no logo: users would
// trust a picture that the client chose.
type pages struct {
	set     *htmlpage.Set
	schemes []string
}

func newPages(schemes []string) *pages {
	return &pages{htmlpage.New(pageFiles, "pages/*.html", ""), schemes}
}

// A consentPage asks the user for a decision.
type consentPage struct {
	Session, Token string // hidden fields of the form
	Action         string // where the form goes
	Client         string // the client's name for itself
	ClientHost     string // of the client's document, empty for other clients
	Vouched        bool   // the operator knows the client
	Redirect       string // the host that the response goes to, or the scheme
	App            bool   // it is the scheme of an application
	Local          bool   // it is the user's own machine
	Scopes         []Scope
	Resources      []string
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

func (p *pages) consent(w http.ResponseWriter, view consentPage) {
	view.Client = shownName(view.Client)
	p.set.Write(w, http.StatusOK, "consent.html", view)
}

func (p *pages) leave(w http.ResponseWriter, view leavePage) {
	title := "You are being taken to the login"
	if !view.Login {
		title = "Access was not allowed"
	}
	p.set.Write(w, http.StatusOK, "leave.html", struct {
		leavePage
		Title string
		To    template.URL
	}{view, title, p.link(view.To)})
}

func (p *pages) problem(w http.ResponseWriter, status int, view problemPage) {
	view.Description = htmlpage.Text(view.Description, maxShownDescription)
	if view.Client != "" {
		view.Client = shownName(view.Client)
	}
	title, advice := explain(status)
	p.set.Write(w, status, "problem.html", struct {
		problemPage
		Title, Advice string
		Back          template.URL
	}{view, title, advice, p.link(view.Back)})
}

// explain returns what a status means to a user who wanted to log in.
func explain(status int) (title, advice string) {
	switch status {
	case http.StatusForbidden:
		return "This login cannot continue", "It took too long, was continued before, or was started in another browser. " +
			"Go back to the application and start again."
	case http.StatusTooManyRequests:
		return "Too many requests", "Wait a little, then try again."
	case http.StatusServiceUnavailable:
		return "Not available right now", "Nothing is lost. Wait a moment, then try again."
	case http.StatusInternalServerError:
		return "Something went wrong here", "It is not your fault. Go back to the application and try again later."
	}
	return "The application sent a request that cannot be served", "In the application, remove this server and connect to it again. " +
		"If that does not help, its developers have to fix it."
}

// shownName returns a client's name as users see it.
func shownName(name string) string {
	if name = htmlpage.Text(name, maxShownName); name == "" {
		return "an application without a name"
	}
	return name
}

// link returns uri as a URL that html/template accepts, or nothing if no browser
// may be sent there. html/template itself accepts only http and https, but
// applications have schemes of their own. Although uri was checked before, a
// scheme that could run a script on our origin never becomes a link.
func (p *pages) link(uri string) template.URL {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	switch scheme := strings.ToLower(u.Scheme); {
	case scheme == "https" || scheme == "http":
		return template.URL(uri)
	case ValidRedirectScheme(scheme) && slices.Contains(p.schemes, scheme):
		return template.URL(uri)
	}
	return ""
}

// consentPage returns what the consent page shows.
func (s *Server) consentPage(b browserBinding, session authSession, client *Client) consentPage {
	view := consentPage{
		Session: b.session, Token: b.form, Action: s.opts.Issuer + consentPath,
		Client: client.Name, Vouched: s.clients.preregistered(client.ID),
		Redirect: hostOf(session.Redirect), Resources: session.Resources,
	}
	if !view.Vouched && isDocument(client.ID) { // a preregistered client has no document
		view.ClientHost = hostOf(client.ID)
	}
	if u, err := url.Parse(session.Redirect); err == nil {
		view.App = u.Scheme != "https" && u.Scheme != "http"
		view.Local = view.App || loopback.IsHost(u.Hostname())
	}
	for _, scope := range s.opts.Scopes {
		if slices.Contains(session.Scopes, scope.Name) {
			scope.Description = htmlpage.Text(scope.Description, maxShownDescription)
			view.Scopes = append(view.Scopes, scope)
		}
	}
	return view
}

// hostOf returns what users are told of where a URI leads.
func hostOf(uri string) string { return htmlpage.Host(uri) }
