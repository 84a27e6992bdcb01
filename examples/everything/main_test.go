package main

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/demotest"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestMain(m *testing.M) { demotest.Main(m, main) }

func TestEchoThenAnOrderlyEnd(t *testing.T) {
	t.Parallel()
	// The client keeps a stream open, which the program has to end.
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p := demotest.Start(t)
			client := connect(t, p.URL)
			res, err := client.CallTool(t.Context(), &mcp.CallToolParams{
				Name: "echo", Arguments: map[string]any{"message": "hello"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := res.Content[0].(*mcp.TextContent).Text; got != "Echo: hello" {
				t.Errorf("echo answered %q", got)
			}
			p.Signal(sig)
			if status, _ := p.Wait(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t)
	running, called := make(chan struct{}, 200), make(chan struct{})
	client := connect(t, p.URL, func(o *mcp.ClientOptions) {
		o.ProgressNotificationHandler = func(context.Context, *mcp.ProgressNotificationClientRequest) { running <- struct{}{} }
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(called)
		params := &mcp.CallToolParams{
			Name: "longRunningOperation", Arguments: map[string]any{"duration": 20, "steps": 200},
		}
		params.SetProgressToken("p")
		client.CallTool(ctx, params)
	}()
	<-running
	p.Signal(syscall.SIGTERM)
	p.WaitLog("stopping")
	p.Signal(syscall.SIGTERM)
	if status, _ := p.Wait(); status != -1 {
		t.Errorf("exit status %d: it ended in order although a call was running", status)
	}
	cancel()
	<-called
}

// In every mode: it says that it is not ready, serves on, and a second signal ends
// it although nothing runs.
func TestItServesOnForTheDrainDelay(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"AUTH_MODE=none", "AUTH_MODE=internal", "AUTH_MODE=auth_server"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := demotest.Start(t, mode, "INTROSPECTION_CLIENT_SECRET=s", "DRAIN_DELAY=20s")
			p.Signal(syscall.SIGTERM)
			p.WaitLog("stopping")
			status := func(path string) int {
				res, err := http.Get(p.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				return res.StatusCode
			}
			redistest.Until(t, "/readyz answers 503", func() bool { return status("/readyz") == http.StatusServiceUnavailable })
			for _, path := range []string{"/livez", "/"} {
				if got := status(path); got != http.StatusOK {
					t.Errorf("GET %s: %d", path, got)
				}
			}
			if mode == "AUTH_MODE=none" {
				client := fleettest.Initialized(t, p.URL+"/mcp")
				if m := client.CallTool(t, "echo", `{"message":"hello"}`); m.Error != nil {
					t.Errorf("a call: %s", m.Error)
				}
			}
			p.Signal(syscall.SIGTERM)
			if status, _ := p.Wait(); status != -1 {
				t.Errorf("exit status %d: it waited for the delay", status)
			}
		})
	}
}

// What the program tells its user to paste into a shell must work as it stands.
func TestThePrintedCommandsCallEcho(t *testing.T) {
	t.Parallel()
	needTools(t, "sh", "curl", "awk", "tr")
	p := demotest.Start(t)
	port := p.URL[strings.LastIndex(p.URL, ":"):]
	script := curlEchoAt("http://localhost" + port)
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), `"Echo: hello"`) {
		t.Errorf("the commands print %q", out)
	}
	p.Signal(syscall.SIGTERM)
	if _, stdout := p.Wait(); !strings.Contains(stdout, strings.TrimSpace(script)) {
		t.Errorf("the program printed %q", stdout)
	}
}

func TestARedisThatDoesNotAllowWhatAFleetNeedsIsNamed(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	admin := redis.Client(t)
	if err := admin.Do(t.Context(), admin.B().Arbitrary("ACL", "SETUSER", "weak", "on", ">secret", "~*", "+@connection", "+info").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := demotest.Run(t, "REDIS_URL=redis://weak:secret@"+redis.Addr())
	if status != 2 || stdout != "" || !strings.HasPrefix(stderr, `REDIS_URL="redis://...@`+redis.Addr()+`": `) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

// Without authentication whoever knows a session's id can use the session.
func TestTheLogHasALineForEachRequestAndNoSessionID(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t)
	client := fleettest.Initialized(t, p.URL+"/mcp")
	client.CallTool(t, "echo", `{"message":"hello"}`)
	p.Signal(syscall.SIGTERM)
	log := p.Stderr()
	if strings.Contains(log, client.Session) {
		t.Error("the log has the session's id")
	}
	if got := strings.Count(log, `"msg":"request"`); got != 3 {
		t.Errorf("%d requests were logged, want 3", got)
	}
	if got := strings.Count(log, "\n"); got > 3+7 {
		t.Errorf("the log of three requests has %d lines", got)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t)
	for _, path := range []string{"/livez", "/readyz", "/"} {
		res, err := http.Get(p.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, res.Status)
		}
	}
}

func TestASettingThatCannotBeUsedIsOneLineAndStatus2(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	internal := []string{"AUTH_MODE=internal"} // which takes any address there is
	for setting, more := range map[string][]string{
		"PORT=many":                     nil,
		"PORT=" + port:                  nil,
		"HOST=0.0.0.0":                  nil,
		"HOST=203.0.113.1":              internal,
		"BASE_URI=http://example.com":   internal,
		"AUTH_MODE=open":                nil,
		"SESSION_TTL=never":             nil,
		"REDIS_URL=redis://127.0.0.1:1": nil,
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := demotest.Run(t, append(more, setting)...)
			if status != 2 || stdout != "" {
				t.Errorf("exit status %d, stdout %q", status, stdout)
			}
			name, value, _ := strings.Cut(setting, "=")
			if !strings.HasPrefix(stderr, name+"=") || !strings.Contains(stderr, value) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

func connect(t *testing.T, url string, configure ...func(*mcp.ClientOptions)) *mcp.ClientSession {
	t.Helper()
	opts := &mcp.ClientOptions{}
	for _, f := range configure {
		f(opts)
	}
	client, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, opts).
		Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url + "/mcp"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
