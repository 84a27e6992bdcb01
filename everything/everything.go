// Package everything is a complete MCP feature set on a stock SDK server: tools
// that return every kind of content or ask the client every kind of question, a
// tool that switches another one on and off, a hundred resources with a
// template, prompts, completions, logging, and one MCP App. It is the
// demonstration server of this repository and the acceptance test of its
// library.
//
// The package imports nothing but the standard library and the MCP SDK. It
// keeps no state per session and none between requests, so any instance of the
// same server can answer any request of any session. The one thing it remembers
// at all, whether the switched tool is on, is behind the [Switch] in the
// [Options], which instances can share.
//
// Its tools answer clients of every protocol revision the SDK serves. Where a
// tool asks the client a question, it sends a request to clients of the 2025
// revisions, and returns an input request to those of 2026-07-28.
//
// A server is not told of the streams its clients listen on. Whoever serves it
// is, and calls [Pulse] for each: that sends the timed notifications.
package everything

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	serverName    = "example-servers/feature-reference"
	serverVersion = "1.0.0"
)

// Options configure [New]. The zero value and a nil pointer are valid.
type Options struct {
	// Logger receives what the SDK's server logs about its sessions, and the
	// errors of Switch and ToolsChanged, which clients are not shown.
	// If nil, nothing is logged.
	Logger *slog.Logger

	// Version is the version the server reports to clients.
	// If empty, it is 1.0.0.
	Version string

	// Switch holds whether the tool secretHandshake is on, which the tool
	// toggleTool changes. Servers that are to agree share one.
	// If nil, the server has one of its own, in memory, off at first.
	Switch Switch

	// ToolsChanged tells the clients of all servers with the same Switch that
	// the list of tools has changed. It is called after every Set of toggleTool.
	// If nil, the server tells its own clients, as the SDK does when a tool is
	// added.
	ToolsChanged func(ctx context.Context) error
}

// New returns a new server with all features of this package. The server may be
// connected to any number of transports at once, and is safe for concurrent use.
//
// The caller may add further features to it. They are served and listed like
// the server's own, with two limits: clients are told of new tools only, since
// the server does not announce changes of its other lists, and only the
// server's own resources can be subscribed to and completed.
func New(opts *Options) *mcp.Server {
	if opts == nil {
		opts = &Options{}
	}
	prompts := newPrompts()
	handshake := switched{
		name:   handshakeName,
		Switch: cmp.Or[Switch](opts.Switch, new(memorySwitch)),
		logger: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
	}
	impl := &mcp.Implementation{
		Name:    serverName,
		Title:   "Everything",
		Version: cmp.Or(opts.Version, serverVersion),
		Icons:   icons(shipIcon),
	}
	server := mcp.NewServer(impl, &mcp.ServerOptions{
		Logger:             opts.Logger,
		Capabilities:       capabilities(),
		CompletionHandler:  completionHandler(prompts),
		SubscribeHandler:   subscribe,
		UnsubscribeHandler: unsubscribe,
		SetCacheable:       setCacheable,
	})
	server.AddReceivingMiddleware(
		dropNullArguments, pageResources, explainUnknownResource, announceLevel, handshake.hide)

	addBasicTools(server)
	addLongRunningTool(server)
	addClientTools(server)
	addWeatherTool(server)
	addAudioTool(server)
	addLinksTool(server)
	addRootsTool(server)
	addURLTool(server)
	addAgentTool(server)
	addSwitchTools(server, handshake, opts.ToolsChanged)
	addResources(server)
	addApp(server)
	for _, p := range prompts {
		server.AddPrompt(p.prompt, p.handle)
	}
	return server
}

// capabilities declares listChanged for tools only: the other features are fixed
// when New returns, and a client should not wait for news that never comes.
func capabilities() *mcp.ServerCapabilities {
	return &mcp.ServerCapabilities{
		Completions: &mcp.CompletionCapabilities{},
		Logging:     &mcp.LoggingCapabilities{},
		Prompts:     &mcp.PromptCapabilities{},
		Resources:   &mcp.ResourceCapabilities{Subscribe: true},
		Tools:       &mcp.ToolCapabilities{ListChanged: true},
	}
}
