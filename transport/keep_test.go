package transport

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// An instance leaves in bounded time, however many sessions are to be kept while
// Redis does not answer.
func TestAnInstanceLeavesWhileItKeepsManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const sessions = 100 * touchers
		f := newBubbleFleet(t, Options{})
		n := f.nodes[0]
		for range sessions {
			f.resume(t, n, beginSession(t, f.store), nil)
		}
		f.links[0].Freeze()
		time.Sleep(testTTL) // by now they are due
		began := time.Now()
		n.Close(context.WithoutCancel(t.Context()))
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		f.links[0].Heal()
	})
}
