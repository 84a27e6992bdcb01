package node

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// An inboxMessage is what one instance tells another. Each kind is a type below,
// with its form in Redis: encode returns an entry's fields and values, decode
// takes them back. Neither may change while instances of both sides run.
//
// To add a kind, write its type here and its case in Node.receive.
type inboxMessage interface {
	encode() []string
}

func envelope(kind string, fields ...string) []string {
	return append([]string{"v", bus.EnvelopeVersion, "k", kind}, fields...)
}

// kindHello is that of the message with which the inbox and the responses begin.
const kindHello = "hello"

// eventAppended brings an event to the reader of its stream, or with End the news
// that the stream has ended before or behind it.
type eventAppended struct {
	Session string // empty from an older instance, as Stream is
	Stream  string
	Reader  string
	Offset  int64
	Nonce   string
	Data    []byte
	End     bool
}

const kindEventAppended = "event"

func (m eventAppended) encode() []string {
	return envelope(kindEventAppended, "r", m.Reader, "o", strconv.FormatInt(m.Offset, 10), "t", m.Nonce,
		"d", rueidis.BinaryString(m.Data), "e", redisx.Flag(m.End), "s", m.Session, "n", m.Stream)
}

func decodeEventAppended(f map[string]string) (m eventAppended, err error) {
	m = eventAppended{Session: f["s"], Stream: f["n"], Reader: f["r"], Nonce: f["t"], Data: []byte(f["d"]), End: f["e"] == "1"}
	m.Offset, err = strconv.ParseInt(f["o"], 10, 64)
	return m, err
}

// event returns the event, which is one of the given stream.
func (m eventAppended) event(stream string) eventlog.Event {
	return eventlog.Event{ID: eventlog.ID{Stream: stream, Offset: m.Offset, Nonce: m.Nonce}, Data: m.Data}
}

// readerClosed ends the connection of a reader.
type readerClosed struct {
	Reader string
	Retry  time.Duration // the client's wait before it reconnects
	Taken  bool          // another connection reads the stream now
}

const kindReaderClosed = "close"

func (m readerClosed) encode() []string {
	return envelope(kindReaderClosed, "r", m.Reader, "retry", redisx.Millis(m.Retry), "taken", redisx.Flag(m.Taken))
}

func decodeReaderClosed(f map[string]string) (readerClosed, error) {
	ms, err := strconv.ParseInt(f["retry"], 10, 64)
	return readerClosed{Reader: f["r"], Retry: time.Duration(ms) * time.Millisecond, Taken: f["taken"] == "1"}, err
}

// A serverRequestRef names a server request: that with a number, of a connection
// of a session.
type serverRequestRef struct {
	Session string
	Conn    string
	Number  string
}

func (r serverRequestRef) envelope(kind, data string, isError bool) []string {
	return envelope(kind, "s", r.Session, "c", r.Conn, "q", r.Number, "d", data, "e", redisx.Flag(isError))
}

func decodeServerRequestRef(f map[string]string) serverRequestRef {
	return serverRequestRef{Session: f["s"], Conn: f["c"], Number: f["q"]}
}

// responseArrived brings the client's response to a server request.
type responseArrived struct {
	serverRequestRef
	Data    json.RawMessage // the result, or the error
	IsError bool
}

const kindResponseArrived = "reply"

func (m responseArrived) encode() []string {
	return m.envelope(kindResponseArrived, string(m.Data), m.IsError)
}

func decodeResponseArrived(f map[string]string) responseArrived {
	return responseArrived{decodeServerRequestRef(f), json.RawMessage(f["d"]), f["e"] == "1"}
}

// progressArrived brings the client's progress with a server request.
type progressArrived struct {
	serverRequestRef
	Params json.RawMessage
}

const kindProgressArrived = "progress"

func (m progressArrived) encode() []string {
	return m.envelope(kindProgressArrived, string(m.Params), false)
}

func decodeProgressArrived(f map[string]string) progressArrived {
	return progressArrived{decodeServerRequestRef(f), json.RawMessage(f["d"])}
}

// subscriptionsChanged has a reader load its session's subscriptions again. If
// Waiter is not empty, Instance is told when that is done.
type subscriptionsChanged struct {
	Reader   string
	Instance string
	Waiter   string
}

const kindSubscriptionsChanged = "subscriptions"

func (m subscriptionsChanged) encode() []string {
	if m.Waiter == "" {
		return envelope(kindSubscriptionsChanged, "r", m.Reader)
	}
	return envelope(kindSubscriptionsChanged, "r", m.Reader, "i", m.Instance, "w", m.Waiter)
}

func decodeSubscriptionsChanged(f map[string]string) subscriptionsChanged {
	return subscriptionsChanged{Reader: f["r"], Instance: f["i"], Waiter: f["w"]}
}

// subscriptionsLoaded says that a reader knows its session's subscriptions.
type subscriptionsLoaded struct{ Waiter string }

const kindSubscriptionsLoaded = "subscribed"

func (m subscriptionsLoaded) encode() []string {
	return envelope(kindSubscriptionsLoaded, "w", m.Waiter)
}

func decodeSubscriptionsLoaded(f map[string]string) subscriptionsLoaded {
	return subscriptionsLoaded{Waiter: f["w"]}
}

// relayStarted tells the owner of an SSE session's stream that Instance runs a
// call whose response goes to that stream.
type relayStarted struct {
	Reader   string
	Session  string
	Call     string
	Instance string
}

const kindRelayStarted = "runs"

func (m relayStarted) encode() []string {
	return envelope(kindRelayStarted, "r", m.Reader, "s", m.Session, "c", m.Call, "i", m.Instance)
}

func decodeRelayStarted(f map[string]string) relayStarted {
	return relayStarted{Reader: f["r"], Session: f["s"], Call: f["c"], Instance: f["i"]}
}

// relayEnded tells the owner of an SSE session's stream that such a call has ended.
type relayEnded struct {
	Reader   string
	Call     string
	Instance string
}

const kindRelayEnded = "ran"

func (m relayEnded) encode() []string {
	return envelope(kindRelayEnded, "r", m.Reader, "s", "", "c", m.Call, "i", m.Instance)
}

func decodeRelayEnded(f map[string]string) relayEnded {
	return relayEnded{Reader: f["r"], Call: f["c"], Instance: f["i"]}
}
