package everything

import (
	"context"
	"errors"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	handshakeName = "secretHandshake"
	noticeURI     = "test://dynamic/resource/notice"
)

// announceTimeout bounds the time it takes to notify clients of a change.
const announceTimeout = 10 * time.Second

// addSwitchedTool adds a tool that can be switched off and the one that does it.
// changed notifies clients that the list of tools has changed; if nil, the server
// notifies its own.
func addSwitchedTool(server *mcp.Server, handshake switched, changed func(context.Context) error) {
	addHandshake(server)
	if changed == nil {
		// The SDK announces a change when a tool is added, also one it has.
		changed = func(context.Context) error { addHandshake(server); return nil }
	}
	mcp.AddTool(server, &mcp.Tool{
		Name:        "toggleTool",
		Title:       "Toggle Tool",
		Description: "Switches the tool secretHandshake on or off, for all clients of the server",
		Annotations: setting(),
		Icons:       icons(switchIcon),
		InputSchema: inputSchema[toggleArgs](nil),
	}, func(ctx context.Context, _ *mcp.CallToolRequest, in toggleArgs) (*mcp.CallToolResult, any, error) {
		return toggler{handshake, changed}.toggle(ctx, in.On)
	})
}

// addSwitchedResource is the same for a resource, which so is made and removed while
// the server runs.
func addSwitchedResource(server *mcp.Server, notice switched, changed func(context.Context) error) {
	addNotice(server)
	if changed == nil {
		changed = func(context.Context) error { addNotice(server); return nil } // as above
	}
	mcp.AddTool(server, &mcp.Tool{
		Name:        "toggleResource",
		Title:       "Toggle Resource",
		Description: "Makes the resource " + noticeURI + " or removes it, for all clients of the server",
		Annotations: setting(),
		Icons:       icons(switchIcon),
		InputSchema: inputSchema[toggleResourceArgs](nil),
	}, func(ctx context.Context, _ *mcp.CallToolRequest, in toggleResourceArgs) (*mcp.CallToolResult, any, error) {
		return toggler{notice, changed}.toggle(ctx, in.On)
	})
}

func addNotice(server *mcp.Server) {
	server.AddResource(&mcp.Resource{
		URI:         noticeURI,
		Name:        "Notice",
		Title:       "Notice",
		Description: "Only there while toggleResource has made it",
		MIMEType:    "text/plain",
		Size:        int64(len(noticeText)),
		Annotations: &mcp.Annotations{Audience: []mcp.Role{"user", "assistant"}, Priority: 0.5},
		Icons:       icons(documentIcon),
	}, readNotice)
}

const noticeText = "This resource was made while the server runs."

func readNotice(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{
		{URI: noticeURI, MIMEType: "text/plain", Text: noticeText},
	}}, nil
}

func addHandshake(server *mcp.Server) {
	mcp.AddTool(server, &mcp.Tool{
		Name:        handshakeName,
		Title:       "Secret Handshake",
		Description: "Shakes hands; only there while toggleTool has switched it on",
		Annotations: lookup(),
		Icons:       icons(flaskIcon),
		InputSchema: inputSchema[noArgs](nil),
	}, secretHandshake)
}

func secretHandshake(context.Context, *mcp.CallToolRequest, noArgs) (*mcp.CallToolResult, any, error) {
	return textResult("Two shakes, a snap, and a knock on wood. Welcome aboard."), nil, nil
}

// toggler switches a tool or a resource and notifies clients of it.
type toggler struct {
	switched
	changed func(context.Context) error
}

// toggleArgs name the state that the tool is to have, not a change of it, so that
// a call may be repeated, and two at once do not undo each other.
type toggleArgs struct {
	On bool `json:"on" jsonschema:"Whether secretHandshake is to be on"`
}

// toggleResourceArgs are the same for the resource.
type toggleResourceArgs struct {
	On bool `json:"on" jsonschema:"Whether the resource is to be there"`
}

// toggle announces a changed list also if the state was that already: so repeating
// a call that failed half way completes it.
func (t toggler) toggle(ctx context.Context, on bool) (*mcp.CallToolResult, any, error) {
	state := "off"
	if on {
		state = "on"
	}
	if err := t.Set(ctx, on); err != nil {
		t.logger.ErrorContext(ctx, "cannot turn a switch", "name", t.name, "error", err)
		return nil, nil, errors.New("it is not certain that " + t.name + " was switched " + state + ", try again later")
	}
	if err := t.announce(ctx); err != nil {
		t.logger.ErrorContext(ctx, "cannot announce a change", "name", t.name, "error", err)
		return nil, nil, errors.New(t.name + " is " + state + ", but clients may not have been told, try again later")
	}
	return textResult(t.name + " is " + state + "."), nil, nil
}

// announce notifies clients even if the call was cancelled meanwhile: it has been
// switched.
func (t toggler) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
	defer cancel()
	return t.changed(ctx)
}
