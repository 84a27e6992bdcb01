package runner

import (
	"context"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// LoadOwned is what [sessionstore.Store.LoadOwned] does.
type LoadOwned func(ctx context.Context, id, owner, server string) (sessionstore.Record, error)

// An Initialized is one notifications/initialized of a client. Each session begins
// with one, often on an instance that has not seen it: so the command that loads the
// session's record notes the notification as well.
type Initialized struct {
	runner  *Runner
	httpSSE bool
	first   bool
}

// Initialized returns a notification of a session that is not of the HTTP+SSE
// transport. The caller then calls Load and, if that does not fail, Notify.
func (r *Runner) Initialized() *Initialized { return &Initialized{runner: r} }

// Load is [sessionstore.Store.LoadOwned] that notes the notification.
func (i *Initialized) Load(ctx context.Context, id, owner, server string) (rec sessionstore.Record, err error) {
	rec, i.first, err = i.runner.store.SetInitialized(ctx, id, owner, server, i.httpSSE)
	return rec, err
}

// Notify has the server handle the first such notification of a session, and no other.
// If it fails, the next one is the first.
func (i *Initialized) Notify(ctx context.Context, in Incoming) error {
	e, err := i.runner.Prepare(in)
	if err == nil && i.first {
		e.state.InitializedParams = nil // the SDK calls its handler when it sets this
		_, err = i.runner.Serve(ctx, e)
	}
	if err != nil && i.first {
		i.runner.store.UnsetInitialized(ctx, in.Record.ID)
	}
	return err
}
