package node

import (
	"context"
	_ "embed"
	"encoding/json"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

var (
	//go:embed lua/inbox_send.lua
	inboxSendLua string
	//go:embed lua/inbox_renew.lua
	inboxRenewLua string

	inboxSend  = redisx.NewScript("send to inbox", inboxSendLua)
	inboxRenew = redisx.NewScript("renew inbox", inboxRenewLua)
)

// maxInbox is about how many unread messages an inbox keeps. What is dropped
// beyond it is found again: events are in their log, and a question whose
// answer is lost has its deadline.
const maxInbox = 10_000

// envelopeVersion is the version of the messages between instances. A node
// ignores kinds and versions it does not know, so that a fleet can be upgraded
// one instance at a time.
const envelopeVersion = "1"

// The kinds of messages in an inbox and on the bus.
const (
	kindEvent    = "event"    // inbox: an event for a reader here
	kindClose    = "close"    // inbox: a connection here is to end
	kindReply    = "reply"    // inbox: the client's answer to a question asked here
	kindProgress = "progress" // inbox: the client's progress with such a question
	kindEnd      = "end"      // bus: a session has ended
	kindCancel   = "cancel"   // bus: a client no longer wants a call
	kindUpdated  = "updated"  // bus: a resource was updated
	kindChanged  = "changed"  // bus: a list has changed
	kindLost     = "lost"     // bus: what was before may not be complete
	kindHello    = "hello"    // both: nothing

	kindSubscriptions = "subscriptions" // inbox: a reader's session has other subscriptions
	kindSubscribed    = "subscribed"    // inbox: such a reader knows them now

	kindRuns = "runs" // inbox: a call whose response a reader here is to carry runs
	kindRan  = "ran"  // inbox: such a call has ended
)

// renew keeps the inbox alive and drops what has been read.
func (n *Node) renew(ctx context.Context, read string) (existed bool, err error) {
	sent := time.Now()
	msg, err := inboxRenew.Exec(ctx, n.rdb, []string{n.keys.Inbox(n.id)}, strconv.FormatInt(inboxTTL.Milliseconds(), 10), read)
	if err != nil {
		return false, err
	}
	// The inbox lives from when the renewal was sent, not from when its answer
	// came.
	if last := n.renewed.Swap(sent.UnixNano()); sent.Sub(time.Unix(0, last)) > lookEvery+renewEvery {
		n.steady.Store(sent.UnixNano())
	}
	v, err := msg.AsInt64()
	return v == 1, err
}

// readInbox reads and renews the inbox until ctx ends. One goroutine does both:
// an instance that cannot read its inbox must not look alive.
func (n *Node) readInbox(ctx context.Context) {
	last := "0"
	renewAt := time.Now().Add(renewEvery)
	for ctx.Err() == nil {
		if !time.Now().Before(renewAt) {
			existed, err := n.renew(ctx, last)
			if err != nil {
				n.pause(ctx, "inbox not renewed", err)
				continue
			}
			if !existed {
				n.opts.Logger.Warn("the inbox had expired: the fleet may have taken this instance for dead")
				last = "0"
				n.keeper.touchAll() // a touch finds what could not be sent here
			}
			renewAt = time.Now().Add(renewEvery)
		}
		entries, err := n.read(ctx, n.keys.Inbox(n.id), last)
		for _, e := range entries {
			last = e.ID
			n.receive(ctx, e.FieldValues)
		}
		if err != nil {
			n.pause(ctx, "inbox not read", err)
			// If it has expired, what is sent here is lost until it is made anew.
			renewAt = time.Now()
		}
	}
}

// read returns the entries of a Redis Stream after position, for which it waits
// at most probeAfter.
func (n *Node) read(ctx context.Context, key, position string) ([]rueidis.XRangeEntry, error) {
	// A connection that went dead without a word is noticed by a bound. It is
	// not a deadline: with one, rueidis does not look at ctx until then, and
	// Close would have to wait.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(probeAfter+n.opts.Timeout, cancel).Stop()
	// rueidis runs it on a connection of its own and, when that breaks, repeats it
	// on another: it must be pinned as package redisx does with what it runs.
	cmd := n.rdb.B().Xread().Count(256).Block(probeAfter.Milliseconds()).Streams().Key(key).Id(position).Build().Pin()
	streams, err := n.rdb.Client.Do(ctx, cmd).AsXRead()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return streams[key], err
}

// pause logs a failure of a loop and waits a moment, so that the loop does not
// spin while Redis is away.
func (n *Node) pause(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	n.opts.Logger.Warn(what, "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(250 * time.Millisecond):
	}
}

// receive acts on one message of the inbox. It must not block.
func (n *Node) receive(ctx context.Context, f map[string]string) {
	if f["v"] != envelopeVersion {
		return
	}
	switch f["k"] {
	case kindEvent:
		n.receiveEvent(f)
	case kindClose:
		if ms, err := strconv.ParseInt(f["retry"], 10, 64); err == nil {
			n.closeHere(f["r"], closing{retry: time.Duration(ms) * time.Millisecond, taken: f["taken"] == "1"})
		}
	case kindSubscriptions:
		n.background(func() { n.reloadSubscriptions(f["r"], f["i"], f["w"]) })
	case kindSubscribed:
		n.happened(f["w"])
	case kindRuns, kindRan:
		n.receiveCarried(f)
	case kindReply, kindProgress:
		if c := n.conn(f["c"]); c != nil && c.session == f["s"] {
			c.receiveAnswer(f["k"], f["q"], json.RawMessage(f["d"]), f["e"] == "1")
		}
	}
}

func (n *Node) receiveEvent(f map[string]string) {
	offset, err := strconv.ParseInt(f["o"], 10, 64)
	if err != nil {
		return
	}
	if r := n.reader(f["r"]); r != nil {
		id := eventlog.ID{Stream: r.stream.Stream, Offset: offset, Nonce: f["t"]}
		r.deliver(eventlog.Event{ID: id, Data: []byte(f["d"])}, f["e"] == "1")
	}
}

// deliver hands an appended event to the reader of its stream, wherever that
// is. It does not fail: what does not arrive is in the log, where the reader
// finds it.
func (n *Node) deliver(ctx context.Context, ref string, e eventlog.Event, end bool) {
	instance, id := splitRef(ref)
	if instance != n.id {
		n.Publisher.deliver(ctx, ref, e, end)
		return
	}
	if r := n.reader(id); r != nil {
		r.deliver(e, end)
	}
}

// takeOver ends the connection of a stream's previous reader.
func (n *Node) takeOver(ctx context.Context, ref string) {
	n.closeRef(ctx, ref, closing{retry: reconnectLater, taken: true})
}

// closeReader ends the connection of a stream's reader, who is to come back
// after retry.
func (n *Node) closeReader(ctx context.Context, ref string, retry time.Duration) {
	n.closeRef(ctx, ref, closing{retry: retry})
}

func (n *Node) closeRef(ctx context.Context, ref string, c closing) {
	instance, id := splitRef(ref)
	switch instance {
	case "":
	case n.id:
		n.closeHere(id, c)
	default:
		_, err := n.send(ctx, instance, "k", kindClose, "r", id, "retry", strconv.FormatInt(c.retry.Milliseconds(), 10), "taken", redisx.Flag(c.taken))
		if err != nil {
			n.opts.Logger.Warn("reader not told to end", "error", err)
		}
	}
}

func (n *Node) closeHere(id string, c closing) {
	if r := n.reader(id); r != nil {
		r.close(c)
	}
}

// Standalone appends a message to a session's standalone stream, and hands it
// to the stream's reader if there is one.
func (n *Node) Standalone(ctx context.Context, session string, data []byte) error {
	return n.append(ctx, eventlog.StandaloneOf(session), "", data)
}

// append adds a message to a stream and hands it to the stream's reader.
func (n *Node) append(ctx context.Context, id eventlog.StreamID, writer string, data []byte) error {
	e, reader, err := n.Publisher.append(ctx, id, writer, data)
	if err == nil {
		n.deliver(ctx, reader, e, false)
	}
	return err
}
