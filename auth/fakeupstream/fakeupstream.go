// Package fakeupstream is an identity provider for demos and tests ONLY: users
// type in who they are and are believed. Never put it in front of anything that
// matters.
//
// It implements [server.Upstream] and serves its own login page, on any number
// of instances that share a Redis. A browser remembers its user id, so it is
// the same user next time; another browser, or a private window, is another
// user.
package fakeupstream

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/auth/server"
	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
	"github.com/mcpfleet/mcpfleet/internal/htmlpage"
	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

const (
	// AuthorizePath is where the login page must be served, below BaseURL.
	AuthorizePath = "/fakeupstreamauth/authorize"
	// CallbackPath is where browsers are sent afterwards, below BaseURL: the
	// authorization server's [server.Options.CallbackPath] must be this.
	CallbackPath = "/fakeupstreamauth/redirect"
)

const (
	maxUser  = 128     // bytes of a user id
	maxState = 1 << 10 // bytes of a state
	maxForm  = 16 << 10
	codeTTL  = time.Minute
)

// Options configure an [Upstream]. Redis and BaseURL are required; the zero
// value of any other field means its default. All instances of a fleet have the
// same options.
type Options struct {
	// Redis is a client of the Redis that all instances share. The caller keeps
	// ownership and closes it.
	Redis rueidis.Client
	// Prefix is the first part of every key. If empty, "mcp".
	Prefix string
	// RedisTimeout bounds each call to Redis. If zero, 2 seconds.
	RedisTimeout time.Duration
	// BaseURL is the public URL of the instances: the authorization server's
	// issuer.
	BaseURL string
	// Limit bounds the requests of one address to the login page. If zero, 200
	// per minute; if Requests is negative, there is no limit.
	Limit server.Rate
	// TrustedProxies is how many proxies in front of the instances append to
	// X-Forwarded-For. If zero, the header is ignored.
	TrustedProxies int
}

// An Upstream is one instance of the fake identity provider. It is safe for
// concurrent use.
type Upstream struct {
	rdb         redisx.Client
	keys        rediskeys.Space
	base        string
	callback    string
	rate        limit.Rate
	limiter     *limit.Limiter
	proxies     int
	pages       *htmlpage.Set
	crossOrigin *http.CrossOriginProtection
}

var _ server.Upstream = (*Upstream)(nil)

var (
	//go:embed pages
	pageFiles embed.FS
	//go:embed pages/login.js
	script string
)

// New returns an instance. It fails if the options cannot be used; it does no
// I/O.
func New(opts *Options) (*Upstream, error) {
	if opts == nil || opts.Redis == nil {
		return nil, errors.New("fake upstream: Options.Redis is nil")
	}
	base, err := url.Parse(opts.BaseURL)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("fake upstream: Options.BaseURL %q is not an http or https URL without query and fragment", opts.BaseURL)
	}
	space, err := rediskeys.New(opts.Prefix)
	if err != nil {
		return nil, fmt.Errorf("fake upstream: Options.Prefix: %w", err)
	}
	crossOrigin := http.NewCrossOriginProtection()
	if err := crossOrigin.AddTrustedOrigin(base.Scheme + "://" + base.Host); err != nil {
		return nil, fmt.Errorf("fake upstream: Options.BaseURL: %w", err)
	}
	rate := limit.Rate(opts.Limit)
	if rate == (limit.Rate{}) {
		rate = limit.Rate{Requests: 200, Per: time.Minute}
	}
	rdb := redisx.New(opts.Redis, opts.RedisTimeout)
	trimmed := strings.TrimSuffix(opts.BaseURL, "/")
	return &Upstream{
		rdb: rdb, keys: space, base: trimmed, callback: trimmed + CallbackPath,
		rate: rate, limiter: limit.New(rdb, space), proxies: opts.TrustedProxies,
		pages: htmlpage.New(pageFiles, "pages/*.html", script), crossOrigin: crossOrigin,
	}, nil
}

// Begin implements [server.Upstream].
func (u *Upstream) Begin(_ context.Context, state string) (*url.URL, []byte, error) {
	location, err := url.Parse(u.base + AuthorizePath)
	if err != nil {
		return nil, nil, err // it was parsed before
	}
	location.RawQuery = url.Values{"state": {state}}.Encode()
	return location, nil, nil
}

// A login is a user who has logged in, as Redis stores it under the hash of the
// code that the browser takes to the callback. The callback's query does not name
// the user, so nobody can change it there.
type login struct {
	Version int    `json:"v"`
	User    string `json:"user"`
	State   string `json:"state"` // its hash
}

const loginVersion = 1

