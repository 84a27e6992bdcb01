package everything

import (
	"context"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// How long clients may cache results.
const (
	// toolsTTL is short, so that clients that do not listen to changes, too, see a
	// tool within a second after it was switched on.
	toolsTTL = time.Second
	// listTTL is for the lists a caller of [New] may add to.
	listTTL = 5 * time.Second
	// staticTTL is for results that do not change while a server lives. The updates
	// of resources are for demonstration; a client that gets one reads again.
	staticTTL = 5 * time.Minute
)

// setCacheable sets how long a result may be cached, and whether by caches that
// users share. No result depends on the user, but behind authentication a shared
// cache would serve users who have not been authenticated.
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
