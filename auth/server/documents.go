package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/fetch"
	"github.com/mcpfleet/mcpfleet/internal/jwks"
	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Bounds of a document's size, and of how long it is cached (OAuth Client ID
// Metadata Document, sections 4.3 and 6.6).
const (
	maxDocument = 5 << 10
	minCached   = time.Minute
	maxCached   = 24 * time.Hour
)

// documents finds clients whose id is the URL of a document that describes them
// (OAuth Client ID Metadata Document). Documents are cached in Redis as they were
// fetched, and checked at each use, because the rules may have become stricter.
// Only documents that pass the checks are cached.
type documents struct {
	rdb     redisx.Client
	keys    rediskeys.Space
	fetcher *fetcher
	schemes []string
	// cachedLong bounds how many documents are cached for longer than minCached.
	cachedLong limit.Rate

	mu      sync.Mutex // guards running
	running map[string]*documentFetch
}

// A documentFetch is a running fetch, which all requests for that document share.
type documentFetch struct {
	done   chan struct{} // closed when client and err are set
	client *Client
	err    error
}

func newDocuments(rdb redisx.Client, space rediskeys.Space, o *Options, f *fetcher) *documents {
	return &documents{
		rdb: rdb, keys: space, fetcher: f, schemes: o.RedirectSchemes,
		cachedLong: limit.Rate{Requests: 10_000, Per: maxCached}, running: map[string]*documentFetch{},
	}
}

// client returns the client that the document at id describes, for a request
// from an address. It fails with an [*oauthError] if there is none.
func (d *documents) client(ctx context.Context, id, address string) (*Client, error) {
	if err := checkDocumentURL(id); err != nil {
		return nil, refuse("invalid_client", "client_id %v", err)
	}
	client, err := d.cached(ctx, id)
	if client != nil || err != nil {
		return client, err
	}
	if err := d.fetcher.admit(ctx, fetchDocument, address); err != nil {
		return nil, err
	}
	return d.once(ctx, id)
}

// cached returns the client that a cached document describes, nil if there is no
// cached document or it does not pass the checks.
func (d *documents) cached(ctx context.Context, id string) (*Client, error) {
	body, err := d.rdb.Do(ctx, d.rdb.B().Get().Key(d.keys.Document(id)).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, redisx.Unavailable("load client document", err)
	}
	if client, err := parseDocument(id, body, d.schemes); err == nil {
		return client, nil
	}
	return nil, nil // it was cached under other rules
}

// once fetches a document, or waits for the running fetch.
func (d *documents) once(ctx context.Context, id string) (*Client, error) {
	d.mu.Lock()
	if f := d.running[id]; f != nil {
		d.mu.Unlock()
		select {
		case <-f.done:
			return f.client, f.err
		case <-ctx.Done():
			return nil, errAway()
		}
	}
	f := &documentFetch{done: make(chan struct{}), err: errAway()}
	d.running[id] = f
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.running, id)
		close(f.done)
	}()
	// Others may wait for it, so it does not end with the first request.
	f.client, f.err = d.fetch(context.WithoutCancel(ctx), id)
	return f.client, f.err
}

func (d *documents) fetch(ctx context.Context, id string) (*Client, error) {
	// Another request may have fetched it in the meantime.
	client, err := d.cached(ctx, id)
	if client != nil || err != nil {
		return client, err
	}
	doc, err := d.fetcher.json(ctx, id, maxDocument)
	if errors.Is(err, fetch.ErrRefused) {
		return nil, refuse("invalid_client", "there is no JSON document of at most %d bytes at client_id", maxDocument)
	}
	if err != nil {
		return nil, err
	}
	client, err = parseDocument(id, doc.Body, d.schemes)
	if err != nil {
		d.fetcher.logger.InfoContext(ctx, "client document not usable", "url", id, "error", err)
		return nil, refuse("invalid_client", "the client document is not acceptable: %v", err)
	}
	life, err := d.life(ctx, doc.MaxAge)
	if err != nil {
		return nil, err
	}
	cmd := d.rdb.B().Set().Key(d.keys.Document(id)).Value(rueidis.BinaryString(doc.Body)).Px(life).Build()
	if err := d.rdb.Do(ctx, cmd).Error(); err != nil {
		return nil, redisx.Unavailable("cache client document", err)
	}
	return client, nil
}

