package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mcpfleet/mcpfleet/internal/jwks"
)

// parseDocument returns the client that the document at id describes (OAuth
// Client ID Metadata Document, section 4). A document is written for all
// authorization servers, so wishes that cannot be met are left out. It fails if
// what is left is of no use.
func parseDocument(id string, body []byte, schemes []string) (*Client, error) {
	doc, err := decodeDocument(body)
	if err != nil {
		return nil, err
	}
	if err := doc.check(id); err != nil {
		return nil, err
	}
	redirects, err := usableRedirectURIs(doc.redirects, schemes)
	if err != nil {
		return nil, err
	}
	client := &Client{
		ID: id, Name: doc.name, GrantTypes: supportedGrants(doc.grants), Scopes: strings.Fields(doc.scope),
		RedirectURIs: redirects, JWKSURI: doc.jwksURI,
	}
	if !slices.Contains(client.GrantTypes, grantCode) {
		return nil, errors.New("grant_types has no authorization_code")
	}
	if err := setKeys(client, doc.jwks); err != nil {
		return nil, err
	}
	return client, setMethod(client, doc.method, doc.methods)
}

// A document is client metadata (RFC 7591, section 2) as a client document has it.
type document struct {
	id, name, method, scope, jwksURI      string
	redirects, methods, grants, responses []string
	jwks                                  json.RawMessage // nil if there are none
}

// decodeDocument decodes the known members of a document, of which there must
// be no client secret. Members that are null count as absent.
func decodeDocument(body []byte) (*document, error) {
	members, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	doc := &document{}
	for name, to := range map[string]any{
		"client_id": &doc.id, "client_name": &doc.name, "redirect_uris": &doc.redirects, "scope": &doc.scope,
		"token_endpoint_auth_method": &doc.method, "token_endpoint_auth_methods_supported": &doc.methods,
		"grant_types": &doc.grants, "response_types": &doc.responses, "jwks_uri": &doc.jwksURI,
	} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, to) != nil {
			return nil, fmt.Errorf("%s has another type", name)
		}
	}
	for name := range members {
		if strings.HasPrefix(name, "client_secret") {
			return nil, errors.New("it has a client secret, which everybody can read")
		}
	}
	if raw := members["jwks"]; string(raw) != "null" {
		doc.jwks = raw
	}
	return doc, nil
}

// check checks the members that a client cannot do without (OAuth Client ID
// Metadata Document, section 4).
func (d *document) check(id string) error {
	switch {
	case d.id != id:
		return errors.New("its client_id is not the URL it is at")
	case strings.TrimSpace(d.name) == "" || len(d.name) > maxNameLength:
		return fmt.Errorf("client_name is missing or has more than %d bytes", maxNameLength)
	case len(d.responses) > 0 && !slices.Contains(d.responses, "code"):
		return errors.New("response_types has no code")
	}
	return nil
}

// setMethod sets how a client authenticates. A secret is not possible, because
// the document is public. A client that offers a choice which includes none
// (OpenID Connect Relying Party Metadata Choices, section 2) may authenticate but
// need not, and counts as a public client.
func setMethod(client *Client, method string, choices []string) error {
	without := slices.Contains(choices, methodNone)
	hasKeys := len(client.JWKS) > 0 || client.JWKSURI != ""
	switch {
	case method == methodAssertion && hasKeys:
		client.AuthMethod, client.proofOptional = methodAssertion, without
	case method == methodAssertion && !without:
		return errors.New("private_key_jwt needs jwks or jwks_uri")
	case method == "" || method == methodNone || method == methodAssertion:
		client.AuthMethod = methodNone
	default:
		return errors.New("token_endpoint_auth_method must be none or private_key_jwt")
	}
	return nil
}

// setKeys sets the client's keys if the document has them.
func setKeys(client *Client, jwks json.RawMessage) error {
	if client.JWKSURI != "" {
		if jwks != nil {
			return errors.New("it has jwks and jwks_uri") // RFC 7591, section 2
		}
		if _, err := checkHTTPS(client.JWKSURI); err != nil {
			return fmt.Errorf("jwks_uri %w", err)
		}
		return nil
	}
	if jwks == nil {
		return nil
	}
	if err := checkKeys(jwks); err != nil {
		return fmt.Errorf("jwks: %w", err)
	}
	client.JWKS = jwks
	return nil
}

// checkKeys fails unless a JWK set has only public keys, at least one of which can
// be used (RFC 7517, section 5).
func checkKeys(document []byte) error {
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return errors.New("it is no JWK set")
	}
	for _, key := range set.Keys {
		// RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1; newer key types have priv.
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
			if _, ok := key[private]; ok {
				return errors.New("it has a private or symmetric key")
			}
		}
	}
	if keys, err := jwks.Parse(document); err != nil || len(keys) == 0 {
		return errors.New("it has no key that can be used")
	}
	return nil
}

// parseObject returns the members of a JSON object in UTF-8. It fails if any
// object, however deep, has two members of one name: parsers differ in which of
// them they use (RFC 8259, section 4).
func parseObject(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return nil, errors.New("it is not a JSON object")
	}
	return members, checkUnique(json.NewDecoder(bytes.NewReader(body)))
}

// checkUnique reads a value of well-formed JSON and fails if an object in it has
// two members of one name.
func checkUnique(dec *json.Decoder) error {
	begin, err := dec.Token()
	if err != nil {
		return err
	}
	if begin != json.Delim('{') && begin != json.Delim('[') {
		return nil
	}
	seen := map[json.Token]bool{}
	for dec.More() {
		if begin == json.Delim('{') {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if seen[name] {
				return errors.New("it has two members of one name")
			}
			seen[name] = true
		}
		if err := checkUnique(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// checkDocumentURL fails unless text has the form of the URL of a client
// document (OAuth Client ID Metadata Document, section 3).
func checkDocumentURL(text string) error {
	u, err := checkHTTPS(text)
	if err != nil {
		return err
	}
	if u.Path == "" || u.Path == "/" {
		return errors.New("has no path")
	}
	// Some servers and proxies decode the path before they resolve dots, some after.
	for _, path := range []string{u.Path, u.EscapedPath()} {
		for segment := range strings.SplitSeq(path, "/") {
			if decoded, err := url.PathUnescape(segment); err != nil || decoded == "." || decoded == ".." {
				return errors.New("has a segment of dots")
			}
		}
	}
	return nil
}

// checkHTTPS returns the URL that text is, and fails unless it may be fetched for
// a client: https at the default port.
func checkHTTPS(text string) (*url.URL, error) {
	if len(text) > maxURILength {
		return nil, fmt.Errorf("has more than %d characters", maxURILength)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return nil, errors.New("has characters that no URL has")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("is not a URL with a host")
	case !strings.HasPrefix(text, "https://"):
		return nil, errors.New("is not https")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return nil, errors.New("names a user")
	case strings.Contains(text, "#"):
		return nil, errors.New("has a fragment")
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && u.Port() != "443":
		return nil, errors.New("names a port")
	}
	return u, nil
}
