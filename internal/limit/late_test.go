package limit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A request that was refused because Redis hung takes nothing later, and gives
// nothing back.
func TestALateLimitScriptChangesNothing(t *testing.T) {
	t.Parallel()
	ctx, rate := context.Background(), limit.Rate{Requests: 10, Per: time.Hour}
	take := func(l *limit.Limiter) error {
		_, err := l.Take(ctx, "n", "who", rate)
		return err
	}
	for name, prepare := range map[string]func(t *testing.T, l *limit.Limiter) func() error{
		"limit": func(_ *testing.T, l *limit.Limiter) func() error {
			return func() error { return take(l) }
		},
		"limit_give_back": func(t *testing.T, l *limit.Limiter) func() error {
			if err := take(l); err != nil {
				t.Fatal(err)
			}
			return func() error { return l.GiveBack(ctx, l.Count("n", "who"), rate) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				l := newLimiter(t, link.Client(t), redistest.NewPrefix())
				b.Late(t, link, func(t *testing.T) func() error { return prepare(t, l) })
			})
		})
	}
}
