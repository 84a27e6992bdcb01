package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const program = "redis-server"

// busOffset is the distance of a cluster node's bus port from its port.
const busOffset = 10000

// A process is one redis-server with a directory of its own. It is not safe
// for concurrent use.
type process struct {
	dir  string
	port int
	args []string

	cmd    *exec.Cmd
	exited chan struct{}
}

// startProcess starts a server on a free port and returns once it accepts
// connections.
func startProcess(args []string) (*process, error) {
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, args: args}
	// Another process may take a port between the look and the start.
	for range 10 {
		if p.port, err = freePort(); err != nil {
			break
		}
		if err = p.start(); err == nil {
			return p, nil
		}
	}
	os.RemoveAll(dir)
	return nil, err
}

func (p *process) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

func (p *process) start() error {
	cmd := exec.Command(program, slices.Concat([]string{
		"--port", strconv.Itoa(p.port), "--bind", "127.0.0.1", "--dir", p.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "notice", "--logfile", "",
	}, p.args)...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = dieWithParent()
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := spawn(cmd); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait()
		w.Close()
	}()
	p.cmd, p.exited = cmd, exited
	if err := waitReady(r); err != nil {
		p.kill()
		return err
	}
	return nil
}

// waitReady reads the server's log until it says that it accepts connections,
// and goes on reading it to the end: a full pipe would stop the server.
func waitReady(log io.Reader) error {
	ready := make(chan error, 1)
	go func() {
		var said []string
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				ready <- nil
				io.Copy(io.Discard, log)
				return
			}
			said = append(said, lines.Text())
		}
		ready <- fmt.Errorf("%s ended:\n%s", program, strings.Join(said, "\n"))
	}()
	select {
	case err := <-ready:
		return err
	case <-time.After(startTimeout):
		return fmt.Errorf("%s is not ready after %v", program, startTimeout)
	}
}

// end sends a signal and waits for the process to be gone.
func (p *process) end(sig os.Signal) {
	p.cmd.Process.Signal(sig)
	<-p.exited
}

func (p *process) kill() { p.end(os.Kill) }

// remove ends the process and leaves nothing of it.
func (p *process) remove() {
	p.kill()
	os.RemoveAll(p.dir)
}

// freePort returns a port that is free together with its bus port. Both are
// below the ports that systems give to outgoing connections.
func freePort() (int, error) {
	for range 100 {
		port := 11000 + rand.IntN(11000)
		if portFree(port) && portFree(port+busOffset) {
			return port, nil
		}
	}
	return 0, errors.New("no free port")
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// A Process is a real Redis of one test's own, which may do with it what it
// likes. It is not safe for concurrent use.
type Process struct {
	Server
	p *process
}

// Start starts a redis-server with further command-line arguments, such as
// "--maxmemory", "2mb". It ends with the test.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		required(t, err)
	}
	p, err := startProcess(args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.remove)
	return &Process{Server: Server{Kind: Single, addrs: []string{p.addr()}}, p: p}
}

// Stop ends the server as an administrator would.
func (s *Process) Stop() { s.p.end(os.Interrupt) }

// Kill ends the server without warning.
func (s *Process) Kill() { s.p.kill() }

// Restart starts a server that was stopped or killed, at the same address and
// with the same arguments. Its data is gone unless the arguments say otherwise.
func (s *Process) Restart(t testing.TB) {
	t.Helper()
	if err := s.p.start(); err != nil {
		t.Fatal(err)
	}
}

// Freeze stops the server's execution; its connections stay open.
func (s *Process) Freeze(t testing.TB) {
	t.Helper()
	if err := freeze(s.p.cmd.Process); err != nil {
		t.Fatal(err)
	}
}

// Thaw goes on with a frozen server.
func (s *Process) Thaw(t testing.TB) {
	t.Helper()
	if err := thaw(s.p.cmd.Process); err != nil {
		t.Fatal(err)
	}
}
