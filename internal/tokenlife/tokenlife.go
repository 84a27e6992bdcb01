// Package tokenlife bounds what runs for a request by the life of its access
// token. Who verifies tokens and who serves streams do not know each other; the
// request's context carries from the one to the other that a token was replaced.
package tokenlife

import (
	"context"
	"time"
)

type key struct{}

// With returns a context in which until says, when a token has expired, how long
// what has replaced it is valid. It is called from goroutines of its own, may ask
// others, and bounds every wait.
func With(ctx context.Context, until func(context.Context) time.Time) context.Context {
	return context.WithValue(ctx, key{}, until)
}

// Bound returns a context that ends when the token of a request expires, with
// [context.DeadlineExceeded] as its cause. If the token has been replaced by then,
// it ends with what has replaced it.
func Bound(ctx context.Context, expires time.Time) (context.Context, context.CancelFunc) {
	until, ok := ctx.Value(key{}).(func(context.Context) time.Time)
	if !ok {
		return context.WithDeadline(ctx, expires)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	// The callback resets timer, and may run before AfterFunc has returned it: it
	// waits until the variable is set.
	var timer *time.Timer
	started := make(chan struct{})
	timer = time.AfterFunc(time.Until(expires), func() {
		<-started
		if left := time.Until(until(ctx)); left > 0 && ctx.Err() == nil {
			timer.Reset(left)
			return
		}
		cancel(context.DeadlineExceeded)
	})
	close(started)
	return ctx, func() {
		timer.Stop()
		cancel(context.Canceled)
	}
}
