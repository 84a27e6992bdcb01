package server

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Methods of client authentication (RFC 7591, section 2; OpenID Connect Core,
// section 9).
const (
	methodNone      = "none"
	methodBasic     = "client_secret_basic"
	methodPost      = "client_secret_post"
	methodAssertion = "private_key_jwt"
)

var authMethods = []string{methodNone, methodBasic, methodPost, methodAssertion}

// authMethods returns the methods that the server accepts.
func (s *Server) authMethods() []string {
	return slices.DeleteFunc(slices.Clone(authMethods), func(method string) bool {
		return s.opts.NoPublicClients && method == methodNone
	})
}

// errClient is the same for an unknown client and for one that fails to
// authenticate, so that nobody learns which clients exist.
func errClient() error { return refuse("invalid_client", "client authentication failed") }

// A clientAuth is how a request authenticates its client.
type clientAuth struct {
	id        string
	method    string
	secret    string
	assertion string
}

// authenticate returns the client that a request comes from. A public client
// names itself without proof: its codes and refresh tokens are credentials that
// only it has.
func (s *Server) authenticate(r *http.Request, p params) (*Client, error) {
	c, err := readClientAuth(r, p)
	if err != nil {
		return nil, err
	}
	if c.method == methodNone {
		return s.identify(r, c)
	}
	var client *Client
	err = s.guarded(r, c.id, func() error {
		client, err = s.identify(r, c)
		return err
	})
	return client, err
}

// identify returns the client that authenticates.
func (s *Server) identify(r *http.Request, c clientAuth) (*Client, error) {
	client, err := s.clients.find(r.Context(), c.id, s.address(r))
	if errors.Is(err, errNoClient) {
		return nil, errClient()
	}
	if err != nil {
		return nil, err
	}
	switch {
	case s.opts.NoPublicClients && c.method == methodNone:
		return nil, errClient()
	case client.proofOptional && c.method == methodNone:
		return client, nil
	case client.AuthMethod == methodAssertion:
		if c.method != methodAssertion {
			return nil, errClient()
		}
		return client, s.checkAssertion(r.Context(), client, s.address(r), c.assertion)
	case client.confidential():
		if c.method != methodBasic && c.method != methodPost || !validSecret(client, c.secret) {
			return nil, errClient()
		}
	case c.method != methodNone:
		return nil, errClient()
	}
	return client, nil
}

func validSecret(client *Client, secret string) bool {
	same := subtle.ConstantTimeCompare([]byte(HashSecret(secret)), []byte(client.SecretHash)) == 1
	return same && (client.SecretExpires.IsZero() || time.Now().Before(client.SecretExpires))
}

// readClientAuth returns how a request authenticates its client. It fails if it
// does so in several ways (OAuth 2.1, section 2.4).
func readClientAuth(r *http.Request, p params) (clientAuth, error) {
	id := p.get("client_id")
	var found []clientAuth
	basic, err := authFromHeader(r, id)
	if err != nil {
		return clientAuth{}, err
	}
	if basic != nil {
		found = append(found, *basic)
	}
	if secret := p.get("client_secret"); secret != "" {
		found = append(found, clientAuth{id: id, method: methodPost, secret: secret})
	}
	signed, err := authFromAssertion(p, id)
	if err != nil {
		return clientAuth{}, err
	}
	if signed != nil {
		found = append(found, *signed)
	}
	switch {
	case len(found) > 1:
		return clientAuth{}, refuse("invalid_request", "the client authenticates in more than one way")
	case len(found) == 1 && found[0].id != "":
		return found[0], nil
	case id == "":
		return clientAuth{}, refuse("invalid_client", "client_id is missing")
	}
	return clientAuth{id: id, method: methodNone}, nil
}

// authFromHeader reads the Authorization header of a request, which must be for
// the client id if there is one. It returns nil if there is no header.
func authFromHeader(r *http.Request, id string) (*clientAuth, error) {
	if len(r.Header.Values("Authorization")) > 1 {
		return nil, refuse("invalid_request", "there is more than one Authorization header")
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, nil
	}
	c, err := basicAuth(header)
	if err != nil {
		return nil, err
	}
	if id != "" && id != c.id {
		return nil, refuse("invalid_request", "client_id differs from the one in the Authorization header")
	}
	return &c, nil
}

// authFromAssertion reads the assertion among the parameters (RFC 7523, section
// 2.2), which must be for the client id if there is one. It returns nil if there is
// no assertion.
func authFromAssertion(p params, id string) (*clientAuth, error) {
	assertion := p.get("client_assertion")
	if assertion == "" && p.get("client_assertion_type") == "" {
		return nil, nil
	}
	if p.get("client_assertion_type") != assertionType {
		return nil, refuse("invalid_request", "client_assertion_type must be %s", assertionType)
	}
	claimed, err := assertionSubject(assertion)
	if err != nil {
		return nil, err
	}
	if id != "" && id != claimed {
		return nil, refuse("invalid_request", "client_id differs from the subject of client_assertion")
	}
	return &clientAuth{id: claimed, method: methodAssertion, assertion: assertion}, nil
}

// basicAuth reads HTTP Basic credentials, whose two parts are encoded as
// in forms (RFC 6749, section 2.3.1). Clients that try everything send an empty
// secret for a public client.
func basicAuth(header string) (clientAuth, error) {
	malformed := refuse("invalid_client", "the Authorization header is not of scheme Basic")
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return clientAuth{}, malformed
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	id, secret, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return clientAuth{}, malformed
	}
	decodedID, err1 := url.QueryUnescape(id)
	decodedSecret, err2 := url.QueryUnescape(secret)
	if err1 != nil || err2 != nil || decodedID == "" {
		return clientAuth{}, malformed
	}
	if decodedSecret == "" {
		return clientAuth{id: decodedID, method: methodNone}, nil
	}
	return clientAuth{id: decodedID, method: methodBasic, secret: decodedSecret}, nil
}
