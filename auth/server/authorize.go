package server

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxState bounds the state of a client, in bytes.
const maxState = 4 << 10

// authorize serves the authorization endpoint (OAuth 2.1, section 3.1). It asks
// the user for consent every time: with no remembered consent, there is none that
// an attacker could use.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	session, client, err := s.readRequest(r)
	if err != nil {
		s.failPage(w, r, session, client, err)
		return
	}
	session.Counted = s.limiter.Count(authorizeLimit, s.address(r))
	b, err := s.sessions.create(r.Context(), session)
	if err != nil {
		s.failPage(w, r, authSession{}, nil, err)
		return
	}
	http.SetCookie(w, s.cookie(b.session, b.cookie, int(s.opts.AuthSessionTTL.Seconds())))
	s.pages.consent(w, s.consentPage(b, session, client))
}

// readRequest reads an authorization request. If it fails after the redirect URI
// was found to be the client's, the session has that URI, and the error can be
// returned to the client.
func (s *Server) readRequest(r *http.Request) (session authSession, client *Client, err error) {
	p, err := requestParams(r)
	if err != nil {
		return session, nil, err
	}
	id := p.get("client_id")
	if id == "" {
		return session, nil, refuse("invalid_request", "client_id is missing")
	}
	client, err = s.clients.find(r.Context(), id, s.address(r))
	if errors.Is(err, errNoClient) {
		return session, nil, refuse("invalid_client", "there is no client with this client_id")
	}
	if err != nil {
		return session, nil, err
	}
	redirect, err := s.clients.redirectURI(client, p.get("redirect_uri"))
	if err != nil {
		return session, nil, err
	}
	// From here on, an error page can link to the client.
	session = authSession{Client: client.ID, Redirect: redirect, State: p.get("state"), Challenge: p.get("code_challenge")}
	if len(session.State) > maxState {
		session.State = ""
		return session, client, refuse("invalid_request", "state has more than %d bytes", maxState)
	}
	if !utf8.ValidString(session.State) {
		session.State = "" // it could not be returned unchanged
		return session, client, refuse("invalid_request", "state is not UTF-8")
	}
	if err := checkAuthorization(client, p); err != nil {
		return session, client, err
	}
	if s.opts.NoPublicClients && !client.confidential() {
		return session, client, refuse("unauthorized_client", "public clients are not accepted here")
	}
	if session.Scopes, err = s.scopesFor(client, p.get("scope")); err != nil {
		return session, client, err
	}
	session.Resources, err = narrow(s.opts.Resources, nil, p["resource"])
	return session, client, err
}

func requestParams(r *http.Request) (params, error) {
	if r.Method == http.MethodPost {
		return formParams(r)
	}
	if len(r.URL.RawQuery) > maxBody {
		return nil, refuse("invalid_request", "the query has more than %d bytes", maxBody)
	}
	return parseParams(r.URL.RawQuery)
}

// checkAuthorization checks the parameters whose rules are the same for all
// clients (OAuth 2.1, section 4.1.1).
func checkAuthorization(client *Client, p params) error {
	switch responseType := p.get("response_type"); {
	case responseType == "":
		return refuse("invalid_request", "response_type is missing")
	case responseType != "code":
		return refuse("unsupported_response_type", "response_type must be code")
	case !client.mayUse(grantCode):
		return refuse("unauthorized_client", "the client may not use grant_type %s", grantCode)
	case p.get("request") != "":
		return refuse("request_not_supported", "request objects are not supported")
	case p.get("request_uri") != "":
		return refuse("request_uri_not_supported", "request objects are not supported")
	case p.get("response_mode") != "" && p.get("response_mode") != "query":
		return refuse("invalid_request", "response_mode must be query")
	case p.get("code_challenge") == "":
		return refuse("invalid_request", "code_challenge is missing: PKCE is required")
	case p.get("code_challenge_method") != "S256":
		return refuse("invalid_request", "code_challenge_method must be S256")
	case !isChallenge(p.get("code_challenge")):
		return refuse("invalid_request", "code_challenge is not a base64url-encoded SHA-256 hash")
	case slices.Contains(strings.Fields(p.get("prompt")), "none"):
		return refuse("interaction_required", "consent is always asked for, so prompt=none cannot be served")
	}
	return nil
}

// failPage shows an error to the user. It does not redirect to the client: before
// a login, the client and its redirect URI may be an attacker's (OAuth 2.1,
// section 7.12.2). If the session has a redirect URI, the page links to it.
func (s *Server) failPage(w http.ResponseWriter, r *http.Request, session authSession, client *Client, err error) {
	if errors.Is(err, errNoAuthSession) {
		err = refuse("access_denied", "%v", errNoAuthSession)
	}
	e := s.errorFor(r, err)
	retryAfter(w, e, err)
	status := e.status
	if status == http.StatusUnauthorized {
		status = http.StatusBadRequest // a browser cannot authenticate a client
	}
	page := problemPage{Code: e.code, Description: e.description}
	if session.Redirect != "" {
		page.Back = s.responseURI(session, url.Values{"error": {e.code}, "error_description": {e.description}})
		page.BackHost = hostOf(session.Redirect)
	}
	if client != nil {
		page.Client = client.Name
	}
	s.pages.problem(w, status, page)
}

// responseURI returns the URI that takes an authorization response to the client
// (OAuth 2.1, section 4.1.2): the redirect URI with the given parameters, the
// state and the issuer (RFC 9207), each exactly once, whatever parameters the
// redirect URI has already.
func (s *Server) responseURI(session authSession, values url.Values) string {
	u, err := url.Parse(session.Redirect)
	if err != nil {
		return "" // it was parsed before the session began
	}
	values.Set("iss", s.opts.Issuer)
	if session.State != "" {
		values.Set("state", session.State)
	}
	var pairs []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil && pair != "" && !isResponseParameter(decoded) {
			pairs = append(pairs, pair)
		}
	}
	u.RawQuery = strings.Join(append(pairs, values.Encode()), "&")
	return u.String()
}

// isResponseParameter reports whether a parameter of a redirect URI could be
// taken for one of the response.
func isResponseParameter(name string) bool {
	return slices.Contains([]string{"code", "state", "iss", "error", "error_description", "error_uri"}, name)
}
