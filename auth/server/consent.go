package server

import (
	"net/http"
	"net/url"
)

// consent serves the form of the consent page: it sends a user who allows the
// access to the login, and one who denies it back to the client.
func (s *Server) consent(w http.ResponseWriter, r *http.Request) {
	b, allowed, err := s.readDecision(r)
	if err != nil {
		s.failPage(w, r, authSession{}, nil, err)
		return
	}
	if !allowed {
		s.deny(w, r, b)
		return
	}
	location, repeated, err := s.approve(r, b)
	if err != nil {
		s.failPage(w, r, authSession{}, nil, err)
		return
	}
	if !repeated {
		s.giveBackDecision(r)
	}
	// A page, because browsers apply form-action to the target of a redirect, too.
	s.pages.leave(w, leavePage{To: location.String(), Host: location.Host, Login: true, Auto: true})
}

// approve records the user's consent, and returns where to log in and whether the
// consent was recorded before.
func (s *Server) approve(r *http.Request, b browserBinding) (location *url.URL, repeated bool, err error) {
	state := b.newState()
	location, data, err := s.opts.Upstream.Begin(r.Context(), state)
	if err != nil {
		return nil, false, err
	}
	return s.sessions.approve(r.Context(), b, state, location, data)
}

// giveBackDecision gives back the count of a decision that the server has taken.
func (s *Server) giveBackDecision(r *http.Request) {
	s.giveBack(r.Context(), s.limiter.Count(consentLimit, s.address(r)), s.opts.Limits.Authorize)
}

// readDecision reads the form of the consent page. Three checks, each of which is
// enough, keep other sites from sending it: of the headers in which browsers name
// a request's origin, of the cookie and of the form's token.
func (s *Server) readDecision(r *http.Request) (b browserBinding, allowed bool, err error) {
	if err := s.crossOrigin.Check(r); err != nil {
		return b, false, refuse("access_denied", "the form was sent by another site")
	}
	p, err := formParams(r)
	if err != nil {
		return b, false, err
	}
	b = browserBinding{session: p.get("flow"), form: p.get("token")}
	if !isRandom(b.session, grantIDBytes) || !isRandom(b.form, secretBytes) {
		return b, false, errNoAuthSession
	}
	if b.cookie = s.readCookie(r, b.session); b.cookie == "" {
		return b, false, errNoAuthSession
	}
	switch p.get("decision") {
	case "allow":
		return b, true, nil
	case "deny":
		return b, false, nil
	}
	return b, false, refuse("invalid_request", "the decision is missing")
}

// deny ends the session and takes the browser back to the client with the error
// access_denied (OAuth 2.1, section 4.1.2.1).
func (s *Server) deny(w http.ResponseWriter, r *http.Request, b browserBinding) {
	session, err := s.sessions.load(r.Context(), b.session)
	if err == nil {
		err = s.sessions.deny(r.Context(), b)
	}
	if err != nil {
		s.failPage(w, r, authSession{}, nil, err)
		return
	}
	s.giveBackDecision(r)
	s.clearCookie(w, b.session)
	to := s.responseURI(session, url.Values{"error": {"access_denied"}, "error_description": {"the user declined"}})
	s.pages.leave(w, leavePage{To: to, Host: hostOf(to), Denied: true, Auto: s.clients.preregistered(session.Client)})
}
