package runner

import (
	"context"
	"encoding/json"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Notification acts on a client's notification. What can fail for want of Redis
// has happened when it returns; the server's own handlers run on.
func (r *Runner) Notification(ctx context.Context, in Incoming) error {
	switch in.Message.Method {
	case "notifications/initialized":
		i := Initialized{runner: r, httpSSE: in.Record.HTTPSSE}
		if _, err := i.Load(ctx, in.Record.ID, in.Record.Owner, ""); err != nil {
			return err
		}
		return i.Notify(ctx, in)
	case "notifications/cancelled":
		return r.cancelled(ctx, in)
	case "notifications/progress":
		ours, err := r.node.ForwardProgress(ctx, in.Record.ID, in.Message.Params)
		if err != nil || ours {
			return err
		}
	}
	e, err := r.Prepare(in)
	if err != nil {
		return err
	}
	// Nobody waits for the handler, which may send the client a request on the
	// stream that clients open after the response to this notification.
	_, err = r.Serve(ctx, e)
	return err
}

// cancelled cancels a request of the client, on whichever instance it runs.
func (r *Runner) cancelled(ctx context.Context, in Incoming) error {
	var p struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if err := json.Unmarshal(in.Message.Params, &p); err != nil || p.RequestID == nil {
		return nil // nothing is cancelled by it (specification, "Cancellation": invalid ones are ignored)
	}
	return r.node.Cancel(ctx, in.Record.ID, p.RequestID)
}

// End deletes a session and tells the fleet. Instances that could not be told go
// on for the store's CacheTTL at the most, streams until their next touch.
func (r *Runner) End(ctx context.Context, id string) error {
	if err := r.store.Delete(ctx, id); err != nil {
		return err
	}
	if err := r.node.End(ctx, id); err != nil {
		r.logger.WarnContext(ctx, "the fleet was not told of a session's end", "session", sessionstore.ShortID(id), "error", err)
	}
	r.logger.InfoContext(ctx, "session ended", "session", sessionstore.ShortID(id))
	return nil
}
