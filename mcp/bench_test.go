package mcp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// benchSessions is how many sessions call at the same time, each in a closed loop.
const benchSessions = 16

// BenchmarkCall compares what a tools/call costs:
//
//   - fleet: our handler, two instances in turns, sessions in a real Redis
//   - sdk: the SDK's stateful handler as it comes: sessions in memory, SSE
//   - session: one SDK session that lives on, behind the least HTTP that feeds it
//   - http: the same HTTP without MCP
//
// Each server is a process of its own, so that cpu-µs/call is the servers' CPU
// time alone; wall time (ns/op) has the load generator in it. redis/call counts
// commands by INFO commandstats.
//
//	go test ./mcp -run '^$' -bench BenchmarkCall -benchtime 20000x
func BenchmarkCall(b *testing.B) {
	for _, gogc := range []string{"100", "800"} {
		for _, kind := range []struct {
			name      string
			instances int
		}{{"fleet", 2}, {"sdk", 1}, {"session", 1}, {"http", 1}} {
			b.Run(kind.name+"/GOGC="+gogc, func(b *testing.B) {
				benchmarkCall(b, kind.name, kind.instances, gogc)
			})
		}
	}
}

func benchmarkCall(b *testing.B, kind string, instances int, gogc string) {
	redis := redistest.Real(b)
	prefix := redis.Prefix(b)
	var servers []*benchServer
	for range instances {
		servers = append(servers, startBenchServer(b, kind, redis.Addr(), prefix, gogc))
	}
	callers := make([]*benchCaller, benchSessions)
	for i := range callers {
		callers[i] = newBenchCaller(b, servers)
	}
	var next atomic.Int64
	loop := func(n int) {
		next.Store(int64(n))
		var wg sync.WaitGroup
		for _, c := range callers {
			wg.Go(func() {
				for next.Add(-1) >= 0 {
					if err := c.call(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	loop(2000) // warm up: connections, caches, the heap's size
	client := redis.Client(b)
	cpu, commands := totalCPU(b, servers), redisCommands(b, client)
	b.ResetTimer()
	loop(b.N)
	b.StopTimer()
	b.ReportMetric(float64((totalCPU(b, servers)-cpu).Microseconds())/float64(b.N), "cpu-µs/call")
	b.ReportMetric(float64(redisCommands(b, client)-commands)/float64(b.N), "redis/call")
}

func totalCPU(b *testing.B, servers []*benchServer) (total time.Duration) {
	for _, s := range servers {
		total += s.cpu(b)
	}
	return total
}

// redisCommands returns how many commands Redis has run, but for INFO.
func redisCommands(b *testing.B, client rueidis.Client) int64 {
	n, err := commandsRun(b.Context(), client)
	if err != nil {
		b.Fatal(err)
	}
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

// A benchServer is a server process.
type benchServer struct{ addr string }

const benchServerEnv = "FLEET_BENCH_SERVER"

func startBenchServer(b *testing.B, kind, redis, prefix, gogc string) *benchServer {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), benchServerEnv+"="+kind, "GOGC="+gogc, "BENCH_REDIS="+redis, "BENCH_PREFIX="+prefix)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
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

func (s *benchServer) cpu(b *testing.B) time.Duration {
	b.Helper()
	res, err := http.Get("http://" + s.addr + "/cpu")
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	ns, err := strconv.ParseInt(string(body), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

// A benchCaller is one session's client. It writes prepared bytes to its own
// connection to each server and reads no more of the response than it must: the
// load generator shares the machine with what it measures.
type benchCaller struct {
	conns []*bufio.ReadWriter
	reqs  [][]byte
	turn  int
}

func newBenchCaller(b *testing.B, servers []*benchServer) *benchCaller {
	b.Helper()
	c := &benchCaller{}
	session := benchInitialize(b, "http://"+servers[0].addr+"/mcp")
	for _, s := range servers {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		c.conns = append(c.conns, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)))
		body := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"message":"sixteen bytes..."}}}`
		c.reqs = append(c.reqs, fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
			"Accept: application/json, text/event-stream\r\nMcp-Session-Id: %s\r\nMcp-Protocol-Version: 2025-11-25\r\nContent-Length: %d\r\n\r\n%s",
			s.addr, session, len(body), body))
	}
	return c
}

func (c *benchCaller) call() error {
	i := c.turn % len(c.conns)
	c.turn++
	if _, err := c.conns[i].Write(c.reqs[i]); err != nil {
		return err
	}
	if err := c.conns[i].Flush(); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.conns[i].Reader, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if !bytes.Contains(body, []byte("Echo: sixteen bytes...")) {
		return fmt.Errorf("status %s: %s", res.Status, body)
	}
	return nil
}

func benchInitialize(b *testing.B, url string) (session string) {
	b.Helper()
	post := func(body string) *http.Response {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		req.Header.Set("Mcp-Session-Id", session)
		if session == "" {
			req.Header.Del("Mcp-Session-Id")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res
	}
	session = post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`).Header.Get("Mcp-Session-Id")
	post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return session
}

// runBenchServer is the server process.
func runBenchServer(kind string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/cpu", func(w http.ResponseWriter, _ *http.Request) {
		var use syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, use.Utime.Nano()+use.Stime.Nano())
	})
	handler, err := benchHandler(kind)
	if err != nil {
		return err
	}
	mux.Handle("/mcp", handler)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return http.Serve(ln, mux)
}

