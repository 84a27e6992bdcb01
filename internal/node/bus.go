package node

import (
	"context"
	_ "embed"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// End tells the fleet that a session has ended: its streams and calls end on
// every instance, and none serves it from its cache any more.
func (n *Node) End(ctx context.Context, session string) error {
	n.endSession(session)
	return n.publish(ctx, "k", kindEnd, "s", session)
}

// Cancel tells the fleet that the client of a session has cancelled its request
// with the given raw id.
func (n *Node) Cancel(ctx context.Context, session string, id json.RawMessage) error {
	return n.publish(ctx, "k", kindCancel, "s", session, "id", string(id))
}

// joinBus reads the end of the bus, so that clients which were away find on a
// new instance what they have missed.
func (n *Node) joinBus(ctx context.Context) error {
	// There is something to read, whose place is a position.
	if err := n.publish(ctx, "k", kindHello); err != nil {
		return err
	}
	entries, err := n.rdb.Do(ctx, n.rdb.B().Xrevrange().Key(n.keys.Bus()).End("+").Start("-").Count(maxBus).Build()).AsXRange()
	if err != nil {
		return redisx.Unavailable("read the bus", err)
	}
	for _, e := range slices.Backward(entries) {
		n.note(e)
	}
	return nil
}

// checkEvery is how often an instance that hears nothing looks whether the bus
// still ends where it has read it.
const checkEvery = 5 * time.Second

// tailBus acts on every message of the bus until ctx ends.
func (n *Node) tailBus(ctx context.Context) {
	checkAt := time.Now().Add(checkEvery)
	for ctx.Err() == nil {
		entries, err := n.read(ctx, n.keys.Bus(), n.tail.position().String())
		for _, e := range entries {
			n.note(e)
			n.hear(e.FieldValues)
		}
		if err == nil && len(entries) == 0 && time.Now().After(checkAt) {
			err = n.checkBus(ctx)
			checkAt = time.Now().Add(checkEvery)
		}
		if err == nil && n.broken != (position{}) {
			err = n.mendBus(ctx)
		}
		if err != nil {
			n.pause(ctx, "bus not read", err)
		}
	}
}

// checkBus keeps the bus alive, and notices that it ends before where this
// instance has read it: then a failover has lost its end. What came after would
// not be read as long as its ids are smaller.
func (n *Node) checkBus(ctx context.Context) error {
	kept := n.rdb.Do(ctx, n.rdb.B().Pexpire().Key(n.keys.Bus()).Milliseconds(busTTL.Milliseconds()).Build()).Error()
	end, err := n.endOfBus(ctx)
	if err != nil {
		return err
	}
	if end.before(n.tail.position()) {
		n.broken = n.tail.position()
	}
	if kept != nil {
		return redisx.Unavailable("keep the bus", kept)
	}
	return nil
}

// endOfBus returns the position of the last message of the bus.
func (n *Node) endOfBus(ctx context.Context) (position, error) {
	last, err := n.rdb.Do(ctx, n.rdb.B().Xrevrange().Key(n.keys.Bus()).End("+").Start("-").Count(1).Build()).AsXRange()
	if err != nil {
		return position{}, redisx.Unavailable("look at the bus", err)
	}
	if len(last) == 0 {
		return position{}, nil
	}
	end, _ := parsePosition(last[0].ID)
	return end, nil
}

// reach waits until this instance has heard the bus up to a position. A client
// may come from an instance that was quicker: here it would seem to be from
// before a failover. If the bus does not go that far it is, and reach returns.
func (n *Node) reach(ctx context.Context, at position) {
	if !n.tail.position().before(at) {
		return
	}
	if end, err := n.endOfBus(ctx); err != nil || end.before(at) {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(n.opts.RedisTimeout); n.tail.position().before(at) && time.Now().Before(deadline); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

var (
	//go:embed lua/bus_mend.lua
	busMendLua string

	busMend = redisx.NewRepeatableScript("mend the bus", busMendLua)
)

// mendBus marks the place where the bus has lost its end, for all instances:
// also those that had not read so far, and those that join later.
func (n *Node) mendBus(ctx context.Context) error {
	n.opts.Logger.Warn("the bus has lost its end")
	ms := n.broken.ms
	_, err := busMend.Exec(ctx, n.rdb, []string{n.keys.Bus()},
		n.broken.String(), strconv.FormatUint(ms, 10), position{ms + 1, 0}.String(),
		strconv.FormatInt(busTTL.Milliseconds(), 10), kindLost, "v", envelopeVersion, "k", kindLost)
	if err == nil {
		n.broken = position{}
	}
	return err
}

// note takes one message of the bus into the tail. It is for joinBus, and then
// for the loop of tailBus alone.
func (n *Node) note(e rueidis.XRangeEntry) {
	at, ok := parsePosition(e.ID)
	if !ok {
		return
	}
	n.follow(at, e.FieldValues)
	switch f := e.FieldValues; {
	case f["v"] != envelopeVersion:
		n.tail.pass(at)
	case f["k"] == kindUpdated:
		n.feeds.hear(&n.tail, newUpdate(at, f["u"]))
	case f["k"] == kindChanged && slices.Contains(lists, f["l"]):
		n.feeds.hear(&n.tail, newListChange(at, f["l"]))
	case f["k"] == kindLost:
		n.feeds.lose(&n.tail, at)
	default:
		n.tail.pass(at)
	}
}

// follow looks whether the message at a position follows the last one heard.
func (n *Node) follow(at position, f map[string]string) {
	heard := n.tail.position()
	previous, linked := parsePosition(f["p"])
	switch {
	case heard == position{}: // the first message; before it there may have been others
		n.feeds.lose(&n.tail, at.previous())
	case !linked || previous == heard: // without a link it is a mark, or of an older instance
	default:
		n.opts.Logger.Warn("messages of the bus were missed")
		n.feeds.lose(&n.tail, at.previous())
		if previous.before(heard) {
			n.broken = heard
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
		return p.calls[jsonrpcmsg.IDKey(id)]
	}
	return nil
}
