package mcp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// BenchmarkServe is a tools/call in this process and past HTTP, to be profiled:
//
//	go test ./mcp -run '^$' -bench '^BenchmarkServe$/2025' -cpuprofile /tmp/cpu
func BenchmarkServe(b *testing.B) {
	server := benchMCPServer()
	redis := redistest.Real(b)
	h, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, &fleet.Options{Redis: redis.Client(b), Prefix: redis.Prefix(b)})
	must(b, err)
	b.Cleanup(func() { _ = h.Shutdown(context.WithoutCancel(b.Context())) })
	session := ""
	serve := func(header http.Header, body string) *served {
		ctx, done := context.WithCancel(b.Context()) // as net/http's, which ends with the request
		defer done()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(body))
		r.Header = header
		w := &served{header: http.Header{}}
		h.ServeHTTP(w, r)
		return w
	}
	call := func(b *testing.B, e era) {
		lines, body := e.message(session, "tools/call", "echo", `{"name":"echo","arguments":{"message":"sixteen bytes..."}}`)
		header := benchHeader(lines)
		b.ReportAllocs()
		before := ownCPU(b)
		for b.Loop() {
			if w := serve(header, body); w.code != http.StatusOK || !bytes.Contains(w.body, []byte("Echo: sixteen bytes...")) {
				b.Fatal(fmt.Sprint(w.code, string(w.body)))
			}
		}
		b.ReportMetric(float64((ownCPU(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	}
	session = serve(benchHeader(""), benchInitialize).header.Get("Mcp-Session-Id")
	serve(benchHeader("Mcp-Session-Id: "+session+"\r\n"), benchInitialized)
	b.Run("2025", func(b *testing.B) { call(b, sessions) })
	b.Run("2026", func(b *testing.B) { call(b, stateless) })
}

// A served is what net/http's writer is to a handler: a writer with deadlines.
type served struct {
	header http.Header
	code   int
	body   []byte
}

func (s *served) Header() http.Header  { return s.header }
func (s *served) WriteHeader(code int) { s.code = code }
func (s *served) Flush()               {}
func (s *served) Write(p []byte) (int, error) {
	s.body = append(s.body, p...)
	return len(p), nil
}
func (s *served) SetReadDeadline(time.Time) error  { return nil }
func (s *served) SetWriteDeadline(time.Time) error { return nil }

// benchHeader returns a request's header, from its lines.
func benchHeader(lines string) http.Header {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" +
		"Accept: application/json, text/event-stream\r\n" + lines + "\r\n")))
	if err != nil {
		panic(err) // the lines are constants of the benchmarks
	}
	return r.Header
}
