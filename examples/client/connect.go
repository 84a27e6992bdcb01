package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A protocol is a way to speak MCP over HTTP.
type protocol string

const (
	// sessions is Streamable HTTP with sessions, up to revision 2025-11-25.
	sessions protocol = "sessions"
	// stateless is Streamable HTTP of revision 2026-07-28, which has no sessions.
	stateless protocol = "2026-07-28"
	// httpSSE is the HTTP+SSE transport of revision 2024-11-05.
	httpSSE protocol = "sse"
)

func parseProtocol(s string) (protocol, error) {
	p := protocol(s)
	if !slices.Contains([]protocol{sessions, stateless, httpSSE}, p) {
		return "", fmt.Errorf("-protocol=%s: must be %s, %s or %s", s, sessions, stateless, httpSSE)
	}
	return p, nil
}

func (p protocol) defaultEndpoint() string {
	if p == httpSSE {
		return "http://localhost:3232/sse"
	}
	return "http://localhost:3232/mcp"
}

// revision is the newest protocol revision that p can have.
func (p protocol) revision() string {
	switch p {
	case stateless:
		return "2026-07-28"
	case httpSSE:
		return "2024-11-05"
	default:
		return "2025-11-25"
	}
}

// A connection is a session of the client and the login that it may need.
type connection struct {
	*mcp.ClientSession
	login *login
}

// close ends the session, and with it, on the server, everything that belongs to it.
func (c *connection) close() {
	_ = c.ClientSession.Close() // the server ends sessions that nobody uses
	c.login.close()
}

// connect begins a session. The user logs in here if the server asks for it, and
// again, later, if a call needs more than was granted.
func (c *client) connect(ctx context.Context) (*connection, error) {
	login, err := newLogin(c.terminal, c.settings)
	if err != nil {
		return nil, err
	}
	opts := &mcp.ClientSessionOptions{ProtocolVersion: c.settings.protocol.revision()}
	cs, err := c.newMCPClient().Connect(ctx, c.transport(login), opts)
	if err != nil {
		login.close()
		return nil, fmt.Errorf("connect to %s: %w", c.settings.endpoint, err)
	}
	server := cs.InitializeResult()
	c.terminal.printf("connected to %s %s, protocol %s", server.ServerInfo.Name, server.ServerInfo.Version, server.ProtocolVersion)
	return &connection{cs, login}, nil
}

func (c *client) transport(login *login) mcp.Transport {
	if c.settings.protocol == httpSSE {
		return &mcp.SSEClientTransport{
			Endpoint:   c.settings.endpoint,
			HTTPClient: &http.Client{Transport: &loginTransport{login: login, endpoint: c.settings.endpoint, base: c.link}},
		}
	}
	return &mcp.StreamableClientTransport{
		Endpoint:     c.settings.endpoint,
		HTTPClient:   &http.Client{Transport: c.link},
		OAuthHandler: login.handler,
	}
}

// newMCPClient returns a client that has every capability and prints every
// notification.
func (c *client) newMCPClient() *mcp.Client {
	responder := responder{c.terminal, c.settings.canned}
	mc := mcp.NewClient(&mcp.Implementation{Name: "mcpfleet-example-client", Version: "1.0.0"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{
			RootsV2:     &mcp.RootCapabilities{ListChanged: true},
			Elicitation: &mcp.ElicitationCapabilities{Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{}},
		},
		ElicitationHandler:   responder.elicit,
		CreateMessageHandler: responder.sample,

		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			c.terminal.printf("progress: %v of %v", req.Params.Progress, req.Params.Total)
			if c.onProgress != nil {
				c.onProgress(req.Params.Progress)
			}
		},
		ResourceUpdatedHandler: func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) {
			if c.onUpdate != nil {
				c.onUpdate(req.Params.URI)
			}
		},
		LoggingMessageHandler: func(_ context.Context, req *mcp.LoggingMessageRequest) {
			c.terminal.printf("log: %s: %v", req.Params.Level, req.Params.Data)
		},
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {
			c.terminal.printf("the list of tools has changed")
		},
	})
	mc.AddRoots(roots()...)
	return mc
}
