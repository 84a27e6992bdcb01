package everything_test

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

func TestToolsHaveTitlesHintsAndIcons(t *testing.T) {
	t.Parallel()
	const (
		lookup  = `{"readOnlyHint": true, "idempotentHint": false, "openWorldHint": false}`
		inquiry = `{"readOnlyHint": true, "idempotentHint": false, "openWorldHint": true}`
		game    = `{"readOnlyHint": false, "idempotentHint": false, "destructiveHint": false, "openWorldHint": true}`
		setting = `{"readOnlyHint": false, "idempotentHint": true, "destructiveHint": false, "openWorldHint": false}`
	)
	want := map[string]struct{ title, hints string }{
		"add":                  {"Add Numbers", lookup},
		"annotatedMessage":     {"Annotated Message", lookup},
		"echo":                 {"Echo", lookup},
		"elicitInputs":         {"Elicit Inputs", inquiry},
		"elicitUrl":            {"Elicit by URL", inquiry},
		"getResourceLinks":     {"Resource Links", lookup},
		"getResourceReference": {"Resource Reference", lookup},
		"getTinyAudio":         {"Tiny Audio", lookup},
		"getTinyImage":         {"Tiny Image", lookup},
		"getWeather":           {"Weather", lookup},
		"guessNumber":          {"Guess a Number", game},
		"listRoots":            {"List Roots", inquiry},
		"longRunningOperation": {"Long Running Operation", lookup},
		"mcp_apps_hello_world": {"Hello World App", lookup},
		"mcp_apps_server_time": {"Server Time", lookup},
		"sampleLLM":            {"Sample an LLM", inquiry},
		"sampleWithTools":      {"Sample with Tools", inquiry},
		"secretHandshake":      {"Secret Handshake", lookup},
		"toggleResource":       {"Toggle Resource", setting},
		"toggleTool":           {"Toggle Tool", setting},
	}
	for _, version := range []string{v2025, v2026} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			cs := connect(t, everything.New(&everything.Options{Switch: stuck{on: true}}), version, nil)
			list, err := cs.ListTools(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Tools) != len(want) {
				t.Errorf("%d tools, want %d", len(list.Tools), len(want))
			}
			for _, tool := range list.Tools {
				wantIcons(t, tool.Name, tool.Icons)
				if tool.Title != want[tool.Name].title {
					t.Errorf("the title of %s is %q, want %q", tool.Name, tool.Title, want[tool.Name].title)
				}
				if want[tool.Name].hints != "" {
					wantJSON(t, tool.Annotations, want[tool.Name].hints)
				}
			}
		})
	}
}

// wantIcons checks that icons are images that are there already, and harmless.
func wantIcons(t *testing.T, of string, icons []mcp.Icon) {
	t.Helper()
	if len(icons) != 1 {
		t.Errorf("%s has %d icons, want 1", of, len(icons))
		return
	}
	data, ok := strings.CutPrefix(icons[0].Source, "data:image/svg+xml;base64,")
	if !ok || icons[0].MIMEType != "image/svg+xml" || !cmp.Equal(icons[0].Sizes, []string{"any"}) {
		t.Errorf("the icon of %s is %+v", of, icons[0])
	}
	svg, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Fatalf("the icon of %s: %v", of, err)
	}
	var elements []string
	for decoder := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the icon of %s: %v in %s", of, err, svg)
		}
		if start, ok := token.(xml.StartElement); ok {
			elements = append(elements, start.Name.Local)
		}
	}
	if diff := cmp.Diff([]string{"svg", "path"}, elements); diff != "" {
		t.Errorf("the icon of %s (-want +got):\n%s", of, diff)
	}
	if len(icons[0].Source) > 300 {
		t.Errorf("the icon of %s is %d bytes long", of, len(icons[0].Source))
	}
}

// Clients compare lists, and models cache them.
func TestListsAreInTheSameOrderEveryTime(t *testing.T) {
	t.Parallel()
	list := func(cs *mcp.ClientSession) string {
		tools, err := cs.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		prompts, err := cs.ListPrompts(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(encode(t, []any{tools.Tools, prompts.Prompts}))
	}
	for _, version := range []string{v2025, v2026} {
		server := everything.New(nil)
		want := list(connect(t, server, version, nil))
		for range 10 {
			call(t, connect(t, server, version, nil), "toggleTool", map[string]any{"on": false})
			if diff := cmp.Diff(want, list(connect(t, server, version, nil))); diff != "" {
				t.Fatalf("%s, again (-want +got):\n%s", version, diff)
			}
		}
		if diff := cmp.Diff(want, list(connect(t, everything.New(nil), version, nil))); diff != "" {
			t.Errorf("%s, on another server (-want +got):\n%s", version, diff)
		}
	}
}
