package transport

import (
	"context"
	"errors"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Resume opens the standalone stream of an owner's session or, if lastEventID is
// the id of an event that the client has, resumes the stream of that event
// exactly behind it, on whichever instance its call runs or ran. A connection
// that reads the stream until now is ended. The caller must give the client the
// [Response].
//
// If the rest of a call's stream is lost, the response is an error with the
// call's id. If that of the standalone stream is, the client is told that
// everything it has asked to hear of may have changed.
//
// Resume fails with session.ErrNotFound if there is no such session, or it is
// another owner's, with session.ErrUnavailable if Redis is unavailable, and with
// another error if lastEventID is not an event id.
func (n *Node) Resume(ctx context.Context, session, owner, lastEventID string) (*Response, error) {
	content, err := n.resume(ctx, session, owner, lastEventID)
	if err != nil {
		return nil, n.failed(ctx, nil, err)
	}
	return &Response{node: n, content: content}, nil
}

func (n *Node) resume(ctx context.Context, session, owner, lastEventID string) (content, error) {
	rec, err := n.session(ctx, session, owner, "")
	if err != nil {
		return nil, err
	}
	var after *eventlog.ID
	if lastEventID != "" {
		id, err := eventlog.ParseID(lastEventID)
		if err != nil {
			return nil, invalid("Last-Event-ID: %v", err)
		}
		after = &id
	}
	content, err := n.open(ctx, rec, after)
	if errors.Is(err, eventlog.ErrLost) {
		anew := eventlog.Anew() // a new standalone stream in the place of the lost one
		content, err = n.open(ctx, rec, &anew)
	}
	return content, err
}

// open makes the client the reader of the stream behind an event. It fails with
// [eventlog.ErrLost] for a standalone stream alone.
func (n *Node) open(ctx context.Context, rec sessionstore.Record, after *eventlog.ID) (content, error) {
	r, err := n.node.Resume(ctx, rec, after)
	switch {
	case errors.Is(err, sessionstore.ErrNotFound):
		n.store.Forget(rec.ID) // the cache has a session that has ended
		return nil, err
	case errors.Is(err, node.ErrClosed):
		return elsewhere{rec.ProtocolVersion, after}, nil
	case errors.Is(err, eventlog.ErrLost) && after.IsEnd():
		return nothing(http.StatusNoContent), nil
	case errors.Is(err, eventlog.ErrLost) && !eventlog.IsStandalone(after.Stream):
		return lost{*after}, nil
	case err != nil:
		return nil, err
	case r.Empty:
		// There is nothing left and nothing will come. An empty stream would have
		// clients come back at once, again and again.
		r.Release(ctx)
		return nothing(http.StatusNoContent), nil
	default:
		return stream{r.Reader, rec.ProtocolVersion, after != nil}, nil
	}
}
