//go:build unix

package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	mcpfleet "github.com/mcpfleet/mcpfleet/mcp"
)

func TestGoClientUsesEveryFeature(t *testing.T) {
	t.Parallel()
	for name, era := range map[string]*mcp.ClientSessionOptions{
		"2025-11-25": fleettest.WithSessions,
		"2026-07-28": nil, // the newest it knows
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t, everything, 3)
			u := newUser(t, f)
			u.ClientSession = connect(t, u.client, &mcp.StreamableClientTransport{Endpoint: f.URL}, era)
			if got := u.InitializeResult().ProtocolVersion; got != name {
				t.Fatalf("the client speaks %s", got)
			}
			u.useEverything(t)
		})
	}
}

// A user is a go-sdk client with every capability, and with what came to it.
type user struct {
	*mcp.ClientSession
	client   *mcp.Client
	notifier *mcpfleet.Notifier

	logged   chan any
	progress chan float64
	updated  chan string
	changed  chan struct{}
	renewed  chan struct{} // the list of resources has changed
}

// newUser returns a user who is not connected yet. Its model asks for the
// weather if it can.
func newUser(t testing.TB, f *fleet) *user {
	u := &user{
		notifier: f.notifier(t),
		logged:   make(chan any, 100),
		progress: make(chan float64, 1000),
		updated:  make(chan string, 100),
		changed:  make(chan struct{}, 100),
		renewed:  make(chan struct{}, 100),
	}
	u.makeClient()
	return u
}

// makeClient makes the user's client, which answers what it is asked.
func (u *user) makeClient() {
	u.client = mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{
			RootsV2:     &mcp.RootCapabilities{ListChanged: true},
			Elicitation: &mcp.ElicitationCapabilities{Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{}},
		},
		CreateMessageWithToolsHandler: func(_ context.Context, req *mcp.CreateMessageWithToolsRequest) (*mcp.CreateMessageWithToolsResult, error) {
			return &mcp.CreateMessageWithToolsResult{Model: "e2e", Role: "assistant", Content: sample(req.Params)}, nil
		},
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			if req.Params.Mode == "url" {
				return &mcp.ElicitResult{Action: "accept"}, nil
			}
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada"}}, nil
		},
		LoggingMessageHandler: func(_ context.Context, req *mcp.LoggingMessageRequest) { u.logged <- req.Params.Data },
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			u.progress <- req.Params.Progress
		},
		ResourceUpdatedHandler:     func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) { u.updated <- req.Params.URI },
		ToolListChangedHandler:     func(context.Context, *mcp.ToolListChangedRequest) { u.changed <- struct{}{} },
		ResourceListChangedHandler: func(context.Context, *mcp.ResourceListChangedRequest) { u.renewed <- struct{}{} },
	})
	u.client.AddRoots(&mcp.Root{URI: "file:///desk", Name: "desk"})
}

// sample is what a user's model says: it asks for the weather in Oslo if it
// can, and repeats what it was told last.
func sample(p *mcp.CreateMessageWithToolsParams) []mcp.Content {
	last := p.Messages[len(p.Messages)-1].Content[0]
	switch last := last.(type) {
	case *mcp.ToolResultContent:
		return []mcp.Content{&mcp.TextContent{Text: "sampled " + last.Content[0].(*mcp.TextContent).Text}}
	case *mcp.TextContent:
		if len(p.Tools) == 0 {
			return []mcp.Content{&mcp.TextContent{Text: "sampled " + last.Text}}
		}
	}
	return []mcp.Content{&mcp.ToolUseContent{ID: "1", Name: "getWeather", Input: map[string]any{"city": "Oslo"}}}
}

// stateless reports whether the user's protocol has no sessions.
func (u *user) stateless() bool { return u.InitializeResult().ProtocolVersion >= "2026-07-28" }

// useEverything uses every feature of the demo once.
func (u *user) useEverything(t *testing.T) {
	for _, use := range []struct {
		feature string
		run     func(*testing.T)
	}{
		{"ping", u.usePing},
		{"instructions", u.useInstructions},
		{"app", u.useApp},
		{"tools", u.useTools},
		{"server requests", u.useServerRequests},
		{"resources", u.useResources},
		{"subscription", u.useSubscription},
		{"prompts", u.usePrompts},
		{"completion", u.useCompletion},
		{"log level", u.useLogLevel},
		{"progress", u.useProgress},
		{"cancellation", u.useCancellation},
		{"list changes", u.useSwitch},
		{"changes of resources", u.useResourceSwitch},
	} {
		if !t.Run(use.feature, use.run) {
			return // the rest would only wait
		}
	}
}

