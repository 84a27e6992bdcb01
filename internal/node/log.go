package node

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

var (
	// ErrTooManyStreams says that a session has the maximum number of open streams.
	ErrTooManyStreams = errors.New("too many open streams in this session")
	// ErrLost says that an event or stream is not, or no longer, in the log.
	ErrLost = errors.New("event is not in the log")
	// ErrEnded says that a stream has ended: nothing can be added to it.
	ErrEnded = errors.New("stream has ended")
	// ErrFenced says that a stream is written by another instance.
	ErrFenced = errors.New("stream has another writer")
)

// A StreamID identifies one stream of one session.
type StreamID struct {
	Session string
	Stream  string
}

// An Event is one entry of a stream's log.
type Event struct {
	ID   EventID
	Data []byte // a JSON-RPC message; empty for the event that begins a call's stream
}

// LogOptions bound a [Log]. The zero value of a field means its default.
type LogOptions struct {
	// MaxEvents and MaxEventBytes bound what is stored of one stream; beyond them, the
	// oldest events are dropped. If zero, 1,000 events and 16 MiB.
	MaxEvents, MaxEventBytes int
	// MaxStreams bounds the unfinished call streams of a session. If zero, 16.
	MaxStreams int
	// ResumeFor is how long a stream can still be resumed after it has ended. If
	// zero, 5 minutes.
	ResumeFor time.Duration
}

func (o LogOptions) withDefaults() LogOptions {
	options.OrDefault(&o.MaxEvents, 1000)
	options.OrDefault(&o.MaxEventBytes, 16<<20)
	options.OrDefault(&o.MaxStreams, 16)
	options.OrDefault(&o.ResumeFor, 5*time.Minute)
	return o
}

// A Log stores the events of streams in Redis. An event is appended to its
// stream's log before any client sees it, so that any instance can resume the
// stream, even after its writer died. Its methods are safe for concurrent use,
// block for one call to Redis, and fail with [sessionstore.ErrNotFound] if the
// session does not exist and [sessionstore.ErrUnavailable] if Redis does not answer.
type Log struct {
	rdb  redisx.Client
	keys rediskeys.Space
	opts LogOptions
}

var (
	//go:embed lua/stream_open.lua
	streamOpenLua string
	//go:embed lua/stream_append.lua
	streamAppendLua string
	//go:embed lua/stream_attach.lua
	streamAttachLua string
	//go:embed lua/stream_read.lua
	streamReadLua string
	//go:embed lua/stream_detach.lua
	streamDetachLua string

	streamOpen   = redisx.NewScript("open stream", streamOpenLua)
	streamAppend = redisx.NewScript("append event", streamAppendLua)
	streamAttach = redisx.NewScript("attach to stream", streamAttachLua)
	streamRead   = redisx.NewScript("read stream", streamReadLua)
	streamDetach = redisx.NewScript("detach from stream", streamDetachLua)
)

// Open begins the stream of a call: id must be new, writer is the instance that
// will append to it, reader the connection that follows it or empty, and call
// the raw id of the request. It returns the stream's first event, which has no
// data: it gives a client an id to resume from before anything happened. A
// session that has too many open streams gets [ErrTooManyStreams].
func (l *Log) Open(ctx context.Context, id StreamID, writer, reader string, call json.RawMessage) (Event, error) {
	return l.open(ctx, id, newTag(), writer, reader, call)
}

// open is Open with the first event's tag; repeated with the same tag it is
// the same stream.
func (l *Log) open(ctx context.Context, id StreamID, tag, writer, reader string, call json.RawMessage) (Event, error) {
	msg, err := streamOpen.Exec(ctx, l.rdb,
		[]string{l.keys.Session(id.Session), l.keys.OpenStreams(id.Session), l.keys.Stream(id.Session, id.Stream), l.keys.Log(id.Session, id.Stream)},
		id.Stream, writer, reader, string(call), tag, strconv.Itoa(l.opts.MaxStreams))
	if err != nil {
		return Event{}, err
	}
	status, err := msg.ToString()
	if err != nil {
		return Event{}, redisx.Unavailable("open stream", err)
	}
	if status == "full" {
		return Event{}, ErrTooManyStreams
	}
	return Event{ID: EventID{Stream: id.Stream, Tag: tag}}, statusError(status)
}

