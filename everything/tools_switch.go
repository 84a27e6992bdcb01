package everything

import (
	"context"
	"errors"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const handshakeName = "secretHandshake"

// announceTimeout bounds the time it takes to notify clients of a change.
const announceTimeout = 10 * time.Second

// addSwitchTools adds a tool that can be switched off and the one that does it.
// changed notifies clients that the list of tools has changed; if nil, the server
// notifies its own.
func addSwitchTools(server *mcp.Server, handshake switched, changed func(context.Context) error) {
	addHandshake(server)
	if changed == nil {
		// The SDK announces a change when a tool is added, also one it has.
		changed = func(context.Context) error { addHandshake(server); return nil }
	}
	toggle := toggler{handshake, changed}
	mcp.AddTool(server, &mcp.Tool{
		Name:        "toggleTool",
		Title:       "Toggle Tool",
		Description: "Switches the tool secretHandshake on or off, for all clients of the server",
		Annotations: setting(),
		Icons:       icons(switchIcon),
		InputSchema: inputSchema[toggleArgs](nil),
	}, toggle.toggleTool)
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

// toggler switches a tool and notifies clients of it.
type toggler struct {
	tool    switched
	changed func(context.Context) error
}

// toggleArgs name the state that the tool is to have, not a change of it, so that
// a call may be repeated, and two at once do not undo each other.
type toggleArgs struct {
	On bool `json:"on" jsonschema:"Whether secretHandshake is to be on"`
}

// toggleTool announces a changed list also if the tool was in that state already:
// so repeating a call that failed half way completes it.
func (t toggler) toggleTool(ctx context.Context, _ *mcp.CallToolRequest, in toggleArgs) (*mcp.CallToolResult, any, error) {
	state := "off"
	if in.On {
		state = "on"
	}
	if err := t.tool.Set(ctx, in.On); err != nil {
		t.tool.logger.ErrorContext(ctx, "cannot switch a tool", "tool", t.tool.name, "error", err)
		return nil, nil, errors.New("it is not certain that " + t.tool.name + " was switched " + state + ", try again later")
	}
	if err := t.announce(ctx); err != nil {
		t.tool.logger.ErrorContext(ctx, "cannot announce a change of tools", "tool", t.tool.name, "error", err)
		return nil, nil, errors.New(t.tool.name + " is " + state + ", but clients may not have been told, try again later")
	}
	return textResult(t.tool.name + " is " + state + "."), nil, nil
}

// announce notifies clients even if the call was cancelled meanwhile: the tool has
// been switched.
func (t toggler) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
	defer cancel()
	return t.changed(ctx)
}
