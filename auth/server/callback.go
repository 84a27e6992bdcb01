package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// ErrLoginDenied is the error of an [Upstream] whose user did not log in or is
// not allowed to.
var ErrLoginDenied = errors.New("login denied")

// callback serves the browser that comes back from the upstream. The flow ends
// here, whatever comes of it: a state is good for one login.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) {
	f, data, err := s.finishFlow(w, r)
	if err != nil {
		s.refusePage(w, r, flow{}, nil, err)
		return
	}
	login, err := s.opts.Upstream.End(r.Context(), r, data)
	if errors.Is(err, ErrLoginDenied) {
		to := s.answer(f, url.Values{"error": {"access_denied"}, "error_description": {"the user did not log in"}})
		s.pages.leave(w, leavePage{To: to, Host: hostOf(to), Denied: true, Auto: s.clients.preregistered(f.Client)})
		return
	}
	if err == nil {
		err = checkSubject(login.Subject)
	}
	if err != nil {
		s.refusePage(w, r, f, nil, err)
		return
	}
	code, err := s.grants.create(r.Context(), grant{
		Client: f.Client, Subject: login.Subject, Scopes: f.Scopes, Resources: f.Resources,
		Redirect: f.Redirect, Challenge: f.Challenge,
	})
	if err != nil {
		s.refusePage(w, r, f, nil, err)
		return
	}
	s.logger.InfoContext(r.Context(), "authorization granted", "client", f.Client)
	// 303, not 307: what the user typed into a form stays here (OAuth 2.1,
	// section 7.5.4).
	w.Header().Set("Location", s.answer(f, url.Values{"code": {code.String()}}))
	w.WriteHeader(http.StatusSeeOther)
}

// maxSubject bounds what identifies a user.
const maxSubject = 1 << 10

// checkSubject fails for what would not stay the same in JSON, so that two users
// could become one. Nor may a user be taken for a client: see clientSubject.
func checkSubject(subject string) error {
	if subject == "" || len(subject) > maxSubject || !utf8.ValidString(subject) {
		return fmt.Errorf("the upstream returned a subject of %d bytes that is empty, too long or not UTF-8", len(subject))
	}
	if strings.HasPrefix(subject, clientSubject) {
		return errors.New("the upstream returned a subject that begins with " + clientSubject + ", as only clients' do")
	}
	return nil
}

func (s *Server) finishFlow(w http.ResponseWriter, r *http.Request) (flow, []byte, error) {
	p, err := parseParams(r.URL.RawQuery)
	if err != nil {
		return flow{}, nil, err
	}
	state := p.get("state")
	id, ok := flowOf(state)
	if !ok {
		return flow{}, nil, errNoFlow
	}
	browser := s.browser(r, id)
	if browser == "" {
		return flow{}, nil, errNoFlow
	}
	f, data, err := s.flows.finish(r.Context(), id, browser, state)
	if err == nil {
		s.clearCookie(w, id)
	}
	return f, data, err
}
