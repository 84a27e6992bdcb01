package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

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

// errRevoked is the cause of the cancellation of a request's context.
var errRevoked = errors.New("the access token was revoked")

// whileValid returns a context that ends when the token is revoked. It costs a
// timer, and nothing else for requests that are shorter than RecheckEvery. An
// error of the verifier ends nothing. The returned function must be called when
// the request has ended.
func (r *Resource) whileValid(ctx context.Context, t *Token, text string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	// The callback resets timer, and may run before AfterFunc has returned it: it
	// waits until the variable is set.
	var timer *time.Timer
	started := make(chan struct{})
	timer = time.AfterFunc(r.opts.RecheckEvery, func() {
		<-started
		if ctx.Err() != nil || !time.Now().Before(t.Expires) {
			return // the handler acts on the expiry of a token
		}
		if _, err := r.opts.Verifier.Verify(ctx, text); isInvalid(err) && time.Now().Before(t.Expires) {
			cancel(errRevoked)
			return
		}
		timer.Reset(r.opts.RecheckEvery)
	})
	close(started)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}
