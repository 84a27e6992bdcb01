package mcp_test

import (
	"context"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A holding is what is held open, or only kept, for as many clients as one likes.
type holding struct {
	name string
	kind string // of the server, see benchHandler
	open func(b testing.TB, s *benchServer)
}

var holdings = []holding{
	{"session", "fleet", holdSession},
	{"session-sdk", "sdk", holdSession},
	{"stream-http", "stream", holdBare},
	{"get", "fleet", holdGet},
	{"get-sdk", "sdk", holdGet},
	{"listen", "fleet", holdListen},
	{"listen-sdk", "sdk-stateless", holdListen},
}

// BenchmarkIdle measures what one more client costs that does nothing: a session, a
// session with a standalone stream, and a subscriptions/listen stream, beside the
// SDK's and beside a stream of net/http without MCP. The sockets' buffers in the
// kernel are not in it.
//
//	go test ./mcp -run '^$' -bench '^BenchmarkIdle$' -benchtime 1000x
func BenchmarkIdle(b *testing.B) {
	for _, h := range holdings {
		b.Run(h.name, func(b *testing.B) {
			k := hold(b, h, b.N)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(k.bytes, "B/client")
			b.ReportMetric(k.goroutines, "goroutines/client")
			b.ReportMetric(k.redisBytes, "redis-B/client")
			b.ReportMetric(k.redisConns, "redis-connections")
		})
	}
}

// A kept is what each client of a holding costs, and what connections to Redis there
// are more than before.
type kept struct{ bytes, goroutines, redisBytes, redisConns float64 }

func hold(b testing.TB, h holding, n int) kept {
	b.Helper()
	var redis rueidis.Client
	var env []string
	if h.kind == "fleet" {
		r := redistest.Start(b)
		redis, env = r.Client(b), []string{"BENCH_REDIS=" + r.Addr()}
	}
	s := startBenchServer(b, h.kind, env...)
	for range 10 { // what comes into being once
		h.open(b, s)
	}
	before, memory, conns := s.settled(b), redisMemory(b, redis), redisConns(b, redis)
	for range n {
		h.open(b, s)
	}
	after := s.settled(b)
	each := func(before, after float64) float64 { return (after - before) / float64(n) }
	return kept{
		bytes:      each(float64(before.Held), float64(after.Held)),
		goroutines: each(float64(before.Goroutines), float64(after.Goroutines)),
		redisBytes: each(memory, redisMemory(b, redis)),
		redisConns: redisConns(b, redis) - conns,
	}
}

func redisMemory(b testing.TB, redis rueidis.Client) float64 {
	return redisInfo(b, redis, "memory", "used_memory")
}

func redisConns(b testing.TB, redis rueidis.Client) float64 {
	return redisInfo(b, redis, "clients", "connected_clients")
}

func redisInfo(b testing.TB, redis rueidis.Client, section, field string) float64 {
	b.Helper()
	if redis == nil {
		return 0
	}
	info, err := redis.Do(context.Background(), redis.B().Info().Section(section).Build()).ToString()
	must(b, err)
	_, value, _ := strings.Cut(info, "\n"+field+":")
	value, _, _ = strings.Cut(value, "\r\n")
	n, err := strconv.ParseFloat(value, 64)
	must(b, err)
	return n
}

func holdSession(b testing.TB, s *benchServer) {
	b.Helper()
	w := dialBench(b, s)
	benchSession(b, []*benchWire{w})
	must(b, w.conn.Close())
}

func holdGet(b testing.TB, s *benchServer) {
	b.Helper()
	w := dialBench(b, s)
	session := benchSession(b, []*benchWire{w})
	holdStream(b, w, []byte("GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nMcp-Session-Id: "+session+
		"\r\nMcp-Protocol-Version: 2025-11-25\r\n\r\n"))
}

func holdBare(b testing.TB, s *benchServer) {
	b.Helper()
	holdStream(b, dialBench(b, s), []byte("GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"))
}

func holdListen(b testing.TB, s *benchServer) {
	b.Helper()
	holdStream(b, dialBench(b, s), stateless.request("", "subscriptions/listen", "", `{"notifications":{"resourceSubscriptions":["news://a"]}}`))
}

// holdStream begins a stream, and leaves it open.
func holdStream(b testing.TB, w *benchWire, request []byte) {
	b.Helper()
	res, err := w.send(request)
	must(b, err)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(res.Body)
		b.Fatalf("%s: %s", res.Status, body)
	}
}
