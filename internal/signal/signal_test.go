package signal

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestEveryoneWhoWaitsIsWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b Broadcast
		var value, woken atomic.Int64
		for range 3 {
			go func() {
				if err := b.Until(t.Context(), func() bool { return value.Load() == 2 }); err == nil {
					woken.Add(1)
				}
			}()
		}
		for range 2 {
			synctest.Wait()
			if woken.Load() != 0 {
				t.Errorf("%d are woken at %d", woken.Load(), value.Load())
			}
			value.Add(1)
			b.Send()
		}
		synctest.Wait()
		if woken.Load() != 3 {
			t.Errorf("%d of 3 are woken", woken.Load())
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	var b Broadcast
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Until(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := b.Until(ctx, func() bool { return true }); err != nil {
		t.Errorf("for what is there already it fails: %v", err)
	}
}

// A change between looking and waiting is not missed.
func TestAChangeWhileLookingIsNotMissed(t *testing.T) {
	t.Parallel()
	var b Broadcast
	looks := 0
	err := b.Until(t.Context(), func() bool {
		looks++
		if looks == 1 {
			b.Send()
		}
		return looks == 2
	})
	if err != nil || looks != 2 {
		t.Errorf("%d looks, %v", looks, err)
	}
}
