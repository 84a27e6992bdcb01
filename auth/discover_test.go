package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestDiscoverVerifierIntrospectsIfItCan(t *testing.T) {
	t.Parallel()
	own := newOwnServer(t, redistest.NewMiniredis(t), signingKey(t))
	introspection, err := auth.DiscoverVerifier(t.Context(), own.url, &auth.DiscoverOptions{ClientID: "rs", ClientSecret: "rs's secret"})
	if err != nil {
		t.Fatal(err)
	}
	signatures, err := auth.DiscoverVerifier(t.Context(), own.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	good, revoked := own.token(t, "/mcp"), own.token(t, "/mcp")
	own.post(t, "/revoke", url.Values{"token": {revoked}})
	for name, v := range map[string]auth.Verifier{"introspection": introspection, "signatures": signatures} {
		if token, err := v.Verify(t.Context(), good); err != nil || token.ClientID != "robot" {
			t.Errorf("%s: %+v, %v", name, token, err)
		}
	}
	// By this they differ: a signature stays valid.
	if _, err := introspection.Verify(t.Context(), revoked); !errors.Is(err, auth.ErrInvalidToken) {
		t.Errorf("introspection of a revoked token: %v", err)
	}
	if _, err := signatures.Verify(t.Context(), revoked); err != nil {
		t.Errorf("the signature of a revoked token: %v", err)
	}
}

func TestDiscoverVerifierSaysWhyThereIsNone(t *testing.T) {
	t.Parallel()
	opaque := newOwnServer(t, redistest.NewMiniredis(t))
	silent := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(silent.Close)
	for issuer, want := range map[string]string{
		opaque.url:           "has no jwks_uri",
		silent.URL:           "has no authorization server metadata",
		"http://127.0.0.1:1": "could not be read",
	} {
		if _, err := auth.DiscoverVerifier(t.Context(), issuer, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", issuer, err, want)
		}
	}
}
