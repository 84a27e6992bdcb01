package server

import "net/http"

// cookieName returns the name of an authorization session's cookie. Each session
// has its own, so that those of two tabs do not meet. With the prefix __Host-,
// browsers accept it from this host only, over https (RFC 6265bis, section
// 4.1.3.2).
func (s *Server) cookieName(session string) string {
	if s.issuer.Scheme == "https" {
		return "__Host-mcp-flow-" + session
	}
	return "mcp-flow-" + session
}

func (s *Server) cookie(session, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: s.cookieName(session), Value: value, Path: "/", MaxAge: maxAge,
		Secure: s.issuer.Scheme == "https", HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // the upstream sends the browser back by a link
	}
}

func (s *Server) clearCookie(w http.ResponseWriter, session string) {
	http.SetCookie(w, s.cookie(session, "", -1))
}

// readCookie returns the value of a session's cookie, empty if the request has
// none.
func (s *Server) readCookie(r *http.Request, session string) string {
	c, err := r.Cookie(s.cookieName(session))
	if err != nil || !isRandom(c.Value, secretBytes) {
		return ""
	}
	return c.Value
}
