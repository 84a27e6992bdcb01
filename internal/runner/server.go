package runner

import (
	"context"
	"errors"
	"sync"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// LoadFailed is told why a session was not loaded for a request of a server. If the
// session is of another server, it warns the operator, once for each pair: two
// servers share a prefix by mistake, or one handler serves several.
func (r *Runner) LoadFailed(ctx context.Context, rec sessionstore.Record, server string, err error) {
	if errors.Is(err, sessionstore.ErrOtherServer) && r.foreign.first(foreignPair{rec.ServerName, server}) {
		r.logger.WarnContext(ctx, "a session of another server is not served: servers that share a Redis need an Options.Prefix each",
			"session", sessionstore.ShortID(rec.ID), "of", rec.ServerName, "here", server)
	}
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
