package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/tokenlife"
)

// errRevoked is the cause of the cancellation of a request's context.
var errRevoked = errors.New("the access token was revoked")

// A watch is on the grant of a running request. That the request's token was
// replaced ends nothing; that it was revoked, or its grant was, ends the request.
type watch struct {
	grants GrantVerifier
	token  *Token
	text   string

	mu sync.Mutex // guards the rest
	// covered is until when the grant has a valid access token, and ends when it ends
	// unless it is used, both as far as is known.
	covered, ends time.Time
}

// whileValid returns a context that ends when the token or its grant is revoked. It
// costs a timer, and nothing else for requests that are shorter than RecheckEvery.
// An error of the verifier ends nothing. The returned function must be called when
// the request has ended.
func (r *Resource) whileValid(ctx context.Context, t *Token, text string) (context.Context, func()) {
	w := &watch{grants: r.grants, token: t, text: text, covered: t.Expires, ends: t.Expires}
	if !w.blind() {
		ctx = tokenlife.With(ctx, w.coveredUntil)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	// The callback resets timer, and may run before AfterFunc has returned it: it
	// waits until the variable is set.
	var timer *time.Timer
	started := make(chan struct{})
	timer = time.AfterFunc(r.opts.RecheckEvery, func() {
		<-started
		if ctx.Err() != nil {
			return
		}
		switch w.check(ctx) {
		case granted:
			timer.Reset(r.opts.RecheckEvery)
		case revoked:
			cancel(errRevoked)
		case over:
			// The handler acts on the expiry of a token.
		}
	})
	close(started)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// A standing is what a check found.
type standing int

const (
	granted standing = iota // or nobody can tell
	revoked
	over // the grant came to its own end
)

// blind reports whether the verifier knows of no grants: when the token has expired,
// there is nothing to ask.
func (w *watch) blind() bool {
	_, ok := w.grants.(tokensOnly)
	return ok
}

// check asks for the grant.
func (w *watch) check(ctx context.Context) standing {
	if w.blind() && !time.Now().Before(w.token.Expires) {
		return over
	}
	g, err := w.grants.VerifyGrant(ctx, w.text)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch {
	case isInvalid(err) && now.Before(w.ends):
		return revoked
	case isInvalid(err):
		return over
	case err != nil:
		return granted
	case !g.HasToken && now.Before(w.token.Expires):
		return revoked
	}
	if g.Covered.After(w.covered) {
		w.covered = g.Covered
	}
	if !g.Ends.IsZero() {
		w.ends = g.Ends
	}
	return granted
}

// coveredUntil returns until when the grant has a valid access token. It asks: the
// client may have got a new one since the last check.
func (w *watch) coveredUntil(ctx context.Context) time.Time {
	w.check(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.covered
}
