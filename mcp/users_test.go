package mcp_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/mcpfleet/mcpfleet/internal/fleettest"
)

// bearer is the SDK's middleware with a verifier that believes every token: it
// is the name of the user, and after a slash how long it is valid.
func bearer(h http.Handler) http.Handler {
	verify := func(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		name, life, limited := strings.Cut(token, "/")
		info := &auth.TokenInfo{UserID: name, Expiration: time.Now().Add(24 * time.Hour)}
		if limited {
			until, err := time.Parse(time.RFC3339, life)
			if err != nil {
				return nil, auth.ErrInvalidToken
			}
			info.Expiration = until
		}
		return info, nil
	}
	return auth.RequireBearerToken(verify, nil)(h)
}

// user returns a client of the balancer with a session of the user.
func (s *simulation) user(t testing.TB, name string) *fleettest.Client {
	t.Helper()
	c := s.client(t)
	c.Header.Set("Authorization", "Bearer "+name)
	c.Initialize(t, "2025-11-25", everyCapability)
	return c
}
