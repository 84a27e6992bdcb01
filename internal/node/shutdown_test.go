package node

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is retried in the background does not hold up an instance that leaves.
func TestCloseDoesNotWaitForTheNextTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		n := f.nodes[0]
		tries := 0
		n.background(func() {
			if n.untilDone(time.Second, func() bool { tries++; return false }) {
				t.Error("what never succeeds is done")
			}
		})
		time.Sleep(2500 * time.Millisecond)
		start := time.Now()
		n.Close(t.Context())
		if took := time.Since(start); took > 0 {
			t.Errorf("Close took %v", took)
		}
		if tries != 3 {
			t.Errorf("%d tries", tries)
		}
	})
}

// Pauses grow from the first to a second.
func TestRetriesAreQuickAtFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &Node{leaving: make(chan struct{})}
		start, tries := time.Now(), 0
		if !n.untilDone(250*time.Millisecond, func() bool { tries++; return tries == 5 }) {
			t.Error("it gave up")
		}
		if took := time.Since(start); took != 2750*time.Millisecond { // 250 + 500 + 1000 + 1000
			t.Errorf("five tries took %v", took)
		}
	})
}
