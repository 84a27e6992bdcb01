package runner

import (
	"context"
	"errors"

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

// A foreignPair is the name of a session's server, and of the one that it came to.
type foreignPair struct{ session, here string }
