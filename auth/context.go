package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
)

type tokenKey struct{}

func withToken(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, tokenKey{}, t)
}

// TokenFromContext returns the content of the access token of a request that a
// [Resource] let through, or nil if there is none. The caller must not modify
// it.
func TokenFromContext(ctx context.Context) *Token {
	t, _ := ctx.Value(tokenKey{}).(*Token)
	return t
}

// verifiedToken is the SDK's verifier for a token that was verified before: it
// returns what is in the context.
func verifiedToken(ctx context.Context, _ string, _ *http.Request) (*sdkauth.TokenInfo, error) {
	t := TokenFromContext(ctx)
	return &sdkauth.TokenInfo{
		Scopes: slices.Clone(t.Scopes), Expiration: t.Expires, UserID: t.UserID(),
		Extra: map[string]any{"iss": t.Issuer, "sub": t.Subject, "client_id": t.ClientID},
	}, nil
}

// isInvalid reports whether err says that a token is not valid, rather than that
// it could not be verified.
func isInvalid(err error) bool {
	return errors.Is(err, ErrInvalidToken) && !errors.Is(err, ErrUnavailable)
}
