package auth

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/tokenlife"
)

// A grantBook is a verifier that knows one grant.
type grantBook struct {
	*tokenBook
	mu    sync.Mutex
	grant *Grant // nil if there is none
	err   error
}

func (b *grantBook) VerifyGrant(context.Context, string) (*Grant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return nil, b.err
	case b.grant == nil:
		return nil, ErrInvalidToken
	}
	g := *b.grant
	return &g, nil
}

func (b *grantBook) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// What a grant says decides about a running request, whatever has become of its token.
func TestARunningRequestEndsWithItsGrant(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(b *grantBook)
		ends   bool
	}{
		"nothing":                 {func(*grantBook) {}, false},
		"the token is replaced":   {func(b *grantBook) { b.revoke("good") }, false},
		"nobody can tell":         {func(b *grantBook) { b.err = ErrUnavailable }, false},
		"the token is revoked":    {func(b *grantBook) { b.grant.HasToken = false }, true},
		"the grant is revoked":    {func(b *grantBook) { b.grant = nil }, true},
		"another is used up soon": {func(b *grantBook) { b.grant.Covered = time.Now() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &grantBook{tokenBook: bookOf(aliceToken())}
				b.grant = &Grant{HasToken: true, Covered: time.Now().Add(time.Hour), Ends: time.Now().Add(24 * time.Hour)}
				began, ended := make(chan struct{}), make(chan error, 1)
				req := httptest.NewRequest("GET", "/mcp", nil)
				req.Header = bearerOf("good")
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				go newResource(t, b).Protect(long(began, ended)).ServeHTTP(httptest.NewRecorder(), req.WithContext(ctx))
				<-began
				time.Sleep(time.Minute)
				b.change(func() { test.change(b) })
				time.Sleep(5 * time.Second)
				synctest.Wait()
				select {
				case err := <-ended:
					if !test.ends || !errors.Is(err, errRevoked) {
						t.Errorf("ended: %v", err)
					}
				default:
					if test.ends {
						t.Error("goes on")
					}
				}
			})
		})
	}
}

// When the token has expired, the grant may be revoked all the same; that it has come
// to its own end is none.
func TestAnExpiredTokensRequestEndsWithItsGrant(t *testing.T) {
	t.Parallel()
	for name, natural := range map[string]bool{"revoked": false, "at its own end": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				until := time.Now().Add(time.Minute)
				b := &grantBook{tokenBook: bookOf(aliceToken(func(t *Token) { t.Expires = until }))}
				b.grant = &Grant{HasToken: true, Covered: until, Ends: until.Add(time.Minute)}
				began, ended := make(chan struct{}), make(chan error, 1)
				req := httptest.NewRequest("GET", "/mcp", nil)
				req.Header = bearerOf("good")
				ctx, leave := context.WithCancel(t.Context())
				go newResource(t, b).Protect(long(began, ended)).ServeHTTP(httptest.NewRecorder(), req.WithContext(ctx))
				<-began
				time.Sleep(90 * time.Second)
				b.change(func() { b.grant.HasToken = false }) // forgotten
				if natural {
					time.Sleep(30 * time.Second)
				}
				synctest.Wait()
				if len(ended) != 0 {
					t.Fatalf("ended while the grant was there: %v", <-ended)
				}
				b.change(func() { b.grant = nil })
				if natural {
					time.Sleep(time.Hour)
					leave()
				}
				if err := <-ended; errors.Is(err, errRevoked) == natural {
					t.Errorf("ended: %v", err)
				}
				leave()
			})
		})
	}
}

// What serves streams learns when their token expires whether it was replaced, to the
// second.
func TestAReplacedTokenBoundsStreamsByWhatReplacedIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Minute)
		b := &grantBook{tokenBook: bookOf(aliceToken(func(t *Token) { t.Expires = until }))}
		b.grant = &Grant{HasToken: true, Covered: until, Ends: until.Add(24 * time.Hour)}
		r := newResource(t, b)
		ctx, stop := r.whileValid(t.Context(), b.tokens["good"], "good")
		defer stop()
		bound, cancel := tokenlife.Bound(ctx, until)
		defer cancel()
		time.Sleep(time.Minute - time.Millisecond)
		b.change(func() { b.grant.Covered = until.Add(time.Minute) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if bound.Err() != nil {
			t.Fatalf("ended: %v", context.Cause(bound))
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if cause := context.Cause(bound); !errors.Is(cause, context.DeadlineExceeded) || ctx.Err() != nil {
			t.Errorf("the stream: %v, the request: %v", cause, ctx.Err())
		}
	})
}
