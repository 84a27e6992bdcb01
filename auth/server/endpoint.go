package server

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/bodylimit"
	"github.com/mcpfleet/mcpfleet/internal/cors"
	"github.com/mcpfleet/mcpfleet/internal/limit"
)

// methods are the handlers of an endpoint by method.
type methods map[string]http.HandlerFunc

// An endpoint is something that the server serves.
type endpoint struct {
	path    string
	methods methods
	page    bool   // users come here, with a browser
	cors    bool   // pages of any origin may call it, without cookies
	name    string // of the rate limit
	rate    Rate
}

// serve returns the handler of an endpoint. No response may be stored (OAuth 2.1,
// section 3.2.3), be interpreted as another type or be framed. Endpoints for users
// must not support CORS (section 3.1).
func (s *Server) serve(e endpoint) http.Handler {
	allow := slices.Sorted(maps.Keys(e.methods))
	if e.cors {
		allow = append(allow, http.MethodOptions)
	}
	allowed := strings.Join(allow, ", ")
	// Also if the program around has none for the rest. Whether its host is for https
	// alone (HSTS) is up to that program.
	secure := auth.SecureHeaders("")
	return secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if e.cors {
			cors.Allow(h, "*", "WWW-Authenticate, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset")
		}
		r = bodylimit.Within(w, r, bodylimit.FormTime)
		method := r.Method
		if method == http.MethodHead && !e.page {
			method = http.MethodGet // but not for pages, where GET begins or ends a session
		}
		switch serve := e.methods[method]; {
		case serve != nil && r.Method == http.MethodPost && bodylimit.IsEncoded(w, r):
			err := refuse("invalid_request", "the body's Content-Encoding must be identity")
			err.status = http.StatusUnsupportedMediaType
			s.failAt(w, r, e, err)
		case serve != nil:
			if err := s.limit(w, r, e); err != nil {
				s.failAt(w, r, e, err)
				return
			}
			serve(w, r)
		case e.cors && r.Method == http.MethodOptions:
			cors.WritePreflight(w, allowed, "Authorization, Content-Type, MCP-Protocol-Version")
		default:
			h.Set("Allow", allowed)
			err := refuse("invalid_request", "method %.20s is not allowed", r.Method)
			err.status = http.StatusMethodNotAllowed
			s.failAt(w, r, e, err)
		}
	}))
}

// limit counts the request, and fails if there were too many or if Redis is
// unavailable, without which the request could not be served anyway.
func (s *Server) limit(w http.ResponseWriter, r *http.Request, e endpoint) error {
	rate := limit.Rate(e.rate)
	verdict, err := s.limiter.Take(r.Context(), e.name, s.address(r), rate)
	if err != nil {
		return err
	}
	verdict.Headers(w.Header(), rate)
	return allow(verdict, nil)
}

// failAt responds with an error: a page where users come, else JSON.
func (s *Server) failAt(w http.ResponseWriter, r *http.Request, e endpoint, err error) {
	if e.page {
		s.failPage(w, r, authSession{}, nil, err)
		return
	}
	s.fail(w, r, err)
}
