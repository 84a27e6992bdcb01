// Package everything is a complete MCP feature set on a stock SDK server: nine
// tools, a hundred resources with a template, three prompts, completions,
// logging, and one MCP App. It is the demonstration server of this repository
// and the acceptance test of its library.
//
// The package imports nothing but the standard library and the MCP SDK. It
// keeps no state per session and none between requests, so any instance of the
// same server can answer any request of any session.
//
// Its tools answer clients of every protocol revision the SDK serves. Where a
// tool asks the client a question, it sends a request to clients of the 2025
// revisions, and returns an input request to those of 2026-07-28.
package everything

import (
	"cmp"
	"log/slog"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	serverName    = "example-servers/feature-reference"
	serverVersion = "1.0.0"
)

// Options configure [New]. The zero value and a nil pointer are valid.
type Options struct {
	// Logger receives what the SDK's server logs about its sessions.
	// If nil, nothing is logged.
	Logger *slog.Logger

	// Version is the version the server reports to clients.
	// If empty, it is 1.0.0.
	Version string
}

// New returns a new server with all features of this package. The server may be
// connected to any number of transports at once, and is safe for concurrent use.
//
// The caller may add further features to it. They are served and listed like
// the server's own, with two limits: clients are not told of the change, since
// the server does not announce list changes, and only the server's own
// resources can be subscribed to and completed.
func New(opts *Options) *mcp.Server {
	if opts == nil {
		opts = &Options{}
	}
	prompts := newPrompts()
	impl := &mcp.Implementation{Name: serverName, Version: cmp.Or(opts.Version, serverVersion)}
	server := mcp.NewServer(impl, &mcp.ServerOptions{
		Logger:             opts.Logger,
		Capabilities:       capabilities(),
		CompletionHandler:  completionHandler(prompts),
		SubscribeHandler:   subscribe,
		UnsubscribeHandler: unsubscribe,
	})
	server.AddReceivingMiddleware(pageResources, explainUnknownResource, announceLevel)

	addBasicTools(server)
	addLongRunningTool(server)
	addClientTools(server)
	addResources(server)
	addApp(server)
	for _, p := range prompts {
		server.AddPrompt(p.prompt, p.handle)
	}
	return server
}

// capabilities declares no listChanged anywhere: the features are fixed when
// New returns, and a client should not wait for news that never comes.
func capabilities() *mcp.ServerCapabilities {
	return &mcp.ServerCapabilities{
		Completions: &mcp.CompletionCapabilities{},
		Logging:     &mcp.LoggingCapabilities{},
		Prompts:     &mcp.PromptCapabilities{},
		Resources:   &mcp.ResourceCapabilities{Subscribe: true},
		Tools:       &mcp.ToolCapabilities{},
	}
}
