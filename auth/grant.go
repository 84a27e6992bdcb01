package auth

import (
	"context"
	"time"
)

// A GrantVerifier is a [Verifier] that can tell a token that was replaced, when its
// client got a new one by a refresh token, from one that was revoked. A [Resource]
// whose verifier is one lets requests go on whose tokens were replaced: server.Server
// is one, and so is the verifier of [NewIntrospector] if it asks such a server. With
// any other verifier, a running request ends when its token is not valid any more.
type GrantVerifier interface {
	Verifier
	// VerifyGrant returns what is known of the grant of a token that Verify
	// returned before. It fails with [ErrInvalidToken] if there is no such grant any
	// more, and with [ErrUnavailable] if it cannot tell.
	VerifyGrant(ctx context.Context, token string) (*Grant, error)
}

// A Grant is what a user allowed a client, as far as it concerns requests that run
// with one of its access tokens.
type Grant struct {
	// HasToken says that the token was not revoked: it is valid, or was replaced and
	// has not expired. For a token that has expired it means nothing.
	HasToken bool
	// Covered is until when an access token of the grant is valid, this or a newer
	// one.
	Covered time.Time
	// Ends is when the grant ends if it is not used until then.
	Ends time.Time
}

// grantVerifier returns v, or a GrantVerifier that knows of no grants but each
// token itself.
func grantVerifier(v Verifier) GrantVerifier {
	if g, ok := v.(GrantVerifier); ok {
		return g
	}
	return tokensOnly{v}
}

// tokensOnly takes each token for a grant of its own.
type tokensOnly struct{ Verifier }

func (v tokensOnly) VerifyGrant(ctx context.Context, text string) (*Grant, error) {
	token, err := v.Verify(ctx, text)
	if err != nil {
		return nil, err
	}
	return grantOf(token), nil
}

// grantOf returns the grant of a valid token of which nothing else is known.
func grantOf(t *Token) *Grant { return &Grant{HasToken: true, Covered: t.Expires, Ends: t.Expires} }