// An Append describes what [Log.Append] adds to a stream.
type Append struct {
	// Writer is the instance that opened the stream; empty for the standalone
	// stream, which every instance writes to.
	Writer string
	// Tag is new for each event: a repeated append with the same tag changes
	// nothing. Without a tag no event is added.
	Tag  string
	Data []byte
	// End ends the stream, after the event if there is one.
	End bool
	// Again says that an earlier try may have succeeded unnoticed.
	Again bool
	// Once says that an earlier, delayed try may even arrive after this one: the
	// event is then still appended only once, unless many events come in between.
	// It is for events that do not end the stream.
	Once bool
}

// again returns how a script is to look for an earlier try.
func (a Append) again() string {
	if a.Once && !a.Again {
		return "recent"
	}
	return flag(a.Again)
}

// Append adds an event to a stream, or ends it, and returns the event's offset
// and the stream's current reader. After [sessionstore.ErrUnavailable] the outcome
// is unknown; it is then safe to repeat the append with Again set. It fails
// with [ErrEnded] or [ErrFenced], and with [ErrLost] if a call's stream does
// not exist.
func (l *Log) Append(ctx context.Context, id StreamID, a Append) (offset int64, reader string, err error) {
	msg, err := streamAppend.Exec(ctx, l.rdb,
		[]string{
			l.keys.Session(id.Session), l.keys.OpenStreams(id.Session), l.keys.EndedStreams(id.Session),
			l.keys.Stream(id.Session, id.Stream), l.keys.Log(id.Session, id.Stream),
		},
		id.Stream, a.Writer, a.Tag, rueidis.BinaryString(a.Data), flag(a.End),
		strconv.FormatInt(l.opts.ResumeFor.Milliseconds(), 10), strconv.Itoa(l.opts.MaxEvents), strconv.Itoa(l.opts.MaxEventBytes),
		a.again())
	if err != nil {
		return 0, "", err
	}
	r := newReply(msg)
	if err := statusError(r.text()); err != nil {
		return 0, "", err
	}
	offset, reader = r.number(), r.text()
	return offset, reader, r.err
}

// An Attachment is what [Log.Attach] returns to the new reader of a stream.
type Attachment struct {
	Events   []Event         // the first of what follows the client's last event
	From     int64           // offset of the first event that follows, here or not
	Next     int64           // offset after the last event in the log
	Ended    bool            // nothing will be added
	Writer   string          // the instance that writes; empty for the standalone stream
	Previous string          // the reader until now; empty if there was none
	Call     json.RawMessage // the id of the stream's call; nil for the standalone stream
	Position string          // where on the bus the client is, or the last reader's was; empty if unknown
}

// readPage is how many events one script returns at the most: Redis does
// nothing else in the meantime.
const readPage = 128

