package everything_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

func TestHelloWorldReturnsWhatTheAppShows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1500 * time.Millisecond) // bubbles begin at 2000-01-01
		cs := connect(t, everything.New(nil), v2025, nil)
		res := call(t, cs, "mcp_apps_hello_world", nil)
		wantText(t, res, "If this client supports MCP Apps, an interactive UI should have rendered for the user.")
		wantJSON(t, res.Meta, `{"exampleKey": "exampleValue", "processed": true}`)

		content := res.StructuredContent.(map[string]any)
		stats := content["stats"].(map[string]any)
		if n := stats["requestCount"].(float64); n < 0 || n >= 1000 || n != float64(int(n)) {
			t.Errorf("requestCount is %v, want an integer from 0 to 999", n)
		}
		stats["requestCount"] = "a number"
		if features := content["features"].([]any); len(features) != 3 {
			t.Errorf("got %d features, want 3", len(features))
		}
		content["features"] = "three texts"
		wantJSON(t, content, `{
			"greeting": "Hello from MCP Apps!",
			"timestamp": "2000-01-01T00:00:01.500Z",
			"features": "three texts",
			"stats": {"version": "1.0.0", "requestCount": "a number"}
		}`)
	})
}

func TestAppIsAResourceOfTheAppType(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		res, err := connect(nil).ReadResource(t.Context(), &mcp.ReadResourceParams{URI: appURI})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Contents) != 1 {
			t.Fatalf("got %d contents, want 1", len(res.Contents))
		}
		got := res.Contents[0]
		if got.URI != appURI || got.MIMEType != "text/html;profile=mcp-app" || got.Blob != nil {
			t.Errorf("got %s as %s", got.URI, got.MIMEType)
		}
		wantJSON(t, got.Meta, appMeta)
		if !strings.HasPrefix(got.Text, "<!doctype html>") || !strings.HasSuffix(got.Text, "</html>\n") {
			t.Error("the app is not one whole document")
		}
	})
}

func TestTheAppAsksForTheTimeByAToolOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, version := range []string{v2025, v2026} {
			wantText(t, call(t, connect(t, everything.New(nil), version, nil), "mcp_apps_server_time", nil), "2000-01-01T00:00:00.000Z")
		}
	})
}

// Hosts show apps under a policy that lets them load nothing.
func TestAppLoadsNothing(t *testing.T) {
	t.Parallel()
	html := readAppFile(t)
	for _, forbidden := range []string{
		`https?:`, `\bsrc\s*=`, `\bhref\s*=`, `\burl\(`, `@import`, `\bfetch\b`, `XMLHttpRequest`, `WebSocket`,
		`\beval\b`, `\bFunction\(`, `innerHTML`, `insertAdjacentHTML`, `document\.write`, `localStorage`,
		`\son[a-z]+\s*=\s*"`, `<iframe`, `<form`,
	} {
		if match := regexp.MustCompile(forbidden).FindString(html); match != "" {
			t.Errorf("the app contains %q", match)
		}
	}
}

func TestAppIsAccessible(t *testing.T) {
	t.Parallel()
	html := readAppFile(t)
	for _, wanted := range []string{
		`<html lang="en">`, `<title>`, `<main>`, `<h1`, `<label for="message">`, `id="message"`,
		`role="status"`, `name="viewport"`, `:focus-visible`, `color-scheme: light dark`,
	} {
		if !strings.Contains(html, wanted) {
			t.Errorf("the app lacks %s", wanted)
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`\bid="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		if ids[m[1]] {
			t.Errorf("two elements have the id %q", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?:aria-labelledby|for)="([^"]+)"|element\("([^"]+)"\)`).FindAllStringSubmatch(html, -1) {
		if id := m[1] + m[2]; !ids[id] {
			t.Errorf("nothing has the id %q", id)
		}
	}
}

// The app's script runs in Node against a host and a document made for the test.
func TestAppSpeaksWithItsHost(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("node is not installed")
	}
	out, err := exec.CommandContext(t.Context(), node, "--test", "testdata/app.test.mjs").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func readAppFile(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("app.html")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
