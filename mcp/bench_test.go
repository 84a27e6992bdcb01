package mcp_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// The benchmarks compare ways to serve the same requests. Each way is one or more
// server processes; they are measured in turns, several rounds, so that what else
// the machine does meets all of them, and the median counts.

const (
	// benchClients is how many clients send requests at the same time, each in a
	// closed loop.
	benchClients = 16
	// benchRounds is how often each way is measured.
	benchRounds = 5
)

// A way is one way to serve a workload.
type way struct {
	name      string
	kind      string // of the server, see benchHandler
	instances int
	era       era
}

// An operation is what one client does again and again.
type operation func() error

// A workload makes the operation of one client of the servers.
type workload func(b testing.TB, w way, servers []*benchServer) operation

// A result is what one operation has cost.
type result struct {
	way      way
	cpu      time.Duration
	bytes    float64
	objects  float64
	commands float64 // of Redis
	trips    float64 // calls to Redis
}

// A field is a way with its servers running.
type field struct {
	way      way
	servers  []*benchServer
	redis    rueidis.Client // nil without
	clients  []operation
	measured []result
}

// compare measures n operations of each way, in rounds.
func compare(b testing.TB, n int, load workload, ways []way, env ...string) []result {
	b.Helper()
	var fields []*field
	for _, w := range ways {
		fields = append(fields, startField(b, w, load, env))
	}
	for _, f := range fields {
		f.run(b, min(n, 2000)) // connections, caches, the heap's size
	}
	if dir := os.Getenv("BENCH_PROFILE"); dir != "" && n > 1 {
		for _, f := range fields {
			wait := f.servers[0].profile(b, dir, 5)
			f.run(b, n)
			wait()
			fmt.Println(f.way.name, "is", f.servers[0].addr)
		}
	}
	for range benchRounds {
		for _, f := range fields {
			f.measure(b, max(n/benchRounds, 1))
		}
	}
	var results []result
	for _, f := range fields {
		results = append(results, f.median())
	}
	return results
}

func startField(b testing.TB, w way, load workload, env []string) *field {
	b.Helper()
	f := &field{way: w}
	if w.kind == "fleet" {
		redis := redistest.Start(b) // of its own, so that the commands are its own
		f.redis = redis.Client(b)
		env = append(slices.Clip(env), "BENCH_REDIS="+redis.Addr())
	}
	for range w.instances {
		f.servers = append(f.servers, startBenchServer(b, w.kind, env...))
	}
	for range benchClients {
		f.clients = append(f.clients, load(b, w, f.servers))
	}
	return f
}

// run has the clients do n operations.
func (f *field) run(b testing.TB, n int) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for _, op := range f.clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := op(); err != nil {
					b.Errorf("%s: %v", f.way.name, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

func (f *field) measure(b testing.TB, n int) {
	b.Helper()
	commands := f.commands(b)
	before := totalUse(b, f.servers)
	f.run(b, n)
	use := totalUse(b, f.servers).minus(before)
	each := func(total float64) float64 { return total / float64(n) }
	f.measured = append(f.measured, result{
		way: f.way, cpu: use.CPU / time.Duration(n), bytes: each(float64(use.Bytes)), objects: each(float64(use.Objects)),
		commands: each(float64(f.commands(b) - commands)), trips: each(float64(use.Trips)),
	})
}

func (f *field) commands(b testing.TB) int64 {
	if f.redis == nil {
		return 0
	}
	return redisCommands(b, f.redis)
}

func (f *field) median() result {
	return result{
		way:      f.way,
		cpu:      medianOf(f.measured, func(r result) time.Duration { return r.cpu }),
		bytes:    medianOf(f.measured, func(r result) float64 { return r.bytes }),
		objects:  medianOf(f.measured, func(r result) float64 { return r.objects }),
		commands: medianOf(f.measured, func(r result) float64 { return r.commands }),
		trips:    medianOf(f.measured, func(r result) float64 { return r.trips }),
	}
}

func medianOf[T cmp.Ordered](results []result, of func(result) T) T {
	values := make([]T, len(results))
	for i, r := range results {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// report prints a table of the results, each with its CPU time as a multiple of that
// of every other.
func report(b *testing.B, results []result) {
	b.Helper()
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nway\tCPU µs\tKB\tobjects\tcommands\ttrips\t")
	for i := range results {
		fmt.Fprintf(t, "÷ %s\t", results[i].way.name)
	}
	fmt.Fprintln(t)
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.0f\t%s\t%s\t", r.way.name, micros(r.cpu), r.bytes/1000, r.objects, count(r.commands), count(r.trips))
		for _, other := range results {
			fmt.Fprintf(t, "%.2f\t", float64(r.cpu)/float64(other.cpu))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
	if b.N > 1 { // the benchmark's first try is no measurement
		fmt.Println(table.String()) // a benchmark's log is cut after ten lines
	}
	b.ReportMetric(0, "ns/op") // that of all ways together says nothing
	for _, r := range results {
		b.ReportMetric(micros(r.cpu), "cpu-µs/"+strings.ReplaceAll(r.way.name, " ", "-"))
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func count(n float64) string { return strconv.FormatFloat(n, 'f', 3, 64) }

// forEachGOGC runs a comparison with each setting of the garbage collector that
// docs/performance.md speaks of.
func forEachGOGC(b *testing.B, load workload, ways ...way) {
	for _, gogc := range []string{"100", "800"} {
		b.Run("GOGC="+gogc, func(b *testing.B) { report(b, compare(b, b.N, load, ways, "GOGC="+gogc)) })
	}
}

var (
	fleet2025    = way{"fleet 2025", "fleet", 2, sessions}
	fleet2026    = way{"fleet 2026", "fleet", 2, stateless}
	sdkStateful  = way{"SDK stateful", "sdk", 1, sessions}
	sdkStateless = way{"SDK stateless", "sdk-stateless", 1, stateless}
	lasting      = way{"lasting session", "session", 1, sessions}
	bareHTTP     = way{"HTTP", "http", 1, sessions}
)

// BenchmarkCall compares what a tools/call costs: ours over two instances in turns,
// with sessions in a real Redis; the SDK's handlers, with sessions in memory; one
// SDK session that lives on; and HTTP without MCP.
//
//	go test ./mcp -run '^$' -bench '^BenchmarkCall$' -benchtime 20000x
func BenchmarkCall(b *testing.B) {
	forEachGOGC(b, echoing,
		fleet2025, fleet2026, sdkStateful, sdkStateless, lasting, bareHTTP)
}

var echoing = calling("tools/call", "echo", `{"name":"echo","arguments":{"message":"sixteen bytes..."}}`, "Echo: sixteen bytes...")

// calling is a workload of the same call again and again, at each server in turn.
func calling(method, name, params, want string) workload {
	return func(b testing.TB, w way, servers []*benchServer) operation {
		b.Helper()
		var wires []*benchWire
		for _, s := range servers {
			wires = append(wires, dialBench(b, s))
		}
		session := ""
		if w.era == sessions && w.kind != "http" && w.kind != "session" {
			session = benchSession(b, wires)
		}
		request, turn := w.era.request(session, method, name, params), 0
		return func() error {
			turn++
			return wires[turn%len(wires)].do(request, want)
		}
	}
}

// benchSession begins a session on the first of several instances, and goes on with
// it on the last.
func benchSession(b testing.TB, wires []*benchWire) string {
	b.Helper()
	session, err := wires[0].begin()
	must(b, err)
	must(b, wires[len(wires)-1].initialized(session))
	return session
}
