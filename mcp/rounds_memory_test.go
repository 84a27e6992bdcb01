package mcp_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/race"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// Thousands of calls whose clients never come back cost a bounded amount of memory, and
// nothing once their time is over.
func TestManyAbandonedCalls(t *testing.T) {
	many := 3000
	if testing.Short() || race.Enabled {
		many = 300
	}
	options := func(o *fleet.Options) {
		o.MaxParked, o.MaxParkedPerUser, o.AnswerWithin = many, many, 10*time.Minute
	}
	simulate(t, simulated{rig: blockingRig(), options: options, wrap: bearer}, func(t *testing.T, s *simulation) {
		c := at(s.stateless(t), s.instances[0].url)
		c.Header.Set("Authorization", "Bearer alice")
		q := roundedTool("interview")
		before, goroutines := heap(), runtime.NumGoroutine()
		for i := range many {
			if got := q.send(t, c, "", ""); got.ResultType != "input_required" {
				t.Fatalf("call %d got %s%s", i, got.Result, got.Error)
			}
		}
		bytes, each := (heap()-before)/many, (runtime.NumGoroutine()-goroutines)/many
		t.Logf("%d bytes and %d goroutines for each", bytes, each)
		if got := q.send(t, c, "", ""); got.Error == nil {
			t.Errorf("one more got %s", got.Result)
		}
		if bytes > 100<<10 || each > 6 {
			t.Errorf("a parked call costs %d bytes and %d goroutines", bytes, each)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if left := runtime.NumGoroutine() - goroutines; left > 100 { // 64 stand-ins are kept
			t.Errorf("%d goroutines are left", left)
		}
		if left := (heap() - before) / many; left > bytes/2 { // the test's client keeps its connections
			t.Errorf("%d bytes of each call are left", left)
		}
		if got := q.send(t, c, "", ""); got.ResultType != "input_required" {
			t.Errorf("then a call got %s%s", got.Result, got.Error)
		}
	})
}

// heap returns how much memory is in use, stacks included.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
