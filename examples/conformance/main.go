// Command conformance serves the fixtures of the MCP conformance suite from any
// number of processes. It has the settings of examples/everything.
package main

import (
	"errors"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/examples/conformance/fixtures"
	"github.com/mcpfleet/mcpfleet/examples/internal/demo"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func main() { demo.Main(serve) }

func serve(p *demo.Process) error {
	if p.Config.Auth.Mode == demo.AuthServer {
		return &demo.SettingError{
			Setting: demo.Setting{Name: "AUTH_MODE", Value: string(demo.AuthServer)},
			Err:     errors.New("examples/everything is the authorization server"),
		}
	}
	mux := p.NewMux()
	protection, err := p.Protect(mux, "/mcp")
	if err != nil {
		return err
	}
	server := fixtures.New()
	handler, err := fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, p.Options())
	if err != nil {
		return p.RedisError(err)
	}
	// Two of the fixtures change the server's lists while it runs.
	if err := handler.Watch(server); err != nil {
		return err
	}
	if err := protection.Handle("/mcp", handler.Guard, nil, map[string]http.Handler{"/mcp": handler}); err != nil {
		return err
	}
	mux.Handle("GET /livez", handler.Livez())
	mux.Handle("GET /readyz", handler.Readyz())
	return p.Serve(auth.SecureHeaders(p.BaseURL)(mux), handler.Shutdown)
}
