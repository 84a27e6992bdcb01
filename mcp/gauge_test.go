package mcp

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestAGaugeWaitsUntilNothingRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		if err := g.wait(t.Context()); err != nil {
			t.Errorf("nothing runs: %v", err)
		}
		g.add()
		g.add()
		var returned atomic.Int64
		for range 2 {
			go func() {
				if err := g.wait(t.Context()); err != nil {
					t.Error(err)
				}
				returned.Add(1)
			}()
		}
		g.remove()
		synctest.Wait()
		if returned.Load() != 0 {
			t.Error("wait has returned although something runs")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of its context: %v", err)
		}
		g.remove()
		synctest.Wait()
		if n := returned.Load(); n != 2 {
			t.Errorf("%d of 2 have been woken", n)
		}
	})
}
