package sdkcompat

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An answering connection answers what it is asked.
type answering struct{ reads chan jsonrpc.Message }

func (c *answering) Connect(context.Context) (mcp.Connection, error) { return c, nil }
func (c *answering) Close() error                                    { return nil }
func (c *answering) SessionID() string                               { return "the session" }
func (c *answering) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case m := <-c.reads:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
func (c *answering) Write(_ context.Context, m jsonrpc.Message) error {
	if r, ok := m.(*jsonrpc.Request); ok && r.IsCall() {
		c.reads <- &jsonrpc.Response{ID: r.ID, Result: json.RawMessage(`{"action":"accept","roots":[],"role":"user","model":"m","content":{"type":"text","text":"x"}}`)}
	}
	return nil
}

func TestHandlersMayAskOrReturnInputRequests(t *testing.T) {
	t.Parallel()
	server := mcp.NewServer(&mcp.Implementation{Name: "s", Version: "1"}, nil)
	ask := func(ctx context.Context, ss *mcp.ServerSession) (string, error) {
		r, err := ss.Elicit(ctx, &mcp.ElicitParams{Message: "m"})
		if err != nil {
			return "", err
		}
		if _, err := ss.ListRoots(ctx, nil); err != nil {
			return "", err
		}
		_, err = ss.CreateMessage(ctx, &mcp.CreateMessageParams{})
		return r.Action + " in " + ss.ID(), err
	}
	inputs := mcp.InputRequestMap{"mine": &mcp.ElicitParams{Message: "m"}}
	tool := func(name string, h mcp.ToolHandler) {
		server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, h)
	}
	tool("asks", func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		text, err := ask(ctx, req.Session)
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, err
	})
	tool("returns", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{InputRequests: inputs, RequestState: "state"}, nil
	})
	tool("sheds", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{}}, nil
	})
	server.AddPrompt(&mcp.Prompt{Name: "asks"}, func(ctx context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		text, err := ask(ctx, req.Session)
		return &mcp.GetPromptResult{Description: text, Messages: []*mcp.PromptMessage{}}, err
	})
	server.AddPrompt(&mcp.Prompt{Name: "returns"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{InputRequests: inputs, RequestState: "state", Messages: []*mcp.PromptMessage{}}, nil
	})
	server.AddResource(&mcp.Resource{URI: "a:asks", Name: "asks"}, func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		text, err := ask(ctx, req.Session)
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "a:asks", Text: text}}}, err
	})
	server.AddResource(&mcp.Resource{URI: "a:returns", Name: "returns"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{InputRequests: inputs, RequestState: "state", Contents: []*mcp.ResourceContents{}}, nil
	})
	conn := &answering{make(chan jsonrpc.Message, 9)}
	session, err := server.Connect(t.Context(), conn, &mcp.ServerSessionOptions{State: SessionState(&mcp.InitializeParams{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{}},
	}, "2025-11-25")})
	if err != nil {
		t.Fatal(err)
	}
	rounds := NewRounds(true)
	for _, test := range []struct {
		method, name string
		request      func(s *mcp.ServerSession, name string) mcp.Request
		want         string
	}{
		{"tools/call", "asks", callTool, `{"content":[{"type":"text","text":"accept in the session"}],"resultType":"complete"}`},
		{"tools/call", "returns", callTool, `{"content":[],"requestState":"state","resultType":"input_required","inputRequests":{"mine":{"method":"elicitation/create","params":{"mode":"form","message":"m"}}}}`},
		{"tools/call", "sheds", callTool, `{"content":[],"resultType":"input_required","inputRequests":{}}`},
		{"prompts/get", "asks", getPrompt, `{"description":"accept in the session","messages":[],"resultType":"complete"}`},
		{"prompts/get", "returns", getPrompt, `{"messages":[],"requestState":"state","resultType":"input_required","inputRequests":{"mine":{"method":"elicitation/create","params":{"mode":"form","message":"m"}}}}`},
		{"resources/read", "a:asks", readResource, `{"ttlMs":0,"cacheScope":"public","contents":[{"uri":"a:asks","text":"accept in the session"}],"resultType":"complete"}`},
		{"resources/read", "a:returns", readResource, `{"ttlMs":0,"cacheScope":"public","contents":[],"requestState":"state","resultType":"input_required","inputRequests":{"mine":{"method":"elicitation/create","params":{"mode":"form","message":"m"}}}}`},
	} {
		t.Run(test.method+" "+test.name, func(t *testing.T) {
			lent, free, err := rounds.Lend(test.method, test.name, session, conn)
			if err != nil {
				t.Fatal(err)
			}
			res, err := Handler(server)(t.Context(), test.method, test.request(lent, test.name))
			free()
			got, _ := json.Marshal(res)
			if string(got) != test.want {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func callTool(s *mcp.ServerSession, name string) mcp.Request {
	return &mcp.CallToolRequest{Session: s, Params: &mcp.CallToolParamsRaw{Name: name}}
}
func getPrompt(s *mcp.ServerSession, name string) mcp.Request {
	return &mcp.GetPromptRequest{Session: s, Params: &mcp.GetPromptParams{Name: name}}
}
func readResource(s *mcp.ServerSession, name string) mcp.Request {
	return &mcp.ReadResourceRequest{Session: s, Params: &mcp.ReadResourceParams{URI: name}}
}
