package everything

import "github.com/modelcontextprotocol/go-sdk/mcp"

// lookup returns the hints for a tool that changes nothing and only needs what
// this server has.
func lookup() *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{ReadOnlyHint: true, OpenWorldHint: new(false)}
}

// inquiry returns the hints for a tool that changes nothing, but depends on the
// client, its user or its model.
func inquiry() *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{ReadOnlyHint: true, OpenWorldHint: new(true)}
}

// game returns the hints for a tool that changes nothing that lasts, but is another
// one each time: nobody may call it again in place of the user.
func game() *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{DestructiveHint: new(false), OpenWorldHint: new(true)}
}

// setting returns the hints for a tool that sets something to a state named in the
// call: calling it twice is like calling it once.
func setting() *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{IdempotentHint: true, DestructiveHint: new(false), OpenWorldHint: new(false)}
}
