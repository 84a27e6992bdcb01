package node

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
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

// maxInbox is about how many unread messages an inbox keeps. Nothing is lost for
// good with what is dropped beyond it: events are in their log, and what must not be
// lost goes into the responses.
const maxInbox = 10_000

// mail is the two streams of messages to one instance, and how far it has read
// them.
type mail struct{ inbox, responses string }

// firstMail is the ids of the messages with which both streams begin.
var firstMail = mail{inbox: "0-1", responses: "0-1"}

func (n *Node) mailKeys() []string { return []string{n.keys.Inbox(n.id), n.keys.Responses(n.id)} }

// renewInbox keeps the inbox and the responses alive, or makes them anew, and drops
// what has been read.
func (n *Node) renewInbox(ctx context.Context, read mail) error {
	sent := time.Now()
	msg, err := inboxRenew.Exec(ctx, n.rdb, n.mailKeys(),
		redisx.Millis(inboxTTL), read.inbox, redisx.Millis(n.opts.AnswerWithin+responsesMargin), read.responses)
	if err != nil {
		return err
	}
	// The inbox lives from when the renewal was sent, not from when Redis
	// answered.
	if last := n.renewed.Swap(sent.UnixNano()); sent.Sub(time.Unix(0, last)) > checkEvery+renewEvery {
		n.steady.Store(sent.UnixNano())
	}
	now, err := msg.AsInt64()
	if err != nil {
		return fmt.Errorf("renew inbox: %w", err)
	}
	n.rdb.Clock.Observe(sent, now)
	return nil
}

// alive reports whether the fleet has reason to think that this instance lives.
func (n *Node) alive() bool {
	return time.Since(time.Unix(0, n.renewed.Load())) < inboxTTL
}

// readInbox reads and renews the inbox and the responses until ctx ends. One
// goroutine does both: an instance that cannot read its inbox must not look alive.
func (n *Node) readInbox(ctx context.Context) {
	read := firstMail
	renewAt := time.Now().Add(renewEvery)
	for ctx.Err() == nil {
		if !time.Now().Before(renewAt) {
			if err := n.renewInbox(ctx, read); err != nil {
				redisx.Pause(ctx, n.logger, "inbox not renewed", err)
				continue
			}
			renewAt = time.Now().Add(renewEvery)
		}
		err := n.readMail(ctx, &read)
		if err != nil {
			redisx.Pause(ctx, n.logger, "inbox not read", err)
			// If it has expired, what is sent here is lost until it is made anew.
			renewAt = time.Now()
		}
	}
}

// readMail acts on the messages that come next, for which it waits a while.
func (n *Node) readMail(ctx context.Context, read *mail) error {
	keys := n.mailKeys()
	streams, err := n.rdb.ReadStreams(ctx, keys, []string{read.inbox, read.responses})
	for _, e := range streams[keys[0]] {
		read.inbox = e.ID
		if e.FieldValues["k"] == kindHello {
			n.logger.Warn("the inbox had expired: the fleet may have taken this instance for dead")
			n.toucher.touchAll() // a touch finds what could not be sent here
		}
		n.receive(e.FieldValues)
	}
	for _, e := range streams[keys[1]] {
		read.responses = e.ID
		if e.FieldValues["k"] == kindHello {
			n.logger.Error("the responses of clients were lost: server requests that were open fail")
			n.failServerRequests()
		}
		n.receive(e.FieldValues)
	}
	return err
}

