package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/testing/demotest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// In each protocol, with and without a login, the client does everything that it
// can with the demo.
func TestClientUsesTheDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := demotest.Build(dir, "everything"); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []protocol{sessions, stateless, httpSSE} {
		for _, auth := range []string{"none", "internal"} {
			t.Run(string(protocol)+" "+auth, func(t *testing.T) {
				t.Parallel()
				startDemo(t, filepath.Join(dir, "everything"), protocol, auth).useEverything(t)
			})
		}
	}
}

// A demo is a running demo and what a client has to know of it.
type demo struct {
	protocol protocol
	logins   bool // whether it wants users to log in
	flags    []string
	notifier *fleet.Notifier
}

// startDemo starts a demo whose Redis the test can reach as well.
func startDemo(t *testing.T, program string, protocol protocol, auth string) *demo {
	t.Helper()
	redis := redistest.NewMiniredis(t)
	p := demotest.StartProgram(t, program, "AUTH_MODE="+auth, "REDIS_URL=redis://"+redis.Addr()+"?client_cache=0")
	notifier, err := fleet.NewNotifier(&fleet.NotifierOptions{Redis: redis.Client(t)})
	if err != nil {
		t.Fatal(err)
	}
	path := "/mcp"
	if protocol == httpSSE {
		path = "/sse"
	}
	port := p.URL[strings.LastIndex(p.URL, ":"):]
	flags := []string{"-browser=false", "-protocol=" + string(protocol), "-url=http://localhost" + port + path}
	return &demo{protocol, auth == "internal", flags, notifier}
}

func (d *demo) useEverything(t *testing.T) {
	for _, use := range []struct {
		name  string
		input string
		args  []string
		want  []string // parts of lines, in this order
	}{
		{"list", "", []string{"list"}, []string{"protocol " + d.protocol.revision(), "tool echo", "prompt complex_prompt", "resource test://static/resource/100"}},
		{"call", "", []string{"call", "echo", `{"message":"hello"}`}, []string{"Echo: hello"}},
		{"progress", "", []string{"call", "longRunningOperation", `{"duration":0.2,"steps":2}`}, []string{"progress: 1 of 2", "completed"}},
		{"form", `{"name":"Grace"}` + "\n", []string{"call", "elicitInputs"}, []string{"name (string): Your full name, required", `"name": "Grace"`}},
		{"form, declined", "decline\n", []string{"call", "elicitInputs"}, []string{`"action": "decline"`}},
		{"form, nobody there", "", []string{"call", "elicitInputs"}, []string{`"action": "cancel"`}},
		{"form, canned", "", []string{"-yes", "call", "elicitInputs"}, []string{`"name": "Ada"`}},
		{"page", "accept\n", []string{"call", "elicitUrl"}, []string{"https://", "The user agreed"}},
		{"page, canned", "", []string{"-yes", "call", "elicitUrl"}, []string{"The user agreed"}},
		{"model", "Forty-two\n", []string{"call", "sampleLLM", `{"prompt":"why?"}`}, []string{"why?", "LLM sampling result: Forty-two"}},
		{"model, canned", "", []string{"-yes", "call", "sampleLLM", `{"prompt":"why?"}`}, []string{"LLM sampling result: This is"}},
		{"roots", "", []string{"call", "listRoots"}, []string{"working directory: file:///"}},
		{"read", "", []string{"read", "test://static/resource/1"}, []string{"plaintext"}},
	} {
		t.Run(use.name, func(t *testing.T) {
			r := start(t, use.input, slices.Concat(d.flags, use.args)...)
			for _, want := range use.want {
				r.output.WaitFor(want)
			}
			if err := r.wait(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("log in", d.logIn)
	t.Run("subscribe", d.subscribe)
	t.Run("resume", d.resume)
	t.Run("a tool that fails", func(t *testing.T) {
		if err := start(t, "", slices.Concat(d.flags, []string{"call", "echo"})...).wait(); err == nil || !strings.Contains(err.Error(), "the tool failed") {
			t.Errorf("the client ends with %v", err)
		}
	})
}

// logIn calls a tool for which users log in once more: it needs a scope of its own.
func (d *demo) logIn(t *testing.T) {
	r := start(t, "", slices.Concat(d.flags, []string{"call", "toggleTool", `{"on":true}`})...)
	if d.logins {
		r.output.WaitFor("log in at:")
		r.output.WaitFor("connected to")
		r.output.WaitFor("log in at:")
	}
	if line := r.output.WaitFor(""); !d.logins && !strings.Contains(line, "connected to") {
		t.Errorf("the client begins with %q", line)
	}
	r.output.WaitFor("secretHandshake is on.")
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

func (d *demo) subscribe(t *testing.T) {
	const uri = "test://static/resource/1"
	r := start(t, "", slices.Concat(d.flags, []string{"subscribe", uri})...)
	r.output.WaitFor("subscribed to " + uri)
	if err := d.notifier.ResourceUpdated(t.Context(), uri); err != nil {
		t.Fatal(err)
	}
	r.output.WaitFor("updated: " + uri)
	r.output.WaitFor("plaintext")
	r.interrupt()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

func (d *demo) resume(t *testing.T) {
	r := start(t, "", slices.Concat(d.flags, []string{"resume", "5"})...)
	if d.protocol != sessions {
		if err := r.wait(); err == nil || !strings.Contains(err.Error(), "only streams of sessions") {
			t.Errorf("the client ends with %v", err)
		}
		return
	}
	// The SDK's client hands out notifications and results on goroutines of their own:
	// the last progress may come after the result.
	for _, want := range []string{"progress: 3", "breaking the connections", "to go on after event", "completed", "Echo: the session lives"} {
		r.output.WaitFor(want)
	}
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

func TestArgumentsThatDoNotFitAreExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"fly"}, `there is no command "fly"`},
		{[]string{"call"}, "client [flags] call TOOL"},
		{[]string{"call", "echo", "{"}, "not JSON"},
		{[]string{"read"}, "client [flags] read URI"},
		{[]string{"resume", "soon"}, "client [flags] resume [SECONDS]"},
		{[]string{"-protocol=2020-01-01", "list"}, "must be sessions, 2026-07-28 or sse"},
		{[]string{"-client-document=http://a.example", "list"}, "prepare the login"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			if err := start(t, "", test.args...).wait(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the client ends with %v", err)
			}
		})
	}
	r := start(t, "")
	for _, cmd := range commands() {
		r.output.WaitFor(cmd.name)
	}
	if err := r.wait(); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("without arguments the client ends with %v", err)
	}
}

// A running is one run of the client.
type running struct {
	output    *demotest.Output
	interrupt context.CancelFunc
	ended     chan error
}

func start(t *testing.T, input string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, in := io.Pipe()
	r := &running{demotest.ReadOutput(t, out), cancel, make(chan error, 1)}
	go func() {
		err := run(ctx, args, strings.NewReader(input), in)
		in.Close()
		r.ended <- err
	}()
	return r
}

// wait returns how the run ended.
func (r *running) wait() error {
	r.output.All()
	return <-r.ended
}
