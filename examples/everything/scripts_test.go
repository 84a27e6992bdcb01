package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/testing/demotest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// runScript runs a script of examples/scripts with what else is in its
// environment, and returns what it printed. Tools are the programs that it needs.
func runScript(t *testing.T, name string, tools, env []string, args ...string) string {
	t.Helper()
	needTools(t, append(tools, "bash", "curl", "sed")...)
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{filepath.Join("..", "scripts", name)}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// needTools skips the test if one of the programs is missing, or fails it if
// REQUIRE_ALL is 1.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REQUIRE_ALL") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func TestTheScriptLogsIn(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t, "AUTH_MODE=internal")
	out := runScript(t, "oauth.sh", []string{"openssl"}, nil, atLocalhost(p.URL), "alice")
	if strings.Count(out, `"Echo: hello"`) != 2 {
		t.Error(out)
	}
}

func TestTheScriptHoldsAConversation(t *testing.T) {
	t.Parallel()
	p := demotest.Start(t)
	wantInOrder(t, runScript(t, "streamable-http.sh", nil, nil, atLocalhost(p.URL)), conversation...)
}

// conversation is what each step of the conversation leads to.
var conversation = []string{
	"== 1.", "Mcp-Session-Id: ", "<-- 202",
	"== 2.", `"Echo: hello"`,
	"== 3.", `"progress":2`,
	"== 4.", `"progress":3`, `"progress":4`, "Long running operation completed",
	"== 5.", "elicitation/create", "<-- 202", "Elicitation result",
	"== 6.", "notifications/tools/list_changed", "notifications/resources/updated",
	"== 7.", "<-- 204", "<-- 404",
	"== 8.", `Echo: hello"`,
}

func TestTheScriptShowsWhatLiesInRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	address := "REDIS_URL=redis://" + redis.Addr()
	p := demotest.Start(t, address, "REDIS_PREFIX=here")
	out := runScript(t, "debug-mcp-flow.sh", []string{"redis-cli", "awk", "comm"}, []string{address, "REDIS_PREFIX=here"}, atLocalhost(p.URL))
	wantInOrder(t, out, conversation...)
	// The keys of a step are sorted, and ids are random: within a step there is no order.
	steps := strings.Split(out, "== ")
	if len(steps) < 9 {
		t.Fatalf("%d steps:\n%s", len(steps)-1, out)
	}
	for step, wanted := range map[int][]string{
		1: {"}:session  initialized = 1", "+ here:{bus}  ", "p 0-0 v 1 k hello"},
		3: {"}:log:c", `"progress":2`, "}:stream:c"},
		4: {"+ here:", "ended = 1"},
		5: {`"elicitation/create"`, "writer = ", "ended = 1"},
		6: {"}:log:g", "}:subs  test://static/resource/1", "k changed l tools"},
		7: {"- here:", "}:session  version = 2025-11-25", "k end s "},
	} {
		for _, part := range wanted {
			if !strings.Contains(steps[step], part) {
				t.Errorf("step %d has no %q:\n%s", step, part, steps[step])
			}
		}
	}
	if strings.Contains(steps[2], " here:") {
		t.Errorf("a plain call left something:\n%s", steps[2])
	}
}

// wantInOrder fails unless the parts are in text, one after the other.
func wantInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Fatalf("there is no %q where it should be:\n%s", part, text)
		}
		rest = after
	}
}
