// Command everything serves the demonstration server of package everything from
// any number of processes. A single process needs nothing else: its Redis and
// its authorization server are embedded.
//
// Its settings are environment variables or lines of a file .env; see
// .env.example at the top of the repository.
package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/examples/internal/demo"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func main() { demo.Main(serve) }

func serve(p *demo.Process) error {
	if p.Config.Auth.Mode == demo.AuthServer {
		return serveAuthorization(p)
	}
	mux := p.NewMux()
	// Before the handler joins the fleet: a process that cannot protect it must not.
	protection, err := p.Protect(mux, "/mcp", "/sse")
	if err != nil {
		return err
	}
	handler, err := newHandler(p)
	if err != nil {
		return p.RedisError(err)
	}
	err = errors.Join(
		protection.Handle("/mcp", handler.Guard, scopesFor, map[string]http.Handler{"/mcp": handler}),
		// For clients of before 2025.
		protection.Handle("/sse", handler.Guard, scopesFor, map[string]http.Handler{
			"/sse": handler.SSE(p.Path() + "/message"), "/message": handler.Messages(),
		}),
	)
	if err != nil {
		return err
	}
	mux.Handle("GET /livez", handler.Livez())
	mux.Handle("GET /readyz", handler.Readyz())
	mux.Handle("GET /{$}", page(p.BaseURL, p.Config.Auth))
	printNextSteps(p.BaseURL, p.Config.Auth)
	return p.Serve(auth.SecureHeaders(p.BaseURL)(mux), handler.Shutdown)
}

// scopesFor demands another scope for the tools that change something for
// everybody: a demonstration of step-up authorization.
func scopesFor(method, name string) []string {
	if method == "tools/call" && (name == "toggleTool" || name == "toggleResource") {
		return []string{demo.ScopeAdmin}
	}
	return nil
}

// newHandler returns the fleet's handler of the everything server.
func newHandler(p *demo.Process) (*fleet.Handler, error) {
	notifier, err := fleet.NewNotifier(&fleet.NotifierOptions{Redis: p.Redis, Prefix: p.Config.RedisPrefix})
	if err != nil {
		return nil, err
	}
	server := everything.New(&everything.Options{
		Logger:           p.ServerLog(),
		Switch:           newToolSwitch(p.Redis, p.Config.RedisPrefix),
		ToolsChanged:     notifier.ToolsChanged,
		ResourceSwitch:   newResourceSwitch(p.Redis, p.Config.RedisPrefix),
		ResourcesChanged: notifier.ResourcesChanged,
	})
	opts := p.Options()
	opts.DefaultLogLevel = "debug"
	opts.OnStream = func(ctx context.Context, stream *fleet.Stream) {
		_ = everything.Pulse(ctx, stream) // it returns only when the stream ends
	}
	return fleet.NewHandler(func(*http.Request) *mcp.Server { return server }, opts)
}

// serveAuthorization serves the authorization server alone.
func serveAuthorization(p *demo.Process) error {
	mux := p.NewMux()
	if err := p.HandleAuthorizationServer(mux); err != nil {
		return err
	}
	p.HandleHealth(mux)
	mux.Handle("GET /{$}", page(p.BaseURL, p.Config.Auth))
	printNextSteps(p.BaseURL, p.Config.Auth)
	return p.Serve(auth.SecureHeaders(p.BaseURL)(mux), func(context.Context) error { return nil })
}
