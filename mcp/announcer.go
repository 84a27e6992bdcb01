package mcp

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/signal"
)

// An announcer tells the fleet which lists have changed.
type announcer struct {
	publisher *node.Publisher
	logger    *slog.Logger
	wake      signal.Wake // something is due
	done      chan struct{}
	wg        sync.WaitGroup

	mu  sync.Mutex        // guards due
	due map[bus.List]bool // the lists whose change is to be announced
}

func newAnnouncer(publisher *node.Publisher, logger *slog.Logger) *announcer {
	return &announcer{publisher: publisher, logger: logger, wake: signal.NewWake(), done: make(chan struct{}), due: map[bus.List]bool{}}
}

func (a *announcer) start() { a.wg.Go(a.run) }

// stop makes the announcements that are due once more, and ends the announcer.
func (a *announcer) stop() {
	close(a.done)
	a.wg.Wait()
}

// put has a change announced. It does not block.
func (a *announcer) put(list bus.List) {
	a.mu.Lock()
	a.due[list] = true
	a.mu.Unlock()
	a.wake.Send()
}

// run makes the announcements that are due, again and again while they fail.
func (a *announcer) run() {
	ctx := context.Background() // each call to Redis is bounded
	var again <-chan time.Time
	for {
		select {
		case <-a.wake:
		case <-again:
		case <-a.done:
			a.announce(ctx)
			return
		}
		again = nil
		if !a.announce(ctx) {
			again = time.After(time.Second)
		}
	}
}

// announce reports whether everything that was due has been announced.
func (a *announcer) announce(ctx context.Context) bool {
	a.mu.Lock()
	due := a.due
	a.due = map[bus.List]bool{}
	a.mu.Unlock()
	announced := true
	for list := range due {
		if err := a.publisher.ListChanged(ctx, list); err != nil {
			a.logger.WarnContext(ctx, "list change not announced", "error", err)
			announced = false
			a.mu.Lock()
			a.due[list] = true
			a.mu.Unlock()
		}
	}
	return announced
}
