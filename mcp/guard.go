package mcp

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
	"github.com/mcpfleet/mcpfleet/internal/cors"
	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/loopback"
	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.guard(w, r) {
		return
	}
	untimed(w)
	r = choosing(r)
	stateless := r.Header.Get(versionHeader) >= runner.VersionStateless
	switch {
	case r.Method == http.MethodPost:
		h.servePost(w, r)
	case stateless && !sdkcompat.SupportsVersion(nil, r.Header.Get(versionHeader)):
		h.fail(w, r, nil, checkVersion(r))
	case stateless:
		// There are no sessions to listen to or to end (specification
		// 2026-07-28, "Earlier Streamable HTTP Revisions").
		h.notAllowed(w, r, "POST")
	case r.Method == http.MethodGet:
		h.serveGet(w, r)
	case r.Method == http.MethodDelete:
		h.serveDelete(w, r)
	default:
		h.notAllowed(w, r, "GET, POST, DELETE")
	}
}

func (h *Handler) notAllowed(w http.ResponseWriter, r *http.Request, allowed string) {
	w.Header().Set("Allow", allowed)
	h.fail(w, r, nil, httperror.Refuse(http.StatusMethodNotAllowed, "method %s is not allowed", r.Method))
}

// untimed lifts http.Server.WriteTimeout from a request: what a call takes, and
// how long a stream is quiet, is not its business. HTTP/2 would reset a stream
// whose deadline passes although nothing waits to be written.
func untimed(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // not every writer has deadlines
}

// timed bounds the writing of a short response, from now.
func (h *Handler) timed(w http.ResponseWriter) { pace.NewWriter(w, h.opts.pace()).Extend() }

// writeJSON responds with a body that may be large.
func (h *Handler) writeJSON(w http.ResponseWriter, body []byte) {
	h.writeJSONStatus(w, http.StatusOK, body)
}

func (h *Handler) writeJSONStatus(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = pace.NewWriter(w, h.opts.pace()).Write(body) // a client that has gone has lost its response: it had no event id
}

// Guard returns a handler that checks the Host and Origin of a request, as h
// does, before it calls next. It goes in front of whatever stands in front of
// h, such as authentication:
//
//	mux.Handle("/mcp", h.Guard(resource.Protect(h)))
//	mux.Handle("/sse", h.Guard(resource.Protect(h.SSE("/message"))))
//	mux.Handle("/message", h.Guard(resource.Protect(h.Messages())))
//
// With it, CORS preflight requests, which carry no token, are served; a page
// of an allowed origin can read why it is refused and where to log in; and
// requests of other origins are refused before their token is looked at. The
// patterns must not name a method, because preflight requests use OPTIONS.
func (h *Handler) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.guard(w, r) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), guardedBy{}, h)))
		}
	})
}

// guardedBy is the context key of the handler whose guard has let a request in.
type guardedBy struct{}

// guard refuses requests of web pages that may not call, responds to CORS preflight
// requests, and reports whether the request is to be served. It follows the
// specification's warning of DNS rebinding (basic, "Transports", "Security
// Warning").
func (h *Handler) guard(w http.ResponseWriter, r *http.Request) bool {
	if r.Context().Value(guardedBy{}) == h {
		return true
	}
	// Also where nobody reads the body: net/http does, before it sends a response.
	bodylimit.Unread(w, r, bodylimit.MessageTime)
	w.Header().Set("Cache-Control", "no-store") // whatever the response will be
	if h.leaving.Load() {
		w.Header().Set("Connection", "close") // the next request is to go elsewhere
	}
	if !h.allowedHost(r) {
		httperror.Refuse(http.StatusForbidden, "host %q is not allowed", r.Host).Write(w, nil)
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if !h.allowedOrigin(origin) {
		httperror.Refuse(http.StatusForbidden, "origin %q is not allowed", origin).Write(w, nil)
		return false
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	cors.Allow(header, origin, sessionHeader+", WWW-Authenticate")
	if cors.IsPreflight(r) {
		// The origin is one we trust: it may send what headers it likes.
		asked := r.Header.Get("Access-Control-Request-Headers")
		if asked != "" {
			header.Add("Vary", "Access-Control-Request-Headers")
		}
		cors.WritePreflight(w, "GET, POST, DELETE", asked)
		return false
	}
	return true
}

func (h *Handler) allowedHost(r *http.Request) bool {
	if slices.ContainsFunc(h.opts.AllowedHosts, func(allowed string) bool { return sameHost(allowed, r.Host) }) {
		return true
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && loopback.IsAddr(local) {
		return loopback.IsHostPort(r.Host)
	}
	return len(h.opts.AllowedHosts) == 0
}

// sameHost reports whether host is the allowed one; a port counts only if the
// allowed host has one.
func sameHost(allowed, host string) bool {
	if strings.EqualFold(allowed, host) {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	return err == nil && (strings.EqualFold(allowed, name) || strings.EqualFold(strings.Trim(allowed, "[]"), name))
}

func (h *Handler) allowedOrigin(origin string) bool {
	if slices.Contains(h.opts.AllowedOrigins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && loopback.IsHostPort(u.Host)
}
