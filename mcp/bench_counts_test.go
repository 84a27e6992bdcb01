package mcp_test

import (
	"fmt"
	"os"
	"testing"
)

// bounds are what one operation may cost at most: about a tenth more than was
// measured when they were recorded, as docs/performance.md has it. They are counts,
// which do not depend on the machine or on what else it does; but for the few commands
// by which every instance, whatever it serves, says each second that it lives.
var bounds = []struct {
	name            string
	load            workload
	way             way
	bytes, objects  float64
	commands, trips float64
}{
	{"call", echoing, fleet2025, 88_000, 230, 0.3, 0.1},
	{"call", echoing, fleet2026, 98_000, 300, 0.3, 0.1},
	{"list", workloads[0].load, fleet2025, 420_000, 2600, 0.3, 0.1},
	{"list", workloads[0].load, fleet2026, 545_000, 2650, 0.3, 0.1},
	{"initialize", initializing, fleet2025, 104_000, 430, 11, 2.1},
	{"elicitation", eliciting, fleet2025, 200_000, 780, 65, 5.1},
	{"progress", workloads[4].load, fleet2025, 420_000, 4800, 1300, 104},
	{"progress", workloads[4].load, fleet2026, 218_000, 1080, 0.3, 0.1},
	{"resume", resuming, fleet2025, 160_000, 510, 14, 2.1},
}

var idleBounds = []struct {
	holding         string
	bytes, overBare float64
	goroutines      float64
	redisBytes      float64
}{
	{"session", 1500, 0, 0.02, 1200}, // a record in the cache, which is bounded
	{"get", 0, 8192, 2.02, 1700},
	{"listen", 0, 8192, 2.02, 100},
}

// TestCountsStayWithinTheirBounds measures briefly what the benchmarks measure at
// length. A bound that is to rise is raised here, where the reason can be read from
// the commit. It counts what whole processes do, and so runs only if it is asked for,
// with BENCH_COUNTS set, and without the race detector.
func TestCountsStayWithinTheirBounds(t *testing.T) {
	if os.Getenv("BENCH_COUNTS") == "" {
		t.Skip("BENCH_COUNTS is not set")
	}
	for _, bound := range bounds {
		t.Run(bound.name+"/"+bound.way.name, func(t *testing.T) {
			r := compare(t, 5*100, bound.load, []way{bound.way})[0]
			t.Logf("%.0f bytes, %.0f objects, %.3f commands, %.3f trips", r.bytes, r.objects, r.commands, r.trips)
			for what, pair := range map[string][2]float64{
				"bytes": {r.bytes, bound.bytes}, "objects": {r.objects, bound.objects},
				"Redis commands": {r.commands, bound.commands}, "calls to Redis": {r.trips, bound.trips},
			} {
				if pair[0] > pair[1] {
					t.Errorf("%.3f %s an operation, more than %.3f", pair[0], what, pair[1])
				}
			}
		})
	}
	kept := map[string]kept{}
	for _, h := range holdings {
		kept[h.name] = hold(t, h, 500)
		t.Log(h.name, fmt.Sprintf("%+v", kept[h.name]))
	}
	bare := kept["stream-http"]
	for _, bound := range idleBounds {
		k := kept[bound.holding]
		if bound.bytes > 0 && k.bytes > bound.bytes || bound.overBare > 0 && k.bytes-bare.bytes > bound.overBare {
			t.Errorf("%s: %.0f bytes each, a stream of net/http has %.0f", bound.holding, k.bytes, bare.bytes)
		}
		if k.goroutines > bound.goroutines || k.redisBytes > bound.redisBytes || k.redisConns > 2 {
			t.Errorf("%s: %+v, more than %+v", bound.holding, k, bound)
		}
	}
}
