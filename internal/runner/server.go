package runner

import (
	"context"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// CheckServer fails with [sessionstore.ErrNotFound] if a session began with a server
// of another name: two servers share a prefix by mistake, or one handler serves
// several. A record that an instance of an older version wrote has no name, and
// passes. So does a server that is nil.
func (r *Runner) CheckServer(ctx context.Context, rec sessionstore.Record, server *mcp.Server) error {
	name := sdkcompat.ServerName(server)
	if rec.ServerName == "" || name == "" || name == rec.ServerName {
		return nil
	}
	if r.foreign.first(foreignPair{rec.ServerName, name}) {
		r.logger.WarnContext(ctx, "a session of another server is not served: servers that share a Redis need an Options.Prefix each",
			"session", sessionstore.ShortID(rec.ID), "of", rec.ServerName, "here", name)
	}
	return sessionstore.ErrNotFound
}

// foreign are the pairs of servers that an operator has been warned of.
type foreign struct {
	mu     sync.Mutex // guards warned
	warned map[foreignPair]bool
}

// A foreignPair is the name of a session's server, and of the one that it came to.
type foreignPair struct{ session, here string }

// maxForeign bounds the pairs: a program may make up its servers' names.
const maxForeign = 100

// first reports whether the pair is seen for the first time.
func (f *foreign) first(pair foreignPair) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.warned[pair] || len(f.warned) >= maxForeign {
		return false
	}
	if f.warned == nil {
		f.warned = map[foreignPair]bool{}
	}
	f.warned[pair] = true
	return true
}
