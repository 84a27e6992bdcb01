package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// A benchServer is a server process. What it uses is its own: the clients, and
// Redis, are other processes.
type benchServer struct{ addr string }

const benchServerEnv = "FLEET_BENCH_SERVER"

// A benchUse is what a server process has used, or holds.
type benchUse struct {
	CPU        time.Duration
	Bytes      uint64 // allocated since it began
	Objects    uint64 // allocated since it began
	Trips      int64  // calls to Redis that do not wait for messages
	Held       uint64 // bytes of objects and stacks, after a collection if that was asked for
	Goroutines uint64
}

func (u benchUse) minus(v benchUse) benchUse {
	return benchUse{
		CPU: u.CPU - v.CPU, Bytes: u.Bytes - v.Bytes, Objects: u.Objects - v.Objects, Trips: u.Trips - v.Trips,
		Held: u.Held - v.Held, Goroutines: u.Goroutines - v.Goroutines,
	}
}

func (u benchUse) plus(v benchUse) benchUse {
	return benchUse{
		CPU: u.CPU + v.CPU, Bytes: u.Bytes + v.Bytes, Objects: u.Objects + v.Objects, Trips: u.Trips + v.Trips,
		Held: u.Held + v.Held, Goroutines: u.Goroutines + v.Goroutines,
	}
}

// startBenchServer starts a server process of a kind, with further variables of its
// environment.
func startBenchServer(b testing.TB, kind string, env ...string) *benchServer {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), benchServerEnv+"="+kind), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("%s server did not start: %v", kind, err)
	}
	return &benchServer{strings.TrimSpace(addr)}
}

// use returns what the process has used until now.
func (s *benchServer) use(b testing.TB) benchUse { return s.ask(b, "/use") }

// settled is use after a garbage collection.
func (s *benchServer) settled(b testing.TB) benchUse { return s.ask(b, "/use?collect") }

func (s *benchServer) ask(b testing.TB, path string) (use benchUse) {
	b.Helper()
	res, err := http.Get("http://" + s.addr + path)
	must(b, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(b, err)
	must(b, json.Unmarshal(body, &use))
	return use
}

// profile writes profiles of what the process does in the seconds to come, or until
// it ends, into a directory.
func (s *benchServer) profile(b testing.TB, dir string, seconds int) (wait func()) {
	b.Helper()
	var wg sync.WaitGroup
	for _, kind := range []string{"profile", "allocs"} {
		wg.Go(func() {
			res, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", s.addr, kind, seconds))
			if err != nil {
				b.Error(err)
				return
			}
			defer res.Body.Close()
			data, err := io.ReadAll(res.Body)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(s.addr, ":", "-")+"."+kind), data, 0o600)
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	return wg.Wait
}

func totalUse(b testing.TB, servers []*benchServer) (total benchUse) {
	for _, s := range servers {
		total = total.plus(s.use(b))
	}
	return total
}

// runBenchServer is the server process.
func runBenchServer(kind string) error {
	handler, err := benchHandler(kind)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", handler)
	mux.HandleFunc("/use", serveUse)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return http.Serve(ln, mux)
}

func serveUse(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery == "collect" {
		runtime.GC()
		runtime.GC() // what the first made ready for sync.Pool's end
	}
	var cpu syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &cpu); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	_ = json.NewEncoder(w).Encode(benchUse{
		CPU:   time.Duration(cpu.Utime.Nano() + cpu.Stime.Nano()),
		Bytes: value(0), Objects: value(1), Held: value(2) + value(3), Goroutines: value(4), Trips: trips.Load(),
	})
}

// trips counts the calls of this process to Redis.
var trips atomic.Int64

// A countingClient counts what it is called for, but for reads that wait for
// messages. A read out of its cache is no trip.
type countingClient struct{ rueidis.Client }

func (c countingClient) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if !cmd.IsBlock() {
		trips.Add(1)
	}
	return c.Client.Do(ctx, cmd)
}

func (c countingClient) DoMulti(ctx context.Context, cmds ...rueidis.Completed) []rueidis.RedisResult {
	trips.Add(1)
	return c.Client.DoMulti(ctx, cmds...)
}

func (c countingClient) DoCache(ctx context.Context, cmd rueidis.Cacheable, ttl time.Duration) rueidis.RedisResult {
	reply := c.Client.DoCache(ctx, cmd, ttl)
	if !reply.IsCacheHit() {
		trips.Add(1)
	}
	return reply
}

// redisCommands returns how many commands Redis has run, but for INFO.
func redisCommands(b testing.TB, client rueidis.Client) int64 {
	b.Helper()
	n, err := commandsRun(b.Context(), client)
	must(b, err)
	return n
}

func commandsRun(ctx context.Context, client rueidis.Client, except ...string) (total int64, err error) {
	info, err := client.Do(ctx, client.B().Info().Section("commandstats").Build()).ToString()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		name, stats, ok := strings.Cut(line, ":calls=")
		if !ok || name == "cmdstat_info" || slices.Contains(except, name) {
			continue
		}
		count, _, _ := strings.Cut(stats, ",")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
