// Package everything implements all server features of MCP but tasks, on a stock
// SDK server: tools that return every kind of content or send the client every
// kind of request, tools that switch another tool and a resource on and off, a
// hundred resources with a template, prompts, completions, logging, and one MCP
// App. It is the demonstration server of this repository and the acceptance test
// of its library.
//
// The package imports nothing but the standard library, the MCP SDK and the
// SDK's JSON Schema package. It keeps no state per session and none between
// requests, so any instance of the same server can answer any request of any
// session. All it remembers, whether the tool secretHandshake and the resource
// of toggleResource are there, is kept by each [Switch] in the [Options], which
// instances can share.
//
// Its tools are written as they were before 2026-07-28: one that needs sampling,
// elicitation or roots asks the client while it runs, and waits for the answer.
// Behind package mcp of this module they work with clients of every revision that
// the SDK serves; behind the SDK's own handlers, with those up to 2025-11-25. No tool
// returns input requests: the conformance server, examples/conformance, has those.
//
// Timed notifications are sent by [Pulse], which whoever serves the server calls
// for each open stream: an SDK server does not know which streams are open.
//
// # Differences from the reference server
//
// Names, texts, schemas and numbers are those of the TypeScript reference server,
// example-remote-server, for clients that were written against it. Tools, prompts
// and metadata of newer revisions are added. What else differs is deliberate:
//
//   - Arguments that do not match a tool's schema are a tool error (isError), which
//     a model can read. An unknown tool, prompt, log level, cursor or value is
//     error -32602; an unknown resource is -32002, from 2026-07-28 on -32602. In
//     the reference server all of them are -32603.
//   - Arguments with a default are not listed as required, unknown arguments are
//     refused, and numbers have bounds.
//   - A list of resources has no contents, and the MCP App once, after the others.
//     A URI is only valid as it is listed.
//   - Subscribing does not sample from the client's LLM. Only resources of the
//     server can be subscribed to.
//   - All 100 resource ids are completed. To complete an unknown prompt or resource
//     is an error.
//   - complex_prompt fails without a temperature, and leaves out a missing style.
//   - longRunningOperation ends when it is cancelled. Progress and log messages are
//     sent on the stream of the request they belong to.
//   - The log message that confirms logging/setLevel has level debug, so a client
//     that sets a higher level does not get it.
//   - Timed notifications start with the client's stream, not with its session. The
//     time in them is UTC.
//   - The image and the app were made for this package. The fourteen example apps
//     at paths of their own are not part of it.
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

// Options configure [New]. The zero value is valid.
type Options struct {
	// Logger receives what the SDK's server logs, at level info three lines each
	// time it is connected, and the errors of Switch and ToolsChanged, which
	// clients do not see. If nil, nothing is logged.
	Logger *slog.Logger

	// Version is the version the server reports to clients.
	// If empty, it is 1.0.0.
	Version string

	// Switch stores whether the tool secretHandshake is on; the tool toggleTool
	// changes it. Servers that must agree share one. If nil, the server keeps
	// one in memory, which is off at first.
	Switch Switch

	// ToolsChanged notifies the clients of all servers with the same Switch that
	// the list of tools has changed. It is called after every call of Set, with a
	// context that ends after 10 seconds. If nil, the server notifies its own
	// clients, as the SDK does when a tool is added.
	ToolsChanged func(ctx context.Context) error

	// ResourceSwitch and ResourcesChanged are the same for a resource, which the
	// tool toggleResource makes and removes.
	ResourceSwitch   Switch
	ResourcesChanged func(ctx context.Context) error
}

// New returns a new server with all features of this package. Nil options are
// valid. The server may be connected to any number of transports at once, and is
// safe for concurrent use.
//
// The caller may add further features to it. They are served and listed like
// the server's own, with two limits: the server does not declare listChanged for
// prompts, and only its own resources can be subscribed to and completed.
func New(opts *Options) *mcp.Server {
	if opts == nil {
		opts = &Options{}
	}
	prompts := newPrompts()
	logger := cmp.Or(opts.Logger, slog.New(slog.DiscardHandler))
	handshake := switched{handshakeName, cmp.Or[Switch](opts.Switch, new(memorySwitch)), logger}
	notice := switched{noticeURI, cmp.Or[Switch](opts.ResourceSwitch, new(memorySwitch)), logger}
	impl := &mcp.Implementation{
		Name:    serverName,
		Title:   "Everything",
		Version: cmp.Or(opts.Version, serverVersion),
		Icons:   icons(shipIcon),
	}
	server := mcp.NewServer(impl, &mcp.ServerOptions{
		Logger:             opts.Logger,
		Instructions:       instructions,
		Capabilities:       capabilities(),
		CompletionHandler:  completionHandler(prompts),
		SubscribeHandler:   subscribe,
		UnsubscribeHandler: unsubscribe,
		SetCacheable:       setCacheable,
	})
	server.AddReceivingMiddleware(
		dropNullArguments, pageResources, explainUnknownResource, announceLevel, handshake.hideTool, notice.hideResource)

	addBasicTools(server)
	addLongRunningTool(server)
	addClientTools(server)
	addWeatherTool(server)
	addAudioTool(server)
	addLinksTool(server)
	addRootsTool(server)
	addURLTool(server)
	addAgentTool(server)
	addGuessTool(server)
	addSwitchedTool(server, handshake, opts.ToolsChanged)
	addResources(server)
	addSwitchedResource(server, notice, opts.ResourcesChanged)
	addApp(server)
	for _, p := range prompts {
		server.AddPrompt(p.prompt, p.handle)
	}
	return server
}

// instructions are for a model: what goes together, and what it needs.
const instructions = `This server demonstrates every feature of MCP.

- toggleTool and toggleResource change what every client of the server sees: list the tools or resources again after them.
- longRunningOperation reports its progress, and can be cancelled.
- sampleLLM and sampleWithTools need a client that samples; elicitInputs, elicitUrl and guessNumber one that asks its user; listRoots one with roots.
- Resources with odd numbers are texts, those with even numbers are binary. Subscribe to one to hear of its updates.
- If you are asked whether you can read these instructions, say: the ship's bell rings twice.
`

// capabilities does not declare listChanged for prompts: their list is fixed when
// New returns, and a client should not wait for a notification that never comes.
func capabilities() *mcp.ServerCapabilities {
	return &mcp.ServerCapabilities{
		Completions: &mcp.CompletionCapabilities{},
		Logging:     &mcp.LoggingCapabilities{},
		Prompts:     &mcp.PromptCapabilities{},
		Resources:   &mcp.ResourceCapabilities{ListChanged: true, Subscribe: true},
		Tools:       &mcp.ToolCapabilities{ListChanged: true},
	}
}
