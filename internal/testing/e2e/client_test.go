//go:build unix

package e2e

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/testing/demotest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// The example client logs in, breaks its connections, and goes on at another
// process; when that dies, at a third. No report of its call is lost.
func TestExampleClientResumesAfterTheProcessWithItsStreamDied(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3, "AUTH_MODE=internal")
	runner, holder := f.process(0), f.process(1)
	f.pin(runner)
	c := startClient(t, f, "resume", "10")
	c.WaitFor("progress: 1 of 10")
	f.pin(holder)
	c.WaitFor("breaking the connections")
	c.WaitFor("to go on after event")
	c.WaitFor("progress: 5 of 10")
	f.kill(holder)
	c.WaitFor("to go on after event")
	// The SDK's client hands out notifications on goroutines of their own: the last one
	// may be printed after the result.
	var progress, lines []string
	for _, line := range c.All() {
		if report, ok := strings.CutPrefix(line, "progress: "); ok {
			progress = append(progress, strings.TrimSuffix(report, " of 10"))
		} else {
			lines = append(lines, line)
		}
	}
	if got, want := strings.Join(progress, " "), "1 2 3 4 5 6 7 8 9 10"; got != want {
		t.Errorf("progress %s, want %s", got, want)
	}
	wantEnd(t, lines, "Long running operation completed. Duration: 10 seconds, Steps: 10.", "Echo: the session lives")
	must(t, c.wait())
}

func TestExampleClientShowsThatItsCallDiedAndItsSessionLives(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3)
	runner := f.process(0)
	f.pin(runner)
	c := startClient(t, f, "resume", "60")
	for range 2 { // the call's stream and the standalone one: a 502 would end the session
		c.WaitFor("to go on after event")
	}
	f.kill(runner)
	if line := c.WaitFor("the call is lost: "); !strings.Contains(line, "has died") {
		t.Error(line)
	}
	wantEnd(t, c.All(), "Echo: the session lives")
	if err := c.wait(); err == nil {
		t.Error("the client ends as if the call had succeeded")
	}
}

// In each protocol the processes share what the client does.
func TestExampleClientUsesAFleet(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3, "AUTH_MODE=internal")
	for protocol, url := range map[string]string{"sessions": f.URL, "2026-07-28": f.URL, "sse": f.SSE} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := startClient(t, f, "-protocol="+protocol, "-url="+url, "-yes", "call", "elicitInputs")
			c.WaitFor("connected to")
			c.WaitFor(`"name": "Ada"`)
			must(t, c.wait())
		})
	}
}

// wantEnd fails unless the last lines are these.
func wantEnd(t *testing.T, lines []string, want ...string) {
	t.Helper()
	if len(lines) < len(want) || !slices.Equal(lines[len(lines)-len(want):], want) {
		t.Errorf("the client ends with %s", strconv.Quote(strings.Join(lines, "\n")))
	}
}

// An exampleClient is a running examples/client.
type exampleClient struct {
	*demotest.Output
	wait func() error
}

// startClient runs the example client with flags and a command.
func startClient(t *testing.T, f *fleet, args ...string) exampleClient {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), build(t, client), append([]string{"-browser=false", "-url=" + f.URL}, args...)...)
	cmd.Dir = t.TempDir()
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	output := demotest.ReadOutput(t, r)
	must(t, redistest.StartChild(cmd))
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		w.Close()
	}()
	return exampleClient{output, func() error {
		output.All()
		return <-ended
	}}
}
