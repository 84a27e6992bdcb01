package bus

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Each script is sent, and executed only after its caller has given it up.
func TestALateBusScriptChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, prepare := range map[string]func(t *testing.T, b *Bus) func() error{
		"bus_publish": func(_ *testing.T, b *Bus) func() error {
			return func() error { return b.Publish(ctx, ResourceUpdated{URI: "test://a"}) }
		},
		"bus_mark_loss": func(t *testing.T, b *Bus) func() error {
			if err := b.Publish(ctx, hello{}); err != nil {
				t.Fatal(err)
			}
			end, err := b.end(ctx)
			if err != nil {
				t.Fatal(err)
			}
			b.readBeforeLoss = end
			return func() error { return b.markLoss(ctx) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bubble := redistest.NewBubble(t)
				link := bubble.Link()
				b, _ := newBus(t, link.Client(t))
				bubble.Late(t, link, func(t *testing.T) func() error { return prepare(t, b) })
			})
		})
	}
}