// life returns how long to cache a document that may be cached for age. Documents
// are cached for strangers, and many of them would fill Redis: those over the
// limit are cached for the shortest time only.
func (d *documents) life(ctx context.Context, age time.Duration) (time.Duration, error) {
	if age <= minCached {
		return minCached, nil
	}
	verdict, err := d.fetcher.limiter.Take(ctx, "document", "", d.cachedLong)
	if err != nil || !verdict.Allowed {
		return minCached, err
	}
	return min(age, maxCached), nil
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
	// Servers and proxies decode at different times.
	for _, path := range []string{u.Path, u.EscapedPath()} {
		for segment := range strings.SplitSeq(path, "/") {
			if decoded, err := url.PathUnescape(segment); err != nil || decoded == "." || decoded == ".." {
				return errors.New("has a segment of dots")
			}
		}
	}
	return nil
}

// checkHTTPS fails unless text is the URL of something that may be fetched for
// a client.
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

// parseDocument returns the client that the document at id describes (OAuth
// Client ID Metadata Document, section 4; RFC 7591, section 2). The document is
// for all authorization servers there are, so what it wishes for and we have
// not is left out; it is refused if what is left is of no use.
func parseDocument(id string, body []byte, schemes []string) (*Client, error) {
	members, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	var doc struct {
		id, name, method, scope, jwksURI      string
		redirects, methods, grants, responses []string
	}
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
	switch {
	case doc.id != id:
		return nil, errors.New("its client_id is not the URL it is at")
	case strings.TrimSpace(doc.name) == "" || len(doc.name) > maxNameLength:
		return nil, fmt.Errorf("client_name is missing or has more than %d bytes", maxNameLength)
	case len(doc.responses) > 0 && !slices.Contains(doc.responses, "code"):
		return nil, errors.New("response_types has no code")
	}
	client := &Client{
		ID: id, Name: doc.name, GrantTypes: supportedGrants(doc.grants), Scopes: strings.Fields(doc.scope), JWKSURI: doc.jwksURI,
	}
	if !slices.Contains(client.GrantTypes, grantCode) {
		return nil, errors.New("grant_types has no authorization_code")
	}
	for _, uri := range doc.redirects {
		if len(uri) <= maxURILength && checkRedirectURI(uri, schemes) == nil {
			client.RedirectURIs = append(client.RedirectURIs, uri)
		}
	}
	if len(client.RedirectURIs) == 0 {
		return nil, errors.New("redirect_uris has none that can be used: https, or http on a loopback host")
	}
	jwks := members["jwks"]
	if string(jwks) == "null" {
		jwks = nil // as with all other members
	}
	if err := setKeys(client, jwks); err != nil {
		return nil, err
	}
	return client, setMethod(client, doc.method, doc.methods)
}

// setMethod sets how a client proves who it is: by a secret it cannot, because
// its document is no place for one. A client may offer a choice (OpenID Connect
// Relying Party Metadata Choices, section 2): if it can do without, the proof is
// welcome but not required, and no better than none.
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

// checkKeys fails unless a JWK set has public keys only, and one that can be
// used.
func checkKeys(document []byte) error {
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return errors.New("it is no JWK set")
	}
	for _, key := range set.Keys {
		// RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1; priv is of newer sorts.
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

// parseObject returns the members of a JSON object in UTF-8. Two members of one
// name are refused, wherever they are: parsers differ in which they see (RFC
// 8259, section 4).
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

// checkUnique reads a value of well-formed JSON.
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
