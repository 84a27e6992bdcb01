package server

import (
	"net/http"
	"net/url"
	"testing"
)

func TestEncodedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	b := newBrowser(t)
	for _, path := range []string{authorizePath, consentPath, tokenPath, revokePath, introspectPath, registerPath} {
		res := b.post(t, fl.url+path, url.Values{}, header("Content-Encoding", "gzip"))
		if res.status != http.StatusUnsupportedMediaType || res.header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s: %d %v %s", path, res.status, res.header, res.body)
		}
		if res := b.post(t, fl.url+path, url.Values{}, header("Content-Encoding", "identity")); res.status == http.StatusUnsupportedMediaType {
			t.Errorf("%s, identity: %d %s", path, res.status, res.body)
		}
	}
}

// RFC 8259, section 8.1.
func TestRegistrationIgnoresAByteOrderMark(t *testing.T) {
	t.Parallel()
	fl := oneFleet(t)
	if res := fl.registerJSON(t, "\ufeff"+`{"redirect_uris":["`+callbackURI+`"]}`); res.status != http.StatusCreated {
		t.Errorf("%d %s", res.status, res.body)
	}
}
