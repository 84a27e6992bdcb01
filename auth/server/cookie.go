package server

import "net/http"

// cookieName returns the name of a flow's cookie. Each flow has its own, so that
// those of two tabs do not meet. With the prefix, browsers take it from nobody
// but this host, over https (RFC 6265bis, section 4.1.3.2).
func (s *Server) cookieName(flow string) string {
	if s.issuer.Scheme == "https" {
		return "__Host-mcp-flow-" + flow
	}
	return "mcp-flow-" + flow
}

func (s *Server) cookie(flow, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: s.cookieName(flow), Value: value, Path: "/", MaxAge: maxAge,
		Secure: s.issuer.Scheme == "https", HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // the upstream sends the browser back by a link
	}
}

func (s *Server) clearCookie(w http.ResponseWriter, flow string) {
	http.SetCookie(w, s.cookie(flow, "", -1))
}

// browser returns the secret that the request's browser has of a flow, empty if
// it has none.
func (s *Server) browser(r *http.Request, flow string) string {
	c, err := r.Cookie(s.cookieName(flow))
	if err != nil || !isRandom(c.Value, secretBytes) {
		return ""
	}
	return c.Value
}