// A tool has its stream closed under it, and the client comes back for the rest
// to whatever process the balancer chooses.
func TestStreamClosedByTheServerResumesAnywhere(t *testing.T) {
	t.Parallel()
	f := startFleet(t, conformance, 3)
	cs := f.connect(t, nil, nil)
	for range 10 {
		res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "test_reconnection"})
		must(t, err)
		if !strings.HasPrefix(text(res), "Reconnection test completed successfully.") {
			t.Fatalf("the tool says %q", text(res))
		}
	}
}

// longOperation is a call of a tool that says how far it is, in steps.
func longOperation(seconds float64, steps int) *mcp.CallToolParams {
	params := &mcp.CallToolParams{
		Name:      "longRunningOperation",
		Arguments: map[string]any{"duration": seconds, "steps": steps},
	}
	params.SetProgressToken("steps")
	return params
}

// tools are the demo's, but for the one that is switched on and off.
func tools() []string {
	return []string{
		"add", "annotatedMessage", "echo", "elicitInputs", "elicitUrl", "getResourceLinks", "getResourceReference",
		"getTinyAudio", "getTinyImage", "getWeather", "guessNumber", "listRoots", "longRunningOperation", "mcp_apps_hello_world",
		"mcp_apps_server_time", "sampleLLM", "sampleWithTools", "toggleResource", "toggleTool",
	}
}

func (u *user) listTools(t *testing.T) (names []string) {
	t.Helper()
	for tool, err := range u.Tools(t.Context(), nil) {
		must(t, err)
		names = append(names, tool.Name)
	}
	return names
}

func (u *user) usePing(t *testing.T) {
	if !u.stateless() { // which has no pings
		must(t, u.Ping(t.Context(), nil))
	}
}

func (u *user) useInstructions(t *testing.T) {
	if got := u.InitializeResult().Instructions; !strings.Contains(got, "toggleResource") {
		t.Errorf("instructions %q", got)
	}
}

// useApp reads what a host needs to show the app.
func (u *user) useApp(t *testing.T) {
	const uri = "ui://hello-world/app.html"
	metas := map[string]mcp.Meta{}
	for tool, err := range u.Tools(t.Context(), nil) {
		must(t, err)
		metas[tool.Name] = tool.Meta
	}
	app := mcp.Meta{"ui": map[string]any{"resourceUri": uri}, "ui/resourceUri": uri}
	if diff := cmp.Diff(app, metas["mcp_apps_hello_world"]); diff != "" {
		t.Errorf("the tool that is shown with it (-want +got):\n%s", diff)
	}
	appOnly := mcp.Meta{"ui": map[string]any{"visibility": []any{"app"}}}
	if diff := cmp.Diff(appOnly, metas["mcp_apps_server_time"]); diff != "" {
		t.Errorf("the tool for the app alone (-want +got):\n%s", diff)
	}
	res, err := u.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
	must(t, err)
	ui, _ := res.Contents[0].Meta["ui"].(map[string]any)
	want := map[string]any{
		"csp":           map[string]any{"connectDomains": []any{}, "resourceDomains": []any{}},
		"prefersBorder": true,
	}
	if diff := cmp.Diff(want, ui); diff != "" {
		t.Errorf("the app (-want +got):\n%s", diff)
	}
}

