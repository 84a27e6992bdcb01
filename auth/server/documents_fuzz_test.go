package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Whatever is taken for the URL of a document is what a client of HTTP asks for:
// the same host, no user, no other port, and a path that nobody shortens.
func FuzzClientIDURL(f *testing.F) {
	for _, seed := range []string{
		documentURL, "https://client.example/a/../b", "https://client.example/%2e%2e/b", "https://a@b/c", "https://[::1%25lo]:443/c",
		"https://client.example:443/c?x#y", "https://client.example//c", "https://2130706433/c", "https://client.example\\@other.example/c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if checkDocumentURL(text) != nil {
			return
		}
		req, err := http.NewRequest(http.MethodGet, text, nil)
		if err != nil {
			t.Fatalf("%q cannot be asked for: %v", text, err)
		}
		u := req.URL
		if u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" || u.Port() != "" && u.Port() != "443" {
			t.Errorf("%q is %#v", text, u)
		}
		for _, p := range []string{u.Path, u.EscapedPath()} {
			for segment := range strings.SplitSeq(p, "/") {
				if segment == "." || segment == ".." {
					t.Errorf("%q has a segment of dots", text)
				}
			}
			// What a server may make of the path is still below the root.
			if clean := path.Clean("/" + p); clean == "/" && strings.Trim(p, "/") != "" {
				t.Errorf("%q becomes %q", text, clean)
			}
		}
		if _, err := url.ParseRequestURI(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// Whatever is taken for a client document describes a client that is safe.
func FuzzClientDocument(f *testing.F) {
	f.Add(documentOf(nil))
	for _, c := range realDocuments {
		f.Add(documentOf(c.document))
	}
	f.Add(documentOf(metadataSet{"client_secret": "x"}))
	f.Add(documentOf(metadataSet{"jwks": json.RawMessage(jwksOf(newKey()))}))
	f.Add(`{"client_id":"` + documentURL + `","client_id":"x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		client, err := parseDocument(documentURL, []byte(text), nil)
		if err != nil {
			return
		}
		if client.ID != documentURL || client.Name == "" || len(client.RedirectURIs) == 0 || client.SecretHash != "" {
			t.Errorf("%+v", client)
		}
		if client.AuthMethod != methodNone && client.AuthMethod != methodAssertion {
			t.Errorf("method %q", client.AuthMethod)
		}
		if client.AuthMethod == methodAssertion && len(client.JWKS) == 0 && client.JWKSURI == "" {
			t.Error("no keys")
		}
		if !client.mayUse(grantCode) || client.mayUse(grantClientCredentials) {
			t.Errorf("grant types %v", client.GrantTypes)
		}
		for _, uri := range client.RedirectURIs {
			if !strings.HasPrefix(strings.ToLower(uri), "https://") && !strings.HasPrefix(strings.ToLower(uri), "http://") {
				t.Errorf("redirect URI %q", uri)
			}
		}
	})
}

// No text is an assertion of a client but those that its key signed.
func FuzzAssertion(f *testing.F) {
	key, other := newKey(), newKey()
	fl := &fleet{url: "https://auth.example"}
	o := &Options{Logger: nil}
	client := signingClient("robot", jwksOf(key))
	keys := newClientKeys(newFetcher(nil, o))
	good := sign(f, jose.ES256, key, nil, assertionClaims(fl, "robot"))
	f.Add(good)
	f.Add(sign(f, jose.ES256, other, nil, assertionClaims(fl, "robot")))
	f.Add(sign(f, jose.HS256, []byte(privateSecret), nil, assertionClaims(fl, "robot")))
	f.Add("eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".")
	// The signature may be written in several ways, what is signed may not.
	said := func(text string) string { return text[:strings.LastIndexByte(text, '.')] }
	f.Fuzz(func(t *testing.T, text string) {
		subject, err := assertionSubject(text)
		if err == nil && subject == "" {
			t.Error("an assertion of nobody")
		}
		token, err := parseAssertion(text)
		if err != nil {
			return
		}
		candidates, err := keys.find(t.Context(), &client, token.Headers[0])
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.Claims
		for _, one := range candidates {
			if token.Claims(one.Key, &claims) == nil && checkAssertionClaims(claims, "robot", fl.url, time.Now()) == nil && said(text) != said(good) {
				t.Errorf("accepted %q", text)
			}
		}
	})
}
