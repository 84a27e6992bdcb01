package runner

import (
	"context"
	"encoding/json"

	"github.com/mcpfleet/mcpfleet/internal/node"
)

// Listen has the server judge a subscriptions/listen: it returns the filter that the
// server acknowledges, or its response if it refuses. The server's own listening, to
// itself, ends then.
func (r *Runner) Listen(ctx context.Context, s *Stateless) (accepted json.RawMessage, refused node.Response, err error) {
	e, err := r.prepareStateless(s)
	if err != nil {
		return nil, node.Response{}, err
	}
	acknowledged := make(chan json.RawMessage, 1)
	// What a SubscribeHandler sends before the acknowledgement cannot be sent: that
	// has to be the first message.
	e.Request.Intercept = func(method string, params json.RawMessage) bool {
		var p struct {
			Filter json.RawMessage `json:"notifications"`
		}
		if method == "notifications/subscriptions/acknowledged" && json.Unmarshal(params, &p) == nil {
			select {
			case acknowledged <- p.Filter:
			default:
			}
		}
		return true
	}
	conn, err := r.Serve(ctx, e)
	if err != nil {
		return nil, node.Response{}, err
	}
	select {
	case accepted = <-acknowledged:
		conn.Leave(ctx)
		select {
		case <-conn.Done(): // an UnsubscribeHandler has returned
			return accepted, node.Response{}, nil
		case <-ctx.Done():
			return nil, node.Response{}, ctx.Err()
		}
	case refused = <-conn.Response():
		return nil, refused, refused.Err
	case <-ctx.Done():
		conn.Leave(ctx)
		return nil, node.Response{}, ctx.Err()
	}
}
