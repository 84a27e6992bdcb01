package everything_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

func TestServerIntroducesItself(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		res := connect(nil).InitializeResult()
		if !strings.HasPrefix(res.Instructions, "This server demonstrates every feature of MCP.\n") {
			t.Errorf("instructions %q", res.Instructions)
		}
		wantIcons(t, "server", res.ServerInfo.Icons)
		wantJSON(t, without(t, []any{res.ServerInfo}, "icons"), `[
			{"name": "example-servers/feature-reference", "title": "Everything", "version": "1.0.0"}
		]`)
		wantJSON(t, res.Capabilities, `{
			"completions": {}, "logging": {}, "prompts": {}, "resources": {"listChanged": true, "subscribe": true},
			"tools": {"listChanged": true}
		}`)
	})
}

func TestOptionsSetVersionAndLogger(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	opts := &everything.Options{Version: "2.3.4", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	t.Run("session", func(t *testing.T) {
		cs := connect(t, everything.New(opts), v2025, nil)
		if got := cs.InitializeResult().ServerInfo.Version; got != "2.3.4" {
			t.Errorf("version is %q, want 2.3.4", got)
		}
	})
	if !strings.Contains(log.String(), "session") {
		t.Errorf("log is %q, want it to tell of the session", log.String())
	}
}

func TestToolsAreListedWithTheirSchemas(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/tools.json")
	if err != nil {
		t.Fatal(err)
	}
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		res, err := connect(nil).ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.NextCursor != "" {
			t.Error("the tools do not fit on one page")
		}
		wantJSON(t, without(t, res.Tools, "title", "annotations", "icons"), string(want))
	})
}

func TestUnknownToolIsAProtocolError(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		_, err := connect(nil).CallTool(t.Context(), &mcp.CallToolParams{Name: "Echo"})
		wantRPCError(t, err, -32602, `unknown tool "Echo"`)
	})
}

// Two servers must not share anything a call on one could change on the other.
func TestServersAreIndependent(t *testing.T) {
	t.Parallel()
	first, second := everything.New(nil), everything.New(nil)
	first.RemoveTools("echo")
	first.RemoveResources("test://static/resource/1")
	wantText(t, call(t, connect(t, second, v2025, nil), "echo", map[string]any{"message": "hi"}), "Echo: hi")
	if uris := listPages(t, connect(t, second, v2025, nil))[0]; uris[0] != "test://static/resource/1" {
		t.Errorf("first resource of the second server is %s", uris[0])
	}
}

// Many sessions on one server, with and without requests of the server, each with
// several calls at once. The race detector checks the rest; no client may get the
// response of another.
func TestManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	server, fleet := everything.New(nil), startFleet(t)
	var wg sync.WaitGroup
	for i := range 8 {
		var cs *mcp.ClientSession
		if i%2 == 0 {
			cs = connect(t, server, v2025, respondingClient())
		} else {
			cs = fleet.ConnectStateless(t, respondingClient())
		}
		for j := range 4 {
			wg.Go(func() {
				message := fmt.Sprintf("session %d call %d", i, j)
				got, err := useEverything(t, cs, message)
				if err != nil {
					t.Errorf("%s: %v", message, err)
				}
				want := []string{
					"Echo: " + message,
					"LLM sampling result: sampled: Resource sampleLLM context: " + message,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", message, diff)
				}
			})
		}
	}
	wg.Wait()
}

// useEverything uses each feature once and returns the texts that depend on message.
func useEverything(t *testing.T, cs *mcp.ClientSession, message string) ([]string, error) {
	var texts []string
	calls := []mcp.CallToolParams{
		{Name: "echo", Arguments: map[string]any{"message": message}},
		{Name: "sampleLLM", Arguments: map[string]any{"prompt": message}},
		{Name: "elicitInputs"},
		{Name: "add", Arguments: map[string]any{"a": 1, "b": 2}},
		{Name: "getTinyImage"},
		{Name: "annotatedMessage", Arguments: map[string]any{"messageType": "error", "includeImage": true}},
		{Name: "getResourceReference", Arguments: map[string]any{"resourceId": 2}},
		{Name: "longRunningOperation", Arguments: map[string]any{"duration": 0}},
		{Name: "mcp_apps_hello_world"},
		{Name: "getWeather", Arguments: map[string]any{"city": "Oslo"}},
		{Name: "getTinyAudio"},
		{Name: "getResourceLinks"},
		{Name: "listRoots"},
		{Name: "toggleTool", Arguments: map[string]any{"on": true}},
		{Name: "secretHandshake"},
	}
	for _, params := range calls {
		res, err := cs.CallTool(t.Context(), &params)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", params.Name, err)
		}
		if slices.Contains([]string{"echo", "sampleLLM"}, params.Name) {
			texts = append(texts, res.Content[0].(*mcp.TextContent).Text)
		}
	}
	if _, err := cs.ListResources(t.Context(), nil); err != nil {
		return nil, err
	}
	if _, err := cs.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "test://static/resource/7"}); err != nil {
		return nil, err
	}
	_, err := cs.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "simple_prompt"})
	return texts, err
}
