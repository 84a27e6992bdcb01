package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/roundstore"
)

// A link is a process's way to the fleet, whether it is an instance or only
// publishes.
type link struct {
	rdb    redisx.Client
	keys   rediskeys.Space
	log    *eventlog.Log
	bus    *bus.Bus
	rounds *roundstore.Store
	logger *slog.Logger
}

func newLink(o Options) (link, error) {
	if o.Redis == nil {
		return link{}, errors.New("Options.Redis is nil")
	}
	keys, err := rediskeys.New(o.Prefix)
	if err != nil {
		return link{}, fmt.Errorf("Options.Prefix: %w", err)
	}
	rdb := redisx.New(o.Redis, o.RedisTimeout)
	if o.Store != nil {
		rdb.Clock = o.Store.Clock() // what the inbox's renewals tell is for both
	}
	return link{
		rdb:    rdb,
		keys:   keys,
		log:    eventlog.New(rdb, keys, o.Log),
		bus:    bus.New(rdb, keys, o.Logger),
		rounds: roundstore.New(rdb, keys, o.AnswerWithin, maxAnswers),
		logger: o.Logger,
	}, nil
}

// append adds a message to a session's standalone stream, and returns the event and
// the stream's reader, to which it has to be handed.
func (l link) append(ctx context.Context, session string, data []byte) (e eventlog.Event, reader string, err error) {
	return l.log.AppendRetried(ctx, eventlog.StandaloneOf(session), eventlog.Append{Nonce: eventlog.NewNonce(), Data: data})
}

// sendEvent sends an event appended to a session's stream to the instance of the
// stream's reader. It does not fail: what does not arrive is in the log, where the
// reader finds it.
func (l link) sendEvent(ctx context.Context, session, reader string, e eventlog.Event, end bool) {
	instance, id := splitRef(reader)
	if instance == "" {
		return
	}
	_, err := l.send(ctx, instance, eventAppended{Session: session, Stream: e.ID.Stream, Reader: id, Offset: e.ID.Offset, Nonce: e.ID.Nonce, Data: e.Data, End: end})
	if err != nil {
		l.logger.Warn("event not sent to its reader", "error", err)
	}
}

// send puts a message into an instance's inbox and reports whether that
// instance lives. A message whose fate is unknown is sent again, so it may
// arrive more than once.
func (l link) send(ctx context.Context, instance string, m inboxMessage) (alive bool, err error) {
	args := append([]string{strconv.Itoa(maxInbox)}, m.encode()...)
	err = l.rdb.RetryWrite(func(rdb redisx.Client) error {
		msg, err := inboxSend.Exec(ctx, rdb, []string{l.keys.Inbox(instance)}, args...)
		if err == nil {
			var sent int64
			sent, err = msg.AsInt64()
			alive = sent == 1
		}
		return err
	})
	return alive, err
}

// readerRef is how a reader is named to the fleet: its instance and itself.
func (n *Node) readerRef(r *Reader) string { return n.id + "/" + r.id }

func splitRef(ref string) (instance, reader string) {
	instance, reader, _ = strings.Cut(ref, "/")
	return instance, reader
}
