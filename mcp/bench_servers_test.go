package mcp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// benchHandler returns the handler of a server process:
//
//   - fleet: ours
//   - sdk: the SDK's as it comes, sessions in memory
//   - sdk-stateless: the SDK's without sessions
//   - sdk-events: the SDK's with streams that can be resumed, in memory
//   - session: one SDK session that lives on, behind the least HTTP that feeds it
//   - http: a response without MCP
//   - stream: an SSE response without MCP, which stays open
func benchHandler(kind string) (http.Handler, error) {
	server := benchMCPServer()
	get := func(*http.Request) *mcp.Server { return server }
	switch kind {
	case "fleet":
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{os.Getenv("BENCH_REDIS")}})
		if err != nil {
			return nil, err
		}
		return fleet.NewHandler(get, &fleet.Options{Redis: countingClient{client}, Prefix: "bench"})
	case "sdk":
		return mcp.NewStreamableHTTPHandler(get, nil), nil
	case "sdk-stateless":
		return mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true}), nil
	case "sdk-events":
		return mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)}), nil
	case "session":
		return newLastingSession(server)
	case "http":
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Echo: sixteen bytes..."}]}}`)
		}), nil
	case "stream":
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), nil
	default:
		return nil, fmt.Errorf("unknown kind of server %q", kind)
	}
}

// benchMCPServer has a tool for each thing that is measured, and 50 in all.
func benchMCPServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "bench", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	type message struct {
		Message string `json:"message"`
	}
	type size struct {
		Bytes int `json:"bytes"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in message) (*mcp.CallToolResult, any, error) {
		return benchText("Echo: " + in.Message), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "length"}, func(_ context.Context, _ *mcp.CallToolRequest, in message) (*mcp.CallToolResult, any, error) {
		return benchText(fmt.Sprint("Length: ", len(in.Message))), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "large"}, func(_ context.Context, _ *mcp.CallToolRequest, in size) (*mcp.CallToolResult, any, error) {
		return benchText(strings.Repeat("x", in.Bytes)), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "steps"}, func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		for i := range 100 {
			params := &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i), Total: 100}
			if err := req.Session.NotifyProgress(ctx, params); err != nil {
				return nil, nil, err
			}
		}
		return benchText("done"), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "ask"}, func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		answer, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "who?", RequestedSchema: map[string]any{
			"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}},
		}})
		if err != nil {
			return nil, nil, err
		}
		return benchText(fmt.Sprint("answer: ", answer.Content["name"])), nil, nil
	})
	for i := 5; i < 50; i++ {
		mcp.AddTool(server, &mcp.Tool{Name: fmt.Sprint("tool-", i), Description: "One of many tools, of which each has a description of a usual length."},
			func(context.Context, *mcp.CallToolRequest, message) (*mcp.CallToolResult, any, error) {
				return benchText(""), nil, nil
			})
	}
	server.AddResource(&mcp.Resource{URI: "news://a", Name: "a"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "news://a", Text: "news"}}}, nil
	})
	return server
}

func benchText(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}