// End implements [server.Upstream]. A code is good once, and with the state
// that it was issued for.
func (u *Upstream) End(ctx context.Context, callback *http.Request, _ []byte) (server.Login, error) {
	q := callback.URL.Query()
	if q.Get("error") != "" {
		return server.Login{}, server.ErrLoginDenied
	}
	cmd := u.rdb.B().Getdel().Key(u.keys.Login(q.Get("code"))).Build()
	data, err := u.rdb.Do(ctx, cmd).AsBytes()
	if rueidis.IsRedisNil(err) {
		return server.Login{}, fmt.Errorf("%w: there is no such code", server.ErrLoginDenied)
	}
	if err != nil {
		return server.Login{}, redisx.Unavailable("end fake login", err)
	}
	var l login
	if err := json.Unmarshal(data, &l); err != nil {
		return server.Login{}, fmt.Errorf("decode fake login: %w", err)
	}
	if l.Version != loginVersion {
		return server.Login{}, fmt.Errorf("decode fake login: version %d is not known", l.Version)
	}
	if l.State != server.HashSecret(q.Get("state")) {
		return server.Login{}, fmt.Errorf("%w: the code belongs to another login", server.ErrLoginDenied)
	}
	return server.Login{Subject: l.User}, nil
}

// newCode stores a login and returns its code.
func (u *Upstream) newCode(ctx context.Context, user, state string) (string, error) {
	code := rand.Text() // 128 bits
	data, err := json.Marshal(login{loginVersion, user, server.HashSecret(state)})
	if err != nil {
		return "", err
	}
	cmd := u.rdb.B().Set().Key(u.keys.Login(code)).Value(string(data)).Px(codeTTL).Build()
	if err := u.rdb.Do(ctx, cmd).Error(); err != nil {
		return "", redisx.Unavailable("store fake login", err)
	}
	return code, nil
}

// checkUser returns what is wrong with a user id, empty if nothing is.
func checkUser(user string) string {
	switch {
	case user == "":
		return "Enter a user id."
	case len(user) > maxUser:
		return fmt.Sprintf("A user id has at most %d bytes.", maxUser)
	case !utf8.ValidString(user) || strings.ContainsFunc(user, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "A user id has no control characters and none that cannot be seen."
	case strings.HasPrefix(user, "client:"): // see [server.Login]
		return "A user id does not begin with client: as those of programs do."
	}
	return ""
}

// isState reports whether a state could be the authorization server's. It must be
// printable ASCII, which is sent back unchanged.
func isState(state string) bool {
	return state != "" && len(state) <= maxState && !strings.ContainsFunc(state, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ServeHTTP serves the login page at [AuthorizePath], and takes its form.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = bodylimit.Within(w, r, bodylimit.FormTime)
	verdict, err := u.limiter.Take(r.Context(), "fakelogin", limit.ClientAddress(r, u.proxies), u.rate)
	if err != nil {
		u.unavailable(w)
		return
	}
	verdict.Headers(w.Header(), u.rate)
	switch {
	case !verdict.Allowed:
		u.problem(w, http.StatusTooManyRequests, "Too many requests. Wait a little, then try again.")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		u.show(w, r)
	case r.Method == http.MethodPost:
		u.submit(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		u.problem(w, http.StatusMethodNotAllowed, "This method is not allowed here.")
	}
}

// show serves the login page.
func (u *Upstream) show(w http.ResponseWriter, r *http.Request) {
	states := r.URL.Query()["state"]
	if len(states) != 1 || !isState(states[0]) {
		u.problem(w, http.StatusBadRequest, "This page was opened without a state. Start again in the application.")
		return
	}
	u.pages.Write(w, http.StatusOK, "login.html", view{Action: u.base + AuthorizePath, State: states[0], User: uuid.NewString()})
}

// A view is what the login page shows.
type view struct {
	Action, State, User string
	Wrong               string // what is wrong with User, if it was sent
}

// submit takes the login page's form.
func (u *Upstream) submit(w http.ResponseWriter, r *http.Request) {
	if err := u.crossOrigin.Check(r); err != nil {
		u.problem(w, http.StatusForbidden, "The form was sent by another site.")
		return
	}
	if bodylimit.IsEncoded(w, r) {
		u.problem(w, http.StatusUnsupportedMediaType, "The form cannot be read.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		u.problem(w, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	state, user := r.PostForm.Get("state"), strings.TrimSpace(r.PostForm.Get("user"))
	if !isState(state) {
		u.problem(w, http.StatusBadRequest, "The form has no state. Start again in the application.")
		return
	}
	if r.PostForm.Get("decision") == "cancel" {
		u.leave(w, url.Values{"state": {state}, "error": {"access_denied"}})
		return
	}
	if wrong := checkUser(user); wrong != "" {
		shown := htmlpage.Text(user, maxUser)
		u.pages.Write(w, http.StatusBadRequest, "login.html", view{Action: u.base + AuthorizePath, State: state, User: shown, Wrong: wrong})
		return
	}
	code, err := u.newCode(r.Context(), user, state)
	if err != nil {
		u.unavailable(w)
		return
	}
	u.leave(w, url.Values{"state": {state}, "code": {code}})
}

// leave sends the browser to the callback: to nowhere else, whatever the request
// said. It is a page and not a redirect, because browsers apply form-action to
// where a form's redirects lead, and the callback leads to the client.
func (u *Upstream) leave(w http.ResponseWriter, q url.Values) {
	u.pages.Write(w, http.StatusOK, "leave.html", template.URL(u.callback+"?"+q.Encode()))
}

func (u *Upstream) unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	u.problem(w, http.StatusServiceUnavailable, "The login is not available right now. Try again in a moment.")
}

func (u *Upstream) problem(w http.ResponseWriter, status int, text string) {
	u.pages.Write(w, status, "problem.html", text)
}
