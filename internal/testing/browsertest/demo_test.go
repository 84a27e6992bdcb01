package browsertest

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The demo as its users start it, without a setting but the port.
func TestLoginAtTheDemo(t *testing.T) {
	t.Parallel()
	b, fl := newBrowser(t), &fleet{url: startDemo(t), client: newClient(t)}
	w := b.window(t, looks[0])
	l := fl.login(w, fl.register(t, "A client", fl.client+"/callback"))
	l.ask()
	w.page("consent")
	w.click("button[value=allow]")
	w.await("#user") // the page in between leads here by itself
	w.page("login")
	w.click("button[value=login]")
	token := l.token(l.back().Get("code"))
	for bearer, want := range map[string]int{token: http.StatusOK, token + "A": http.StatusUnauthorized} {
		body := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fl.url+"/mcp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("initialize: %s, want %d", res.Status, want)
		}
	}
}

// startDemo builds and starts the demo on a free port, and returns its URL.
func startDemo(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "everything")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./examples/everything")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	demo := exec.CommandContext(t.Context(), program)
	demo.Dir, demo.Env = t.TempDir(), []string{"PORT=" + port}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = demo.Wait() }) // the context's end has killed it
	url := "http://localhost:" + port
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		if res, err := http.Get(url + "/readyz"); err == nil {
			res.Body.Close()
			return url
		}
		if time.Now().After(deadline) {
			t.Fatal("the demo does not start")
		}
	}
}