func (u *user) useTools(t *testing.T) {
	if got := u.listTools(t); !slices.Equal(got, tools()) {
		t.Errorf("tools %v, want %v", got, tools())
	}
	for _, call := range []struct {
		tool string
		args map[string]any
		want string
	}{
		{"echo", map[string]any{"message": "hi"}, "Echo: hi"},
		{"add", map[string]any{"a": 1, "b": 2.5}, "The sum of 1 and 2.5 is 3.5."},
		{"getTinyImage", nil, "This is a tiny image:"},
		{"getTinyAudio", nil, "This is a tiny sound:"},
		{"annotatedMessage", map[string]any{"messageType": "error", "includeImage": true}, "Error: Operation failed"},
		{"getResourceReference", map[string]any{"resourceId": 3}, "Returning resource reference for Resource 3:"},
		{"getResourceLinks", map[string]any{"count": 2}, "Here are 2 of 100 resources:"},
		{"mcp_apps_hello_world", nil, "If this client supports MCP Apps, an interactive UI should have rendered for the user."},
	} {
		wantText(t, u.ClientSession, &mcp.CallToolParams{Name: call.tool, Arguments: call.args}, call.want)
	}
	res, err := u.CallTool(t.Context(), &mcp.CallToolParams{Name: "getWeather", Arguments: map[string]any{"city": "Oslo"}})
	must(t, err)
	if weather, _ := res.StructuredContent.(map[string]any); weather["country"] != "Norway" {
		t.Errorf("getWeather says %v", res.StructuredContent)
	}
	res, err = u.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo"})
	must(t, err)
	if !res.IsError {
		t.Errorf("echo without a message says %q", text(res))
	}
}

// useServerRequests calls the tools that ask the client; the answers, or from
// 2026-07-28 on the retry that has them, go to any process.
func (u *user) useServerRequests(t *testing.T) {
	for _, call := range []struct {
		tool, prompt string
		want         string // part of the result
	}{
		{"sampleLLM", "this", "LLM sampling result: sampled Resource sampleLLM context: this"},
		{"sampleWithTools", "Is it cold?", `"conditions":"Partly cloudy"`},
		{"elicitInputs", "", `"name": "Ada"`},
		{"elicitUrl", "", "The user agreed to open https://"},
		{"listRoots", "", "- desk: file:///desk"},
	} {
		args := map[string]any{}
		if call.prompt != "" {
			args["prompt"] = call.prompt
		}
		res, err := u.CallTool(t.Context(), &mcp.CallToolParams{Name: call.tool, Arguments: args})
		if err != nil {
			t.Errorf("%s: %v", call.tool, err)
		} else if got := text(res); !strings.Contains(got, call.want) {
			t.Errorf("%s says %q, want %q", call.tool, got, call.want)
		}
	}
}

func (u *user) useResources(t *testing.T) {
	first, err := u.ListResources(t.Context(), nil)
	must(t, err)
	if len(first.Resources) != 10 || first.NextCursor == "" {
		t.Errorf("the first page has %d resources, and the next is %q", len(first.Resources), first.NextCursor)
	}
	seen := map[string]bool{}
	for resource, err := range u.Resources(t.Context(), nil) {
		must(t, err)
		seen[resource.URI] = true
	}
	if len(seen) != 101 {
		t.Errorf("%d resources", len(seen))
	}
	for uri := range seen {
		if _, err := u.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri}); err != nil {
			t.Errorf("read %s: %v", uri, err)
		}
	}
	notFound := int64(-32002)
	if u.stateless() {
		notFound = jsonrpc.CodeInvalidParams
	}
	_, err = u.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "test://static/resource/101"})
	if wire, ok := errors.AsType[*jsonrpc.Error](err); !ok || wire.Code != notFound {
		t.Errorf("an unknown resource: %v", err)
	}
	templates, err := u.ListResourceTemplates(t.Context(), nil)
	must(t, err)
	if len(templates.ResourceTemplates) != 1 {
		t.Errorf("templates %v", templates.ResourceTemplates)
	}
}

func (u *user) useSubscription(t *testing.T) {
	const uri = "test://static/resource/1"
	must(t, u.Subscribe(t.Context(), &mcp.SubscribeParams{URI: uri}))
	must(t, u.notifier.ResourceUpdated(t.Context(), "test://static/resource/2")) // which is nobody's business
	must(t, u.notifier.ResourceUpdated(t.Context(), uri))
	if got := receive(t, u.updated); got != uri {
		t.Errorf("an update of %s", got)
	}
	must(t, u.Unsubscribe(t.Context(), &mcp.UnsubscribeParams{URI: uri}))
}

func (u *user) usePrompts(t *testing.T) {
	list, err := u.ListPrompts(t.Context(), nil)
	must(t, err)
	if len(list.Prompts) != 4 {
		t.Errorf("prompts %v", list.Prompts)
	}
	prompt, err := u.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "complex_prompt", Arguments: map[string]string{"temperature": "0.5"}})
	must(t, err)
	if len(prompt.Messages) != 3 {
		t.Errorf("complex_prompt has %d messages", len(prompt.Messages))
	}
}

