package sdkcompat

import (
	"context"
	"fmt"
	"iter"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK tells which tools a server has only by tools/list, through middleware that
// may hide some of them from some clients. It compares the headers of a call with the
// schema of the tool in its own HTTP handler alone, and marshals the schema each time.
//
// Seen in: v1.8.0.
// Here: tools/list is dispatched without middleware, and its result is not encoded.
// Test: TestToolsCanBeListedWithoutMiddleware.

// Tools returns the tools of the server of a session as they were added, whatever
// middleware makes of them. They must not be changed. ServerOptions.SetCacheable is
// called as for a request of the session.
func (r *Rounds) Tools(ctx context.Context, session *mcp.ServerSession) iter.Seq2[*mcp.Tool, error] {
	return func(yield func(*mcp.Tool, error) bool) {
		for cursor, more := "", true; more; more = cursor != "" {
			res, err := r.dispatch(ctx, "tools/list", &mcp.ServerRequest[*mcp.ListToolsParams]{Session: session, Params: &mcp.ListToolsParams{Cursor: cursor}})
			page, ok := res.(*mcp.ListToolsResult)
			if err == nil && !ok {
				err = fmt.Errorf("a result of tools/list is a %T", res)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, tool := range page.Tools {
				if !yield(tool, nil) {
					return
				}
			}
			cursor = page.NextCursor
		}
	}
}

// Tool is [Rounds.Tools] for the one of a name, nil if there is none.
func (r *Rounds) Tool(ctx context.Context, session *mcp.ServerSession, name string) (*mcp.Tool, error) {
	for tool, err := range r.Tools(ctx, session) {
		if err != nil || tool.Name == name {
			return tool, err
		}
	}
	return nil, nil
}

var capabilities = indexOf("Capabilities")

// TellsToolChanges reports whether sessions of a server are told that its tools have
// changed. If that cannot be known, they are not.
func TellsToolChanges(server *mcp.Server) bool {
	if capabilities == nil {
		return false
	}
	declared, ok := capabilities.value(server).(*mcp.ServerCapabilities)
	return ok && (declared == nil || declared.Tools == nil || declared.Tools.ListChanged)
}
