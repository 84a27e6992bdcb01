//go:build unix

package e2e

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/npm"
)

// A session outlives the process that began it, with everything it is for.
func TestSessionSurvivesTheDeathOfTheProcessThatBeganIt(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3)
	born, b, c := f.process(0), f.process(1), f.process(2)
	client := begin(t, born.URL)
	before := client.Get(t, "")
	f.kill(born)
	receive(t, collect(before)) // it ends

	for _, p := range []*process{b, c} {
		if m := at(client, p).CallTool(t, "echo", `{"message":"hi"}`); m.Error != nil {
			t.Errorf("call at %s: %s", p.URL, m.Error)
		}
	}
	if again := at(client, b).Get(t, ""); again.StatusCode != http.StatusOK {
		t.Errorf("GET: %s", again.Status)
	}
	// The stream of a call, begun on one survivor and left, resumes on the other.
	call := startOperation(t, at(client, b), 0.5, 5)
	call.Close()
	rest := at(client, c).Get(t, call.Last)
	if m := response(t, rest); string(m.ID) != operationID || m.Result == nil {
		t.Errorf("the resumed call ended with id %s, error %s", m.ID, m.Error)
	}
	if status := at(client, c).Delete(t); status != http.StatusNoContent {
		t.Errorf("DELETE: %d", status)
	}
	if res := at(client, b).Post(t, fleettest.Request(2, "ping", "{}")); res.StatusCode != http.StatusNotFound {
		t.Errorf("a call after DELETE: %s", res.Status)
	}
}

func TestGoClientLearnsThatItsCallDied(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3)
	progress := make(chan float64, 1000)
	cs := f.connect(t, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			progress <- req.Params.Progress
		},
	}, nil)
	victim := f.process(0)
	f.pin(victim)
	answered := make(chan error, 1)
	go func() {
		_, err := cs.CallTool(t.Context(), longOperation(60, 600))
		answered <- err
	}()
	for range 3 {
		receive(t, progress)
	}
	f.kill(victim)
	killed := time.Now()
	err := receive(t, answered)
	t.Logf("the call was answered %v after the kill: %v", time.Since(killed).Round(10*time.Millisecond), err)
	if wire, ok := errors.AsType[*jsonrpc.Error](err); !ok || !strings.Contains(wire.Message, "has died") {
		t.Errorf("the call ended with %v", err)
	}
	must(t, echo(t, cs, "still here"))
}

func TestTypeScriptClientLearnsThatItsCallDied(t *testing.T) {
	t.Parallel()
	npm.Dir(t)
	f := startFleet(t, everything, 3)
	victim := f.process(0)
	f.pin(victim)
	s := startScript(t, "survivor.mjs", f.URL)
	for s.next().Progress < 3 {
	}
	f.kill(victim)
	killed := time.Now()
	said := s.next()
	for ; said.Outcome == ""; said = s.next() {
		if said.Error != "" {
			t.Logf("%v after the kill the client notes: %s", time.Since(killed).Round(10*time.Millisecond), said.Error)
		}
	}
	t.Logf("the call was answered %v after the kill: %+v", time.Since(killed).Round(10*time.Millisecond), said)
	if said.Outcome != "error" || !strings.Contains(said.Text, "has died") {
		t.Errorf("the call ended with %+v", said)
	}
	for said = s.next(); said.Echo == ""; said = s.next() {
		t.Logf("the client notes: %s", said.Error)
	}
	if said.Echo != "Echo: still here" {
		t.Errorf("echo says %q", said.Echo)
	}
	must(t, s.wait())
}
