package limit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A request that was refused because Redis hung takes nothing later.
func TestALateLimitScriptChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		link := b.Link()
		l := newLimiter(t, link.Client(t), redistest.NewPrefix())
		b.Late(t, link, func(*testing.T) func() error {
			return func() error {
				_, err := l.Take(context.Background(), "n", "who", limit.Rate{Requests: 10, Per: time.Hour})
				return err
			}
		})
	})
}
