//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// startTimeout bounds the start and the orderly end of a process: a busy
// machine, not a slow program.
const startTimeout = 60 * time.Second

// A process is one running program. It is killed when its test ends.
type process struct {
	// URL is its MCP endpoint, past the balancer.
	URL  string
	base *url.URL
	err  error // why it does not run

	cmd    *exec.Cmd
	exited chan struct{}

	mu     sync.Mutex // guards log and maxLog
	log    bytes.Buffer
	maxLog int
}

// startProcess starts a program and returns when it listens, or cannot.
func startProcess(t testing.TB, program string, env []string) *process {
	p := &process{cmd: exec.Command(program), exited: make(chan struct{}), maxLog: 1 << 20}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = env
	stderr, w := io.Pipe()
	p.cmd.Stderr = w
	if p.err = redistest.StartChild(p.cmd); p.err != nil {
		return p
	}
	t.Cleanup(func() {
		p.kill()
		p.report(t)
	})
	go func() {
		defer close(p.exited)
		p.cmd.Wait()
		w.Close()
	}()
	listening := make(chan string, 1)
	go p.read(stderr, listening)
	select {
	case addr, ok := <-listening:
		if !ok {
			p.err = errors.New("the process ended before it listened")
			return p
		}
		p.base = &url.URL{Scheme: "http", Host: addr}
		p.URL = p.base.String() + "/mcp"
	case <-time.After(startTimeout):
		p.err = fmt.Errorf("the process does not listen after %v", startTimeout)
	}
	return p
}

// raceReport is how the race detector begins to say what it has found.
const raceReport = "WARNING: DATA RACE"

// read keeps the beginning of the log, and sends the address that it says first.
func (p *process) read(stderr io.Reader, listening chan<- string) {
	defer close(listening)
	said := false
	for lines := bufio.NewReader(stderr); ; {
		line, err := lines.ReadBytes('\n')
		p.mu.Lock()
		if bytes.Contains(line, []byte(raceReport)) {
			p.maxLog = p.log.Len() + 8<<10
		}
		if p.log.Len() < p.maxLog {
			p.log.Write(line)
		}
		p.mu.Unlock()
		var entry struct{ Msg, Addr string }
		if !said && json.Unmarshal(line, &entry) == nil && entry.Msg == "listening" {
			said = true
			listening <- entry.Addr
		}
		if err != nil {
			return
		}
	}
}

// report fails the test if the race detector found something in the process,
// and shows the end of the log if the test has failed; TEST_LOG asks for all.
func (p *process) report(t testing.TB) {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.log.String()
	if i := strings.Index(log, raceReport); i >= 0 {
		t.Errorf("process %s: %s", p.URL, log[i:])
	}
	if !t.Failed() {
		return
	}
	if os.Getenv("TEST_LOG") == "" {
		log = log[max(0, len(log)-4<<10):]
	}
	t.Logf("process %s:\n%s", p.URL, log)
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal sends a signal; a process that has ended gets none.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// kill ends the process without warning, frozen or not.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// freeze stops the process's execution; its connections stay open.
func (p *process) freeze() { p.signal(syscall.SIGSTOP) }

// thaw goes on with a frozen process.
func (p *process) thaw() { p.signal(syscall.SIGCONT) }

// terminate asks the process to end.
func (p *process) terminate() { p.signal(syscall.SIGTERM) }

// wait waits for the process to end and returns its exit status.
func (p *process) wait() (status int, err error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(startTimeout):
		return 0, fmt.Errorf("the process has not ended after %v", startTimeout)
	}
}
