package transport

import (
	"context"
	_ "embed"
	"encoding/json"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rds"
)

var (
	//go:embed lua/bus_publish.lua
	busPublishLua string

	busPublish = rds.NewScript("publish on the bus", busPublishLua)
)

const (
	maxBus = 10_000    // about how many messages the bus keeps
	busTTL = time.Hour // of a bus that nobody publishes on
)

// publish tells every instance something, this one included. A message whose
// fate is unknown is published again, so it may arrive twice.
func (n *Node) publish(ctx context.Context, fields ...string) error {
	args := append([]string{strconv.Itoa(maxBus), strconv.FormatInt(busTTL.Milliseconds(), 10), "v", envelopeVersion}, fields...)
	_, err := busPublish.Exec(ctx, n.rdb, []string{n.keys.Bus()}, args...)
	if err != nil {
		_, err = busPublish.Exec(ctx, n.rdb, []string{n.keys.Bus()}, args...)
	}
	return err
}

// End tells the fleet that a session has ended: its streams and calls end
// everywhere, and no instance goes on serving it from its cache.
func (n *Node) End(ctx context.Context, session string) error {
	n.endSession(session)
	return n.publish(ctx, "k", kindEnd, "s", session)
}

// Cancel tells the fleet that a session's client no longer wants the answer to
// the request with the given raw id.
func (n *Node) Cancel(ctx context.Context, session string, id json.RawMessage) error {
	return n.publish(ctx, "k", kindCancel, "s", session, "id", string(id))
}

// busPosition returns the position after the last message on the bus.
func (n *Node) busPosition(ctx context.Context) (string, error) {
	last, err := n.rdb.Do(ctx, n.rdb.B().Xrevrange().Key(n.keys.Bus()).End("+").Start("-").Count(1).Build()).AsXRange()
	if err != nil && !rueidis.IsRedisNil(err) {
		return "", rds.Unavailable("read the bus", err)
	}
	if len(last) == 0 {
		return "0", nil
	}
	return last[0].ID, nil
}

// tailBus acts on every message of the bus until ctx ends.
func (n *Node) tailBus(ctx context.Context, position string) {
	for ctx.Err() == nil {
		entries, err := n.tail(ctx, n.keys.Bus(), position)
		for _, e := range entries {
			position = e.ID
			n.hear(e.FieldValues)
		}
		if err != nil {
			n.pause(ctx, "bus not read", err)
		}
	}
}

// hear acts on one message of the bus. It must not block.
func (n *Node) hear(f map[string]string) {
	if f["v"] != envelopeVersion {
		return
	}
	switch f["k"] {
	case kindEnd:
		n.endSession(f["s"])
	case kindCancel:
		if c := n.call(f["s"], json.RawMessage(f["id"])); c != nil {
			n.background(c.cancel)
		}
	}
}

// call returns the call with the given id that runs here, or nil.
func (n *Node) call(session string, id json.RawMessage) *Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.sessions[session]; p != nil {
		return p.calls[idKey(id)]
	}
	return nil
}