// receive acts on one message of either stream. It must not block. Kinds and
// versions that it does not know are those of a newer instance.
func (n *Node) receive(f map[string]string) {
	if f["v"] != bus.EnvelopeVersion {
		return
	}
	switch f["k"] {
	case kindEventAppended:
		if m, err := decodeEventAppended(f); err == nil {
			n.receiveEvent(m)
		}
	case kindReaderClosed:
		if m, err := decodeReaderClosed(f); err == nil {
			n.closeHere(m.Reader, closing{retry: m.Retry, taken: m.Taken})
		}
	case kindResponseArrived:
		m := decodeResponseArrived(f)
		if c := n.askingConn(m.serverRequestRef); c != nil {
			c.receiveResponse(m)
		}
	case kindProgressArrived:
		m := decodeProgressArrived(f)
		if c := n.askingConn(m.serverRequestRef); c != nil {
			c.receiveProgress(m)
		}
	case kindSubscriptionsChanged:
		m := decodeSubscriptionsChanged(f)
		n.background(func() { n.reloadSubscriptions(m) })
	case kindSubscriptionsLoaded:
		n.waiters.wake(decodeSubscriptionsLoaded(f).Waiter)
	case kindRelayStarted:
		n.receiveRelayStarted(decodeRelayStarted(f))
	case kindRelayEnded:
		n.receiveRelayEnded(decodeRelayEnded(f))
	case kindAnswersArrived:
		if m, err := decodeAnswersArrived(f); err == nil {
			n.background(func() { n.receiveAnswersArrived(m) })
		}
	case kindFrontTold:
		if m, err := decodeFrontTold(f); err == nil {
			n.receiveFrontTold(m)
		}
	case kindFrontTook:
		if m, err := decodeFrontTook(f); err == nil {
			n.receiveFrontTook(m)
		}
	case kindFrontGone:
		n.receiveFrontGone(decodeFrontGone(f))
	}
}

func (n *Node) receiveEvent(m eventAppended) {
	if r := n.reader(m.Reader); r != nil {
		r.deliver(m.event(r.stream.Stream), m.End)
		return
	}
	if m.Stream != "" {
		n.missingReader(eventlog.StreamID{Session: m.Session, Stream: m.Stream}, n.id+"/"+m.Reader)
	}
}

// askingConn returns the connection here that sent a server request. It is nil
// if the connection has ended, or is of another session.
func (n *Node) askingConn(ref serverRequestRef) *Conn {
	if c := n.conn(ref.Conn); c != nil && c.session == ref.Session {
		return c
	}
	return nil
}

// deliver hands an event appended to a stream of a session to its reader, wherever that
// is. It does not fail: what does not arrive is in the log, where the reader
// finds it.
func (n *Node) deliver(ctx context.Context, session, ref string, e eventlog.Event, end bool) {
	instance, id := splitRef(ref)
	if instance != n.id {
		n.sendEvent(ctx, session, ref, e, end)
		return
	}
	if r := n.reader(id); r != nil {
		r.deliver(e, end)
		return
	}
	n.missingReader(eventlog.StreamID{Session: session, Stream: e.ID.Stream}, ref)
}

// takeOver ends the connection of a stream's previous reader. An instance whose
// inbox is gone finds out by itself, when it is back, who reads its streams.
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
		n.tell(ctx, instance, readerClosed{Reader: id, Retry: c.retry, Taken: c.taken})
	}
}

// tell sends a message whose instance, if its inbox is gone, will learn what it says
// in another way. While Redis is away it tries again in the background.
func (n *Node) tell(ctx context.Context, instance string, m inboxMessage) {
	told := func() bool {
		_, err := n.send(ctx, instance, m)
		if err != nil {
			n.logger.Warn("message not sent", "error", err)
		}
		return err == nil
	}
	if !told() {
		n.background(func() { n.untilDone(time.Second, told) })
	}
}

func (n *Node) closeHere(id string, c closing) {
	if r := n.reader(id); r != nil {
		r.close(c)
	}
}

// Standalone appends a message to a session's standalone stream, and hands it to
// the stream's reader if there is one. It blocks for one call to Redis, or two if
// the reader is elsewhere, and fails with [sessionstore.ErrNotFound] if there is no
// such session and [sessionstore.ErrUnavailable] if the message may not have been
// appended.
func (n *Node) Standalone(ctx context.Context, session string, data []byte) error {
	e, reader, err := n.append(ctx, session, data)
	if err == nil {
		n.deliver(ctx, session, reader, e, false)
	}
	return err
}
