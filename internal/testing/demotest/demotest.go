// Package demotest runs an example as a process of its own: the test binary
// starts itself again and becomes the program, or the program is built first.
package demotest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// becomeProgram is the variable that makes the test binary the program.
const becomeProgram = "DEMOTEST_PROGRAM=1"

// Main is what TestMain of an example's package calls; program is the package's
// main function.
func Main(m *testing.M, program func()) {
	if slices.Contains(os.Environ(), becomeProgram) {
		go endWithParent()
		program()
		return
	}
	os.Exit(m.Run())
}

// endWithParent ends the program when its standard input does: when the test
// binary is gone, however it went.
func endWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// patience bounds every wait for a program: a busy machine, not a slow program.
const patience = time.Minute

// A Process is a running example. It is killed when its test ends.
type Process struct {
	// URL is where it listens: http, address and port.
	URL string

	t      testing.TB
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	log    chan []byte
	exited chan struct{}
}

// Start starts the example whose tests these are, with the given settings, a free
// port and no authentication unless they say otherwise, and an empty working
// directory. It returns once the example listens. A minute later the example is
// killed, whether its test has ended or not.
func Start(t testing.TB, env ...string) *Process {
	t.Helper()
	return start(t, command(t, self(t), env))
}

// StartProgram is Start for a program that [Build] has built.
func StartProgram(t testing.TB, program string, env ...string) *Process {
	t.Helper()
	return start(t, command(t, program, env))
}

func start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, log: make(chan []byte, 1000), exited: make(chan struct{})}
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := redistest.StartChild(p.cmd); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
	})
	p.URL = "http://" + p.WaitLog("listening")["addr"].(string)
	return p
}

// Run runs an example that is to end by itself, and returns its exit status and
// what it wrote.
func Run(t testing.TB, env ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, self(t), env)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// command leaves out the environment of the tests: whatever settings it has are
// not the test's.
func command(t testing.TB, program string, env []string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{becomeProgram, "PORT=0", "AUTH_MODE=none", "DRAIN_DELAY=0s", "GOCOVERDIR=" + cmd.Dir}, env...)
	// For endWithParent: it stays open as long as this process lives.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// self returns the path of the test binary.
func self(t testing.TB) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func (p *Process) read(stderr io.Reader) {
	defer close(p.exited)
	defer close(p.log)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		p.t.Log(lines.Text())
		p.stderr.WriteString(lines.Text() + "\n")
		select {
		case p.log <- slices.Clone(lines.Bytes()):
		default: // Nobody waits for that many lines.
		}
	}
	p.cmd.Wait()
}

// WaitLog returns the attributes of the next log line with the given message,
// passing over all before it. The test fails if the process ends first.
func (p *Process) WaitLog(message string) map[string]any {
	p.t.Helper()
	for line := range p.log {
		var attrs map[string]any
		if json.Unmarshal(line, &attrs) == nil && attrs["msg"] == message {
			return attrs
		}
	}
	p.t.Fatalf("the process ended without logging %q", message)
	return nil
}

// Signal sends a signal to the process.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// Stderr waits for the process to end and returns what it wrote to its standard
// error.
func (p *Process) Stderr() string {
	<-p.exited
	return p.stderr.String()
}

// Wait waits for the process to end and returns its exit status, -1 if a signal
// ended it, and what it wrote to its standard output.
func (p *Process) Wait() (status int, stdout string) {
	p.t.Helper()
	<-p.exited
	return p.cmd.ProcessState.ExitCode(), strings.TrimSpace(p.stdout.String())
}
