package mcp

import (
	"context"
	"sync/atomic"

	"github.com/mcpfleet/mcpfleet/internal/signal"
)

// A gauge counts what runs, and wakes whoever waits until nothing does. The zero
// value is ready; it is safe for concurrent use.
type gauge struct {
	count atomic.Int64
	empty signal.Broadcast
}

func (g *gauge) add() { g.count.Add(1) }

func (g *gauge) remove() {
	if g.count.Add(-1) == 0 {
		g.empty.Send()
	}
}

// wait blocks until nothing runs, or ctx ends.
func (g *gauge) wait(ctx context.Context) error {
	return g.empty.Until(ctx, func() bool { return g.count.Load() == 0 })
}
