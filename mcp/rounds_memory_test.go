package mcp_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/race"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// Thousands of calls whose clients never come back cost a bounded amount of memory, and
// nothing once their time is over. TEST_PARKED says how many calls there are.
func TestManyAbandonedCalls(t *testing.T) {
	const perUser = 50
	many := 3000
	if testing.Short() || race.Enabled {
		many = 300
	}
	if s := os.Getenv("TEST_PARKED"); s != "" {
		n, err := strconv.Atoi(s)
		must(t, err)
		many = (n + perUser - 1) / perUser * perUser
	}
	options := func(o *fleet.Options) {
		o.MaxParked, o.MaxParkedPerUser, o.AnswerWithin = many, perUser, 10*time.Minute
	}
	simulate(t, simulated{rig: blockingRig(), options: options, wrap: bearer}, func(t *testing.T, s *simulation) {
		of := func(user string, instance int) *fleettest.Client {
			c := at(s.stateless(t), s.instances[instance].url)
			c.Header.Set("Authorization", "Bearer "+user)
			return c
		}
		q := roundedTool("interview")
		before, goroutines := heap(), runtime.NumGoroutine()
		var c *fleettest.Client
		for i := range many {
			if i%perUser == 0 {
				c = of(fmt.Sprint("user", i/perUser), 0)
			}
			if got := q.send(t, c, "", ""); got.ResultType != "input_required" {
				t.Fatalf("call %d got %s%s", i, got.Result, got.Error)
			}
			if i == perUser { // there is room, but not for user0
				wantTooManyParked(t, "a user", q.send(t, of("user0", 0), "", ""))
			}
		}
		bytes, each := (heap()-before)/many, (runtime.NumGoroutine()-goroutines)/many
		t.Logf("%d calls: %d bytes and %d goroutines for each", many, bytes, each)
		if bytes > 100<<10 || each > 6 {
			t.Errorf("a parked call costs %d bytes and %d goroutines", bytes, each)
		}
		newcomer := of("newcomer", 0)
		wantTooManyParked(t, "the instance", q.send(t, newcomer, "", ""))
		wantText(t, newcomer.Message(t, statelessCall(t, newcomer, "echo", `{"text":"hi"}`)), "hi")
		if got := q.send(t, of("newcomer", 1), "", ""); got.ResultType != "input_required" {
			t.Errorf("on the other instance a call got %s%s", got.Result, got.Error)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if left := runtime.NumGoroutine() - goroutines; left > 100 { // 64 stand-ins are kept
			t.Errorf("%d goroutines are left", left)
		}
		if left := (heap() - before) / many; left > bytes/2 { // the test's client keeps its connections
			t.Errorf("%d bytes of each call are left", left)
		}
		for _, user := range []string{"user0", "newcomer"} {
			if got := q.send(t, of(user, 0), "", ""); got.ResultType != "input_required" {
				t.Errorf("then a call of %s got %s%s", user, got.Result, got.Error)
			}
		}
	})
}

// wantTooManyParked checks that a call got the error of one more than may be parked.
func wantTooManyParked(t *testing.T, whose string, got round) {
	t.Helper()
	if !strings.Contains(string(got.Error)+string(got.Result), "too many calls wait") {
		t.Errorf("one more call than %s may have got %s%s", whose, got.Result, got.Error)
	}
}

// heap returns how much memory is in use, stacks included.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