func (u *user) useCompletion(t *testing.T) {
	for _, test := range []struct {
		prompt, argument, value string
		chosen                  map[string]string
		want                    []string
	}{
		{"complex_prompt", "style", "f", nil, []string{"formal", "friendly"}},
		{"weather_prompt", "city", "", map[string]string{"country": "Peru"}, []string{"Arequipa", "Lima"}},
	} {
		completion, err := u.Complete(t.Context(), &mcp.CompleteParams{
			Ref:      &mcp.CompleteReference{Type: "ref/prompt", Name: test.prompt},
			Argument: mcp.CompleteParamsArgument{Name: test.argument, Value: test.value},
			Context:  &mcp.CompleteContext{Arguments: test.chosen},
		})
		must(t, err)
		if got := completion.Completion.Values; !slices.Equal(got, test.want) {
			t.Errorf("completions of %s: %v, want %v", test.argument, got, test.want)
		}
	}
}

func (u *user) useLogLevel(t *testing.T) {
	if u.stateless() {
		return // each request names its own level, and no tool logs
	}
	must(t, u.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "debug"}))
	for {
		got, _ := receive(t, u.logged).(string)
		if got == "Logging level set to: debug" {
			return
		}
		t.Logf("log says %q", got) // one of the timed ones
	}
}

func (u *user) useProgress(t *testing.T) {
	wantText(t, u.ClientSession, longOperation(0.5, 5), "Long running operation completed. Duration: 0.5 seconds, Steps: 5.")
	for want := 1.0; want <= 5; want++ {
		if got := receive(t, u.progress); got != want {
			t.Errorf("progress %v, want %v", got, want)
		}
	}
}

func (u *user) useCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-u.progress:
			cancel()
		case <-ctx.Done():
		}
	}()
	if _, err := u.CallTool(ctx, longOperation(60, 600)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
}

// useSwitch lists the tools as soon as it hears that they have changed.
func (u *user) useSwitch(t *testing.T) {
	toggle := func(on bool, want string) {
		t.Helper()
		wantText(t, u.ClientSession, &mcp.CallToolParams{Name: "toggleTool", Arguments: map[string]any{"on": on}}, want)
	}
	toggle(true, "secretHandshake is on.")
	receive(t, u.changed)
	if got := u.listTools(t); !slices.Contains(got, "secretHandshake") {
		t.Errorf("after it was switched on the tools are %v", got)
	}
	wantText(t, u.ClientSession, &mcp.CallToolParams{Name: "secretHandshake"},
		"Two shakes, a snap, and a knock on wood. Welcome aboard.")
	toggle(false, "secretHandshake is off.")
	receive(t, u.changed)
	until(t, "the tool is gone", func() bool { return slices.Equal(u.listTools(t), tools()) })
}

// useResourceSwitch lists the resources as soon as it hears that one was made.
func (u *user) useResourceSwitch(t *testing.T) {
	const uri = "test://dynamic/resource/notice"
	listed := func() bool {
		for resource, err := range u.Resources(t.Context(), nil) {
			must(t, err)
			if resource.URI == uri {
				return true
			}
		}
		return false
	}
	if listed() {
		t.Error("it is listed at first")
	}
	wantText(t, u.ClientSession, &mcp.CallToolParams{Name: "toggleResource", Arguments: map[string]any{"on": true}}, uri+" is on.")
	receive(t, u.renewed)
	if !listed() {
		t.Error("it is not listed after the news")
	}
	res, err := u.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
	must(t, err)
	if got := res.Contents[0].Text; got != "This resource was made while the server runs." {
		t.Errorf("it says %q", got)
	}
	wantText(t, u.ClientSession, &mcp.CallToolParams{Name: "toggleResource", Arguments: map[string]any{"on": false}}, uri+" is off.")
	receive(t, u.renewed)
	until(t, "the resource is gone", func() bool { return !listed() })
}

func wantText(t *testing.T, cs *mcp.ClientSession, params *mcp.CallToolParams, want string) {
	t.Helper()
	res, err := cs.CallTool(t.Context(), params)
	if err != nil {
		t.Errorf("%s: %v", params.Name, err)
	} else if got := text(res); got != want {
		t.Errorf("%s says %q, want %q", params.Name, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
