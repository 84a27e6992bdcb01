//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/npm"
)

func TestTypeScriptClientsUseEveryFeature(t *testing.T) {
	t.Parallel()
	npm.Dir(t)
	for _, kind := range []string{
		"sdk",        // version 1 of the SDK
		"2025-11-25", // version 2 with a session
		"2026-07-28", // version 2 without
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t, everything, 3)
			useByScript(t, f, f.URL, kind)
		})
	}
}

// useByScript has a client of the TypeScript SDK use every feature, and updates
// a resource when it says that it is listening.
func useByScript(t *testing.T, f *fleet, url, kind string) {
	t.Helper()
	s := startScript(t, "features.mjs", url, kind)
	if said := s.next(); said.Wants != "update" {
		t.Fatalf("the script says %+v", said)
	}
	must(t, f.notifier(t).ResourceUpdated(t.Context(), "test://static/resource/1"))
	s.answer()
	if said := s.next(); !said.Done {
		t.Errorf("the script says %+v", said)
	}
	must(t, s.wait())
}

func TestInspectorListsAndCallsTools(t *testing.T) {
	t.Parallel()
	npm.Dir(t)
	f := startFleet(t, everything, 3)
	var list struct{ Tools []struct{ Name string } }
	inspect(t, &list, f.URL, "--method", "tools/list")
	if len(list.Tools) != len(tools()) {
		t.Errorf("the Inspector lists %v", list.Tools)
	}
	var result struct{ Content []struct{ Text string } }
	inspect(t, &result, f.URL, "--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hi")
	if len(result.Content) != 1 || result.Content[0].Text != "Echo: hi" {
		t.Errorf("the Inspector got %v from echo", result)
	}
}

// inspect runs the Inspector's CLI and decodes what it prints.
func inspect(t *testing.T, result any, url string, args ...string) {
	t.Helper()
	args = append([]string{npm.Dir(t) + "/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", "--cli", url, "--transport", "http"}, args...)
	cmd := npm.Node(t, args...)
	cmd.Env = append(cmd.Env, "HOME="+t.TempDir()) // it keeps a catalog there
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, result)
	}
	if err != nil {
		t.Fatalf("inspector %s: %v\n%s%s", strings.Join(args[1:], " "), err, out, stderr.Bytes())
	}
}

// A script is a running script of testdata, which says one JSON value per line.
type script struct {
	t     *testing.T
	lines *bufio.Scanner
	in    io.Writer
	stop  func()
	wait  func() error
}

// startScript starts a script of testdata with what is its command line: the URL
// and, if need be, the kind of client.
func startScript(t *testing.T, name string, args ...string) *script {
	t.Helper()
	cmd := npm.Node(t, append([]string{"testdata/" + name}, args...)...)
	r, w := io.Pipe()
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	stop := func() { _ = cmd.Process.Kill() }
	return &script{t, lines, in, stop, func() error {
		for lines.Scan() { // or it could not go on
		}
		err := <-ended
		if err != nil {
			t.Logf("%s: %s", name, stderr.Bytes())
		}
		return err
	}}
}

// A saying is what a script says in a line.
type saying struct {
	Connected bool
	Progress  int
	Logged    int
	Outcome   string
	Code      int
	Text      string
	Echo      string
	Error     string
	Wants     string
	Done      bool
}

// answer tells the script that what it wants is done, and what came of it.
func (s *script) answer(what ...string) {
	s.t.Helper()
	_, err := io.WriteString(s.in, strings.Join(what, " ")+"\n")
	must(s.t, err)
}

// next returns what the script says next.
func (s *script) next() saying {
	s.t.Helper()
	defer time.AfterFunc(patience, s.stop).Stop()
	if !s.lines.Scan() {
		s.t.Fatalf("the script says nothing more: %v", s.wait())
	}
	var said saying
	if err := json.Unmarshal(s.lines.Bytes(), &said); err != nil {
		s.t.Fatalf("the script says %q", s.lines.Bytes())
	}
	return said
}
