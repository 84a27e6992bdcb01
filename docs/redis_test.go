// Package docs tests what the documents say.
package docs

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// The commands of redis.md are run, as they stand, against a fleet with one
// session that has a call stream and a standalone stream.
func TestRedisCommands(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t) // of its own: the commands look at the prefix mcp
	f := fleettest.Start(t, fleettest.Config{
		Redis:   &redis.Server,
		Server:  steppingServer,
		Options: func(o *fleet.Options) { o.Prefix = "mcp" },
	})
	c := fleettest.Initialized(t, f.URL)
	standalone := c.Get(t, "")
	defer standalone.Close()
	call := fleettest.NewStream(c.Post(t, fleettest.Request(5, "tools/call", `{"name":"step","arguments":{},"_meta":{"progressToken":1}}`)))
	defer call.Close()
	call.Message(t) // now it is a stream

	run := func(name string) string { return runBlock(t, name, "redis://"+redis.Addr(), c.Session) }
	for _, test := range []struct{ block, want string }{
		{"sessions", `(?m)^mcp:\{` + c.Session + `\}:session owner=$`},
		{"session", `(?s)^\n2025-11-25\n1\n\n[0-9]{5,}\n$`},
		{"streams", `(?m)^mcp:\{` + c.Session + `\}:stream:c\S+ [a-z2-7]{16} [a-z2-7]{16}/\w+ 2 $`},
		{"streams", `(?m)^mcp:\{` + c.Session + `\}:stream:g  [a-z2-7]{16}/\w+ 0 $`},
		{"instances", `(?s)^mcp:\{inst:[a-z2-7]{16}\}:inbox\nmcp:\{inst:[a-z2-7]{16}\}:inbox\n$`},
		{"monitor", `(?i)xread`},
		{"immortal", `^$`},
	} {
		if got := run(test.block); !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("%s printed\n%s\nwant a match of %s", test.block, got, test.want)
		}
	}
	c.Notify(t, "notifications/cancelled", `{"requestId":5}`)
	if got := run("bus"); !strings.Contains(got, "cancel") {
		t.Errorf("bus printed\n%s\nwant the cancellation", got)
	}
	if got := run("events"); got != "\n" && got != "" {
		t.Errorf("events printed %q, want none", got)
	}
}

// The tables of redis.md name a test in each row, and every script.
func TestEveryScriptSaysWhatALateRunDoes(t *testing.T) {
	t.Parallel()
	everyRowHasItsTest(t, "redis.md", 30)
	page, err := os.ReadFile("redis.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		name, isScript := strings.CutSuffix(filepath.Base(path), ".lua")
		if isScript && name != "not_after" && !strings.Contains(string(page), "\n| `"+name+"` | ") {
			t.Errorf("%s is not in the table", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The permissions in redis.md are enough, and the prefix is respected.
func TestRedisPermissionsSuffice(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	acl := block(t, "acl")
	admin := redis.Client(t)
	args := append([]string{"SETUSER", "fleet", "on", ">secret"}, strings.Fields(acl)...)
	if err := admin.Do(t.Context(), admin.B().Arbitrary("ACL").Args(args...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	f := fleettest.Start(t, fleettest.Config{
		Client: func() rueidis.Client {
			return redis.Client(t, func(o *rueidis.ClientOption) { o.Username, o.Password = "fleet", "secret" })
		},
		Server: steppingServer,
		Options: func(o *fleet.Options) {
			o.Prefix = "mcp"
			o.SessionsPerUser = 3
		},
	})
	c := fleettest.Initialized(t, f.URL)
	c.Call(t, "logging/setLevel", `{"level":"debug"}`)
	call := fleettest.NewStream(c.Post(t, fleettest.Request(5, "tools/call", `{"name":"step","arguments":{},"_meta":{"progressToken":1}}`)))
	call.Message(t)
	call.Close()
	resumed := c.Get(t, call.Last)
	if resumed.StatusCode != 200 {
		t.Errorf("resume: status %s", resumed.Status)
	}
	resumed.Close()
	c.Notify(t, "notifications/cancelled", `{"requestId":5}`)
	if status := c.Delete(t); status != 204 {
		t.Errorf("DELETE: status %d", status)
	}
	log, err := admin.Do(t.Context(), admin.B().Arbitrary("ACL", "LOG").Build()).ToArray()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range log {
		t.Errorf("Redis refused: %s", entry.String())
	}
}

// steppingServer has a tool that reports a step and goes on until it is stopped.
func steppingServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	step := func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: 1})
		if err != nil {
			return nil, nil, err
		}
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	mcp.AddTool(server, &mcp.Tool{Name: "step"}, step)
	return server
}

func runBlock(t *testing.T, name, url, session string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block(t, name))
	cmd.Env = append(os.Environ(), "REDIS_URL="+url, "SESSION="+session)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// block returns a named code block of redis.md.
func block(t *testing.T, name string) string {
	t.Helper()
	doc, err := os.ReadFile("redis.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(fmt.Sprintf("(?s)```(?:sh|text) %s\n(.*?)\n```", name)).FindSubmatch(doc)
	if m == nil {
		t.Fatalf("redis.md has no block %q", name)
	}
	return string(m[1])
}