func benchHandler(kind string) (http.Handler, error) {
	server := echoServer()
	get := func(*http.Request) *mcp.Server { return server }
	switch kind {
	case "fleet":
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{os.Getenv("BENCH_REDIS")}})
		if err != nil {
			return nil, err
		}
		return fleet.NewHandler(get, &fleet.Options{Redis: client, Prefix: os.Getenv("BENCH_PREFIX")})
	case "sdk":
		return mcp.NewStreamableHTTPHandler(get, nil), nil
	case "session":
		return newLastingSession(server)
	case "http":
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Echo: sixteen bytes..."}]}}`)
		}), nil
	default:
		return nil, fmt.Errorf("unknown kind of server %q", kind)
	}
}

func echoServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "bench", Version: "1"}, nil)
	type input struct {
		Message string `json:"message"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in input) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Echo: " + in.Message}}}, nil, nil
	})
	return server
}

// A lastingSession serves every request with one SDK session: what a handler
// would cost that had no sessions to tell apart.
type lastingSession struct {
	in   chan jsonrpc.Message
	last atomic.Int64

	mu      sync.Mutex
	waiting map[jsonrpc.ID]chan *jsonrpc.Response
}

func newLastingSession(server *mcp.Server) (*lastingSession, error) {
	s := &lastingSession{in: make(chan jsonrpc.Message), waiting: map[jsonrpc.ID]chan *jsonrpc.Response{}}
	state := &mcp.ServerSessionState{
		InitializeParams:          &mcp.InitializeParams{ProtocolVersion: "2025-11-25", Capabilities: &mcp.ClientCapabilities{}},
		InitializedParams:         &mcp.InitializedParams{},
		NegotiatedProtocolVersion: "2025-11-25",
	}
	_, err := server.Connect(context.Background(), s, &mcp.ServerSessionOptions{State: state})
	return s, err
}

func (s *lastingSession) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var m struct {
		Method string
		Params json.RawMessage
	}
	if json.Unmarshal(body, &m) != nil || m.Method != "tools/call" {
		return // the session has been initialized
	}
	id, err := jsonrpc.MakeID(strconv.FormatInt(s.last.Add(1), 10))
	if err != nil {
		return
	}
	done := make(chan *jsonrpc.Response, 1)
	s.mu.Lock()
	s.waiting[id] = done
	s.mu.Unlock()
	s.in <- &jsonrpc.Request{ID: id, Method: m.Method, Params: m.Params}
	resp := <-done
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":7,"result":%s}`, resp.Result)
}

func (s *lastingSession) Connect(context.Context) (mcp.Connection, error) { return s, nil }
func (s *lastingSession) Read(context.Context) (jsonrpc.Message, error)   { return <-s.in, nil }
func (s *lastingSession) Close() error                                    { return nil }
func (s *lastingSession) SessionID() string                               { return "" }

func (s *lastingSession) Write(_ context.Context, msg jsonrpc.Message) error {
	resp, ok := msg.(*jsonrpc.Response)
	if !ok {
		return nil
	}
	s.mu.Lock()
	done := s.waiting[resp.ID]
	delete(s.waiting, resp.ID)
	s.mu.Unlock()
	done <- resp
	return nil
}
