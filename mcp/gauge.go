package mcp

import (
	"context"
	"sync"
)

// A gauge counts what runs, and wakes who waits until nothing does.
type gauge struct {
	mu    sync.Mutex // guards the fields below
	count int
	empty chan struct{} // closed when count becomes 0; nil if nobody waits
}

func (g *gauge) add() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
}

func (g *gauge) remove() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count--
	if g.count == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// wait waits until nothing runs, or ctx ends, and returns ctx's error then.
func (g *gauge) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.count == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
