package everything

import (
	"context"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// How long clients may cache results.
const (
	// switchedTTL is short, so that clients that do not listen to changes, too, see a
	// tool or resource within a second after it was switched on.
	switchedTTL = time.Second
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
	switch req := req.(type) {
	case *mcp.ListToolsRequest, *mcp.ListResourcesRequest:
		return switchedTTL
	case *mcp.ListPromptsRequest, *mcp.ListResourceTemplatesRequest:
		return listTTL
	case *mcp.ReadResourceRequest:
		if req.Params.URI == noticeURI {
			return switchedTTL
		}
	}
	return staticTTL // server/discover, and all other resources
}
