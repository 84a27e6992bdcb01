//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A migrated is a server as one writes it for the SDK's own handler: it knows nothing
// of other instances, nor of protocols without sessions.
type migrated struct {
	*mcp.Server
	// outside gets the error of what is sent after a call's end.
	outside chan error

	mu   sync.Mutex          // guards kept
	kept map[string][]string // what was remembered, by session
}

const migratedURI = "file:///migrated"

func newMigrated() *migrated {
	m := &migrated{outside: make(chan error, 10), kept: map[string][]string{}}
	m.Server = mcp.NewServer(&mcp.Implementation{Name: "migrated", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	m.AddResource(&mcp.Resource{URI: migratedURI, Name: "migrated"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: migratedURI, Text: "read"}}}, nil
	})
	mcp.AddTool(m.Server, &mcp.Tool{Name: "typed"}, func(_ context.Context, _ *mcp.CallToolRequest, in sumArgs) (*mcp.CallToolResult, sum, error) {
		return nil, sum{in.A + in.B}, nil
	})
	err := mcp.AddReceivingCustomMethod(m.Server, "acme/word", func(_ context.Context, _ *mcp.ServerSession, p *wordParams) (*wordResult, error) {
		return &wordResult{Word: p.Word + "!"}, nil
	})
	if err != nil {
		panic(err) // a mistake in the test
	}
	for name, tool := range map[string]func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error){
		"plain":        says(func(context.Context, *mcp.ServerSession) (string, error) { return "plain", nil }),
		"progress":     reportsProgress,
		"log":          says(logs),
		"elicit form":  says(elicitsForm),
		"elicit URL":   says(elicitsURL),
		"sample":       says(samples),
		"sample tools": says(samplesWithTools),
		"roots":        says(listsRoots),
		"ping":         says(pings),
		"returns":      returnsInputRequests,
		"sheds":        shedsOnce,
		"links":        linksAndEmbeds,
		"long":         says(takesLong),
		"panics":       says(func(context.Context, *mcp.ServerSession) (string, error) { panic("a tool") }),
		"outside":      says(m.speaksOutside),
		"adds a tool":  says(m.addsTool),
		"updates":      says(m.updates),
		"remembers":    m.remembers,
	} {
		m.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, tool)
	}
	return m
}

// says makes a tool of what needs nothing but its session.
func says(f func(context.Context, *mcp.ServerSession) (string, error)) mcp.ToolHandler {
	return func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		said, err := f(ctx, req.Session)
		if err != nil {
			return nil, err
		}
		return textResult(said), nil
	}
}

func textResult(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

type sumArgs struct {
	A int `json:"a"`
	B int `json:"b"`
}

type sum struct {
	Sum int `json:"sum"`
}

// wordParams and wordResult are those of the method acme/word.
type wordParams struct {
	mcp.ParamsBase
	Word string `json:"word"`
}

type wordResult struct {
	mcp.ResultBase
	Word string `json:"word"`
}

func reportsProgress(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for i := range 3 {
		err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i + 1)})
		if err != nil {
			return nil, err
		}
	}
	return textResult("done"), nil
}

func logs(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	return "logged", ss.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: "a line"})
}

func elicitsForm(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	res, err := ss.Elicit(ctx, nameForm())
	if err != nil {
		return "", err
	}
	return fmt.Sprint(res.Action, " ", res.Content["name"]), nil
}

func nameForm() *mcp.ElicitParams {
	return &mcp.ElicitParams{Message: "Your name?", RequestedSchema: json.RawMessage(
		`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`)}
}

func elicitsURL(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	res, err := ss.Elicit(ctx, &mcp.ElicitParams{Mode: "url", Message: "Open it", URL: "https://example.com/", ElicitationID: "1"})
	if err != nil {
		return "", err
	}
	return res.Action, ss.NotifyElicitationComplete(ctx, &mcp.ElicitationCompleteParams{ElicitationID: "1"})
}

func samples(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	res, err := ss.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 10, Messages: []*mcp.SamplingMessage{
		{Role: "user", Content: &mcp.TextContent{Text: "this"}},
	}})
	if err != nil {
		return "", err
	}
	return res.Content.(*mcp.TextContent).Text, nil
}

func samplesWithTools(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	res, err := ss.CreateMessageWithTools(ctx, &mcp.CreateMessageWithToolsParams{
		MaxTokens: 10,
		Messages:  []*mcp.SamplingMessageV2{{Role: "user", Content: []mcp.Content{&mcp.TextContent{Text: "this"}}}},
		Tools:     []*mcp.Tool{{Name: "getWeather", InputSchema: json.RawMessage(`{"type":"object"}`)}},
	})
	if err != nil {
		return "", err
	}
	return "use " + res.Content[0].(*mcp.ToolUseContent).Name, nil
}

func listsRoots(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	res, err := ss.ListRoots(ctx, nil)
	if err != nil {
		return "", err
	}
	return res.Roots[0].URI, nil
}

func pings(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	return "pinged", ss.Ping(ctx, nil)
}

// returnsInputRequests is how a server written for 2026-07-28 asks.
func returnsInputRequests(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	answer, ok := req.Params.InputResponses["who"].(*mcp.ElicitResult)
	if !ok {
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"who": nameForm()}, RequestState: "mine"}, nil
	}
	return textResult(fmt.Sprint(req.Params.RequestState, " ", answer.Content["name"])), nil
}

// shedsOnce has its client come back later.
func shedsOnce(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if req.Params.RequestState == "" {
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{}, RequestState: "later"}, nil
	}
	return textResult("served"), nil
}

func linksAndEmbeds(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return &mcp.CallToolResult{Content: []mcp.Content{
		&mcp.TextContent{Text: "two"},
		&mcp.ResourceLink{URI: migratedURI, Name: "migrated"},
		&mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: migratedURI, Text: "embedded"}},
	}}, nil
}

func takesLong(ctx context.Context, _ *mcp.ServerSession) (string, error) {
	select {
	case <-time.After(2 * time.Second):
		return "at last", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// speaksOutside logs something after the call's end.
func (m *migrated) speaksOutside(ctx context.Context, ss *mcp.ServerSession) (string, error) {
	go func() {
		<-ctx.Done() // the call has ended
		m.outside <- ss.NotifyProgress(context.WithoutCancel(ctx), &mcp.ProgressNotificationParams{ProgressToken: "x", Progress: 1})
	}()
	return "soon", nil
}

// addsTool changes the list of tools while clients use it.
func (m *migrated) addsTool(context.Context, *mcp.ServerSession) (string, error) {
	m.AddTool(&mcp.Tool{Name: "added", InputSchema: json.RawMessage(`{"type":"object"}`)},
		says(func(context.Context, *mcp.ServerSession) (string, error) { return "added", nil }))
	return "added", nil
}

func (m *migrated) updates(ctx context.Context, _ *mcp.ServerSession) (string, error) {
	return "updated", m.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: migratedURI})
}

// remembers keeps what its argument says with the session, and says all that is kept
// with it.
func (m *migrated) remembers(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	var in struct{ What string }
	if err := json.Unmarshal(req.Params.Arguments, &in); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := req.Session.ID()
	if !slices.Contains(m.kept[id], in.What) {
		m.kept[id] = append(m.kept[id], in.What)
	}
	return textResult(strings.Join(m.kept[id], " ")), nil
}
