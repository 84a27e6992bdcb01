package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// callback serves the browser that comes back from the upstream. The
// authorization session ends here, whatever the outcome: a state is good for one
// login.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) {
	session, data, err := s.finishAuthSession(w, r)
	if err != nil {
		s.failPage(w, r, authSession{}, nil, err)
		return
	}
	login, err := s.opts.Upstream.End(r.Context(), r, data)
	if errors.Is(err, ErrLoginDenied) {
		to := s.responseURI(session, url.Values{"error": {"access_denied"}, "error_description": {"the user did not log in"}})
		s.pages.leave(w, leavePage{To: to, Host: hostOf(to), Denied: true, Auto: s.clients.preregistered(session.Client)})
		return
	}
	if err == nil {
		err = checkSubject(login.Subject)
	}
	if err != nil {
		s.failPage(w, r, session, nil, err)
		return
	}
	code, err := s.grants.create(r.Context(), grant{
		Client: session.Client, Subject: login.Subject, Scopes: session.Scopes, Resources: session.Resources,
		Redirect: session.Redirect, Challenge: session.Challenge,
	})
	if err != nil {
		s.failPage(w, r, session, nil, err)
		return
	}
	s.logger.InfoContext(r.Context(), "authorization granted", "client", session.Client)
	s.giveBackLogin(r, session.Counted, login.Subject)
	// 303, because with 307 a browser sends the form that the user has filled in to
	// the client (OAuth 2.1, section 7.5.4).
	w.Header().Set("Location", s.responseURI(session, url.Values{"code": {code.String()}}))
	w.WriteHeader(http.StatusSeeOther)
}

// maxSubject bounds the subject of a user, in bytes.
const maxSubject = 1 << 10

// checkSubject fails for subjects that are empty, too long or reserved for clients
// (see clientSubject), and for those that JSON would change: two users could become
// one.
func checkSubject(subject string) error {
	if subject == "" || len(subject) > maxSubject || !utf8.ValidString(subject) {
		return fmt.Errorf("the upstream returned a subject of %d bytes that is empty, too long or not UTF-8", len(subject))
	}
	if strings.HasPrefix(subject, clientSubject) {
		return errors.New("the upstream returned a subject that begins with " + clientSubject + ", as only clients' do")
	}
	return nil
}

// finishAuthSession ends the session that a callback belongs to, if it comes from
// the browser that the session is bound to.
func (s *Server) finishAuthSession(w http.ResponseWriter, r *http.Request) (authSession, []byte, error) {
	p, err := parseParams(r.URL.RawQuery)
	if err != nil {
		return authSession{}, nil, err
	}
	state := p.get("state")
	id, ok := parseState(state)
	if !ok {
		return authSession{}, nil, errNoAuthSession
	}
	cookie := s.readCookie(r, id)
	if cookie == "" {
		return authSession{}, nil, errNoAuthSession
	}
	session, data, err := s.sessions.finish(r.Context(), id, cookie, state)
	if err == nil {
		s.clearCookie(w, id)
	}
	return session, data, err
}
