package auth

import (
	"context"
	"errors"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
)

// A Verifier verifies access tokens. Implementations are safe for concurrent
// use and bound every wait.
//
// Verify returns [ErrInvalidToken] for whatever is not a valid access token of
// the issuer: unknown, expired, revoked, malformed, or a token of another kind.
// It returns [ErrUnavailable] if it cannot tell at the moment. It does not
// check the audience: [Resource] does that, for every verifier in the same way.
type Verifier interface {
	Verify(ctx context.Context, token string) (*Token, error)
}

// ErrInvalidToken says that a token is not a valid access token. It is the
// SDK's error.
var ErrInvalidToken = sdkauth.ErrInvalidToken

// ErrUnavailable says that a token could not be verified because something that
// is needed for it, such as Redis or an introspection endpoint, is unavailable.
// The token may be valid: clients must not discard it.
var ErrUnavailable = errors.New("token verification is unavailable")

// A Token is the content of a valid access token.
type Token struct {
	// Issuer is the authorization server's issuer identifier. Subject is its
	// identifier of the user or, for a client that acts for itself, of the
	// client. Together they identify the principal; neither is empty.
	Issuer, Subject string
	// ClientID is the client that the token was issued to.
	ClientID string
	// Audience is the resource identifiers that the token is for (RFC 8707).
	Audience []string
	// Scopes are the scopes that were granted.
	Scopes []string
	// Expires is when the token expires. It is not zero.
	Expires time.Time
}

// UserID returns the principal that a session belongs to. It is made of issuer
// and subject, so that users of different issuers are never the same.
func (t *Token) UserID() string { return t.Issuer + "\x00" + t.Subject }
