package auth

import (
	"context"
	"errors"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
)

// A Verifier says what an access token allows. Implementations are safe for
// concurrent use and bound every wait.
//
// Verify fails with [ErrInvalidToken] for what is no valid access token of the
// issuer: unknown, expired, revoked, malformed, of another kind. It fails with
// [ErrUnavailable] if it cannot tell at the moment. It does not judge the
// audience: [Resource] does, for every verifier in the same way.
type Verifier interface {
	Verify(ctx context.Context, token string) (*Token, error)
}

// ErrInvalidToken says that a token is no valid access token. It is the SDK's.
var ErrInvalidToken = sdkauth.ErrInvalidToken

// ErrUnavailable says that a token could not be verified because something that
// is needed for it, such as Redis or an introspection endpoint, is away. The
// token may be valid: clients must not throw it away.
var ErrUnavailable = errors.New("token verification is unavailable")

// A Token is what a valid access token says.
type Token struct {
	// Issuer is the authorization server's issuer identifier, and Subject the
	// user, or for a client's own token the client, within it. Together they are
	// who acts; neither is empty.
	Issuer, Subject string
	// ClientID is the client that the token was issued to.
	ClientID string
	// Audience is whom the token is for: resource identifiers (RFC 8707).
	Audience []string
	// Scopes are what it allows.
	Scopes []string
	// Expires is when it ends. It is not zero.
	Expires time.Time
}

// UserID returns the principal that a session belongs to: issuer and subject,
// so that no two issuers share a user.
func (t *Token) UserID() string { return t.Issuer + "\x00" + t.Subject }
