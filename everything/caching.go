package everything

import (
	"context"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// How long clients may keep what they were told.
const (
	// toolsTTL is short: a tool that was switched on is to be seen within a
	// second, also by clients that do not listen to changes.
	toolsTTL = time.Second
	// listTTL is for the lists a caller of [New] may add to.
	listTTL = 5 * time.Second
	// staticTTL is for what does not change while a server lives. Updates of
	// resources are sent for show, and end it for those who get them.
	staticTTL = 5 * time.Minute
)

// setCacheable says how long, and for whom, a result may be kept. No result
// depends on the user, but where users have to show who they are, no cache they
// share is to answer for the server.
func setCacheable(_ context.Context, req mcp.Request, c *mcp.Cacheable) {
	c.TTLMs = int(cacheTTL(req).Milliseconds())
	c.CacheScope = "public"
	if extra := req.GetExtra(); extra != nil && extra.TokenInfo != nil {
		c.CacheScope = "private"
	}
}

func cacheTTL(req mcp.Request) time.Duration {
	switch req.(type) {
	case *mcp.ListToolsRequest:
		return toolsTTL
	case *mcp.ListPromptsRequest, *mcp.ListResourcesRequest, *mcp.ListResourceTemplatesRequest:
		return listTTL
	default: // server/discover and resources/read
		return staticTTL
	}
}
