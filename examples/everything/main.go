// Command everything serves the complete demonstration of MCP from any number
// of processes. One by itself needs nothing else: its Redis is embedded.
//
// Its settings are environment variables, or lines of a file .env: see
// .env.example at the top of the repository.
package main

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/examples/internal/demo"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func main() { demo.Main(serve) }

func serve(p *demo.Process) error {
	notifier, err := fleet.NewNotifier(&fleet.NotifierOptions{Redis: p.Redis, Prefix: p.Config.RedisPrefix})
	if err != nil {
		return err
	}
	server := everything.New(&everything.Options{
		Logger:       p.Log,
		Switch:       newToolSwitch(p.Redis, p.Config.RedisPrefix),
		ToolsChanged: notifier.ToolsChanged,
	})
	opts := p.Options()
	opts.DefaultLogLevel = "debug"
	opts.OnStream = func(ctx context.Context, stream *fleet.Stream) {
		_ = everything.Pulse(ctx, stream) // it ends with the stream, and for no other reason
	}
	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, opts)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", handler)
	mux.Handle("GET /sse", handler.SSE("/message")) // for clients of before 2025
	mux.Handle("POST /message", handler.Messages())
	mux.Handle("GET /livez", handler.Livez())
	mux.Handle("GET /readyz", handler.Readyz())
	mux.Handle("GET /{$}", page(p.BaseURL))
	printNextSteps(p.BaseURL)
	return p.Serve(mux, handler.Shutdown)
}
