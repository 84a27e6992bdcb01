// Command everything serves the complete demonstration of MCP from any number
// of processes. One by itself needs nothing else: its Redis is embedded.
//
// Its settings are environment variables, or lines of a file .env: see
// .env.example at the top of the repository.
package main

import (
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/examples/internal/demo"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func main() { demo.Main(serve) }

func serve(p *demo.Process) error {
	server := everything.New(nil)
	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, p.Options())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", handler)
	mux.Handle("GET /livez", handler.Livez())
	mux.Handle("GET /readyz", handler.Readyz())
	mux.Handle("GET /{$}", page(p.BaseURL))
	printNextSteps(p.BaseURL)
	return p.Serve(mux, handler.Shutdown)
}