// Attach makes reader the one connection that follows the stream, and returns
// the events it has to send, at most 128; [Log.Read] returns the rest. With
// after, they begin behind that event; Attach fails with [ErrLost] if that
// event is not in the log. Without after, or with [Anew], which are for the
// standalone stream, they begin behind what its last reader has sent.
func (l *Log) Attach(ctx context.Context, id StreamID, reader string, after *EventID) (Attachment, error) {
	var at EventID
	if after != nil {
		at = *after
	}
	if after == nil || at.Offset == noOffset {
		at.Offset, at.Tag = -1, ""
	}
	msg, err := streamAttach.Exec(ctx, l.rdb,
		[]string{l.keys.Session(id.Session), l.keys.Stream(id.Session, id.Stream), l.keys.Log(id.Session, id.Stream)},
		reader, strconv.FormatInt(at.Offset, 10), at.Tag, strconv.Itoa(readPage),
		flag(after != nil && IsStandalone(id.Stream)), at.Position)
	if err != nil {
		return Attachment{}, err
	}
	r := newReply(msg)
	if err := statusError(r.text()); err != nil {
		return Attachment{}, err
	}
	a := Attachment{From: r.number(), Next: r.number(), Ended: r.text() == "1", Writer: r.text(), Previous: r.text()}
	if call := r.text(); call != "" {
		a.Call = json.RawMessage(call)
	}
	a.Position = r.text()
	a.Events = r.events(id.Stream, a.From)
	return a, r.err
}

// Read returns events from offset from on, at most 128, the offset after the
// last event in the log, and whether the stream has ended. It fails with
// [ErrLost] if the event at from was dropped.
func (l *Log) Read(ctx context.Context, id StreamID, from int64) (events []Event, next int64, ended bool, err error) {
	msg, err := streamRead.Exec(ctx, l.rdb,
		[]string{l.keys.Stream(id.Session, id.Stream), l.keys.Log(id.Session, id.Stream)},
		strconv.FormatInt(from, 10), strconv.Itoa(readPage))
	if err != nil {
		return nil, 0, false, err
	}
	r := newReply(msg)
	if err := statusError(r.text()); err != nil {
		return nil, 0, false, err
	}
	next, ended = r.number(), r.text() == "1"
	return r.events(id.Stream, from), next, ended, r.err
}

// Detach records that reader has sent everything before offset seen, and all
// changes up to a position on the bus, and no longer follows the stream. It
// does nothing if another connection has taken over.
func (l *Log) Detach(ctx context.Context, id StreamID, reader string, seen int64, position string) error {
	_, err := streamDetach.Exec(ctx, l.rdb, []string{l.keys.Stream(id.Session, id.Stream)}, reader, strconv.FormatInt(seen, 10), position)
	return err
}

func statusError(status string) error {
	switch status {
	case "ok":
		return nil
	case "gone":
		return sessionstore.ErrNotFound
	case "lost":
		return ErrLost
	case "ended":
		return ErrEnded
	case "fenced":
		return ErrFenced
	default:
		return fmt.Errorf("unknown reply %q of a stream script", status)
	}
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return ""
}

// A reply reads the elements of a script's reply in order, and keeps the first
// error.
type reply struct {
	rest []rueidis.RedisMessage
	err  error
}

func newReply(msg rueidis.RedisMessage) *reply {
	all, err := msg.ToArray()
	return &reply{all, err}
}

func (r *reply) next() (msg rueidis.RedisMessage, ok bool) {
	if len(r.rest) == 0 {
		if r.err == nil {
			r.err = errors.New("short reply of a stream script")
		}
		return msg, false
	}
	msg, r.rest = r.rest[0], r.rest[1:]
	return msg, true
}

func (r *reply) text() string {
	msg, ok := r.next()
	if !ok {
		return ""
	}
	s, err := msg.ToString()
	if err != nil && r.err == nil {
		r.err = err
	}
	return s
}

func (r *reply) number() int64 {
	msg, ok := r.next()
	if !ok {
		return 0
	}
	n, err := msg.AsInt64()
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

// events reads all that is left as log entries, the first at offset from.
func (r *reply) events(stream string, from int64) []Event {
	events := make([]Event, 0, len(r.rest))
	for offset := from; len(r.rest) > 0; offset++ {
		entry := r.text()
		if len(entry) < tagLength {
			r.err = fmt.Errorf("log entry %d of stream %s has no tag", offset, stream)
			return nil
		}
		events = append(events, Event{EventID{Stream: stream, Offset: offset, Tag: entry[:tagLength]}, []byte(entry[tagLength:])})
	}
	return events
}
