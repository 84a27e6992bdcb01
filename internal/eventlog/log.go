package eventlog

import (
	"context"
	_ "embed"
	"encoding/json"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/options"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A StreamID identifies one stream of one session.
type StreamID struct {
	Session string
	Stream  string
}

// An Event is one entry of a stream's log.
type Event struct {
	ID   ID
	Data []byte // a JSON-RPC message; empty for the event that begins a call's stream
}

// Options bound a [Log]. The zero value of a field means its default.
type Options struct {
	// MaxEvents and MaxEventBytes bound what is stored of one stream; beyond them, the
	// oldest events are dropped. If zero, 1,000 events and 16 MiB.
	MaxEvents, MaxEventBytes int
	// MaxSessionBytes bounds what is stored of all streams of a session, with 512
	// bytes for each; beyond it, streams that have ended are dropped, the first to end
	// first. If zero, 256 MiB.
	MaxSessionBytes int
	// ResumeFor is how long a stream can still be resumed after it has ended. If
	// zero, 5 minutes.
	ResumeFor time.Duration
}

func (o Options) withDefaults() Options {
	options.OrDefault(&o.MaxEvents, 1000)
	options.OrDefault(&o.MaxEventBytes, 16<<20)
	options.OrDefault(&o.MaxSessionBytes, 256<<20)
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
	opts Options
}

// New returns the logs of the streams in a key space. It does no I/O.
func New(rdb redisx.Client, keys rediskeys.Space, opts Options) *Log {
	return &Log{rdb, keys, opts.withDefaults()}
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
	//go:embed lua/stream_claim.lua
	streamClaimLua string

	streamOpen   = redisx.NewScript("open stream", streamOpenLua)
	streamAppend = redisx.NewScript("append event", streamAppendLua)
	streamAttach = redisx.NewScript("attach to stream", streamAttachLua)
	streamRead   = redisx.NewScript("read stream", streamReadLua)
	streamDetach = redisx.NewScript("detach from stream", streamDetachLua)
	streamClaim  = redisx.NewScript("claim stream", streamClaimLua)
)

// An Opening describes the stream of a call that [Log.Open] begins.
type Opening struct {
	Stream StreamID // must be new
	Nonce  string   // of the first event
	Writer string   // the instance that will append
	Reader string   // the connection that follows the stream, or empty
	Call   json.RawMessage
}

// Open begins the stream of a call. It returns the stream's first event, which
// has no data: it gives a client an id to resume from before anything happened.
// After [sessionstore.ErrUnavailable] the outcome is unknown; repeated with the
// same nonce it is the same stream. It fails with [ErrFull].
func (l *Log) Open(ctx context.Context, o Opening) (Event, error) {
	session, stream := o.Stream.Session, o.Stream.Stream
	_, err := l.makeRoom(ctx, session, func() (*result, error) {
		msg, err := streamOpen.Exec(ctx, l.rdb,
			[]string{
				l.keys.Session(session), l.keys.OpenStreams(session), l.keys.Stream(session, stream), l.keys.Log(session, stream),
				l.keys.Stored(session), l.keys.EndedStreams(session),
			},
			stream, o.Writer, o.Reader, string(o.Call), o.Nonce, strconv.Itoa(l.opts.MaxSessionBytes), strconv.Itoa(streamBytes))
		return newResult(msg), err
	})
	return Event{ID: ID{Stream: stream, Nonce: o.Nonce}}, err
}

// An Append describes what [Log.Append] adds to a stream.
type Append struct {
	// Writer is the instance that opened the stream; empty for the standalone
	// stream, which every instance writes to.
	Writer string
	// Nonce is new for each event: a repeated append with the same nonce changes
	// nothing. Without a nonce no event is added.
	Nonce string
	Data  []byte
	// End ends the stream, after the event if there is one.
	End bool
	// Number is which of the writer's appends to the stream this is, from 1 on;
	// zero for the standalone stream. What comes to Redis after a later one is not
	// appended.
	Number int64
	// Again says that an earlier try may have succeeded unnoticed.
	Again bool
	// Last says that the event is what the call ends with. If it is small it is stored
	// in any case.
	Last bool
}

// smallEvent is how large an event may be that is stored in any case.
const smallEvent = 1 << 10

// must reports whether the event is stored in any case.
func (a Append) must() bool { return (a.Last || a.End) && len(a.Data) <= smallEvent }

// number returns the form of a.Number that the script expects.
func (a Append) number() string {
	if a.Number == 0 {
		return ""
	}
	return strconv.FormatInt(a.Number, 10)
}

// Append adds an event to a stream, or ends it, and returns the event and the
// stream's current reader; without a nonce the event's offset is that of the
// next one. After [sessionstore.ErrUnavailable] the outcome is unknown; it is
// then safe to repeat the append with Again set. It fails with [ErrEnded],
// [ErrFenced] or [ErrFull], and with [ErrLost] if a call's stream does not exist.
func (l *Log) Append(ctx context.Context, id StreamID, a Append) (e Event, reader string, err error) {
	r, err := l.makeRoom(ctx, id.Session, func() (*result, error) {
		msg, err := streamAppend.Exec(ctx, l.rdb,
			[]string{
				l.keys.Session(id.Session), l.keys.OpenStreams(id.Session), l.keys.EndedStreams(id.Session),
				l.keys.Stream(id.Session, id.Stream), l.keys.Log(id.Session, id.Stream), l.keys.Stored(id.Session),
			},
			id.Stream, a.Writer, a.Nonce, rueidis.BinaryString(a.Data), redisx.Flag(a.End),
			redisx.Millis(l.opts.ResumeFor), strconv.Itoa(l.opts.MaxEvents), strconv.Itoa(l.opts.MaxEventBytes),
			redisx.Flag(a.Again), strconv.Itoa(l.opts.MaxSessionBytes), strconv.Itoa(streamBytes), redisx.Flag(a.must()),
			a.number(), strconv.FormatInt(l.rdb.Clock.Now(), 10))
		return newResult(msg), err
	})
	if err != nil {
		return Event{}, "", err
	}
	e = Event{ID{Stream: id.Stream, Offset: r.number(), Nonce: a.Nonce}, a.Data}
	return e, r.text(), r.err
}

// AppendRetried is [Log.Append], tried again while the connection to Redis
// breaks; see [redisx.Client.RetryWrite].
func (l *Log) AppendRetried(ctx context.Context, id StreamID, a Append) (e Event, reader string, err error) {
	err = l.rdb.RetryWrite(func(rdb redisx.Client) (err error) {
		e, reader, err = (&Log{rdb, l.keys, l.opts}).Append(ctx, id, a)
		a.Again = true
		return err
	})
	return e, reader, err
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
	Lost     bool            // events that the client has not seen may have been lost
}

// readPage is how many events one script returns at the most: Redis does
// nothing else in the meantime.
const readPage = 128

// Attach makes reader the one connection that follows the stream, and returns
// the events it has to send, at most 128; [Log.Read] returns the rest. With
// after, they begin behind that event; Attach fails with [ErrLost] if that
// event is not in the log. Without after, or with [Anew], which are for the
// standalone stream, they begin behind what its last reader has sent. If ctx has
// ended, so that the client has gone, Attach fails with [sessionstore.ErrUnavailable].
func (l *Log) Attach(ctx context.Context, id StreamID, reader string, after *ID) (Attachment, error) {
	var at ID
	if after != nil {
		at = *after
	}
	if after == nil || at.Offset == noOffset {
		at.Offset, at.Nonce = -1, ""
	}
	r, err := l.attach(ctx, id,
		reader, strconv.FormatInt(at.Offset, 10), at.Nonce, strconv.Itoa(readPage),
		redisx.Flag(after != nil && IsStandalone(id.Stream)), at.Position)
	if err != nil {
		return Attachment{}, err
	}
	a := Attachment{From: r.number(), Next: r.number(), Ended: r.text() == "1", Writer: r.text(), Previous: r.text()}
	if call := r.text(); call != "" {
		a.Call = json.RawMessage(call)
	}
	if a.Position = r.text(); a.Position == "lost" {
		a.Position, a.Lost = "", true
	}
	a.Events = r.events(id.Stream, a.From)
	return a, r.err
}

// attachTries bounds the tries of connections that attach to a stream at once.
const attachTries = 4

// attach runs the script, which it gives a number by which Redis knows the newest
// of several connections. A connection that is refused, although its client is
// still there, tries again with a greater one. One whose client has gone takes no
// stream: the client may have come back on another connection.
func (l *Log) attach(ctx context.Context, id StreamID, args ...string) (*result, error) {
	keys := []string{l.keys.Session(id.Session), l.keys.Stream(id.Session, id.Stream), l.keys.Log(id.Session, id.Stream)}
	number := l.rdb.Clock.Now()
	for range attachTries {
		if ctx.Err() != nil {
			return nil, redisx.Unavailable("attach to stream", errClientGone)
		}
		msg, err := streamAttach.Exec(ctx, l.rdb, keys, append(args, strconv.FormatInt(number, 10))...)
		if err != nil {
			return nil, err
		}
		r := newResult(msg)
		status := r.text()
		if status != "older" {
			return r, statusError(status)
		}
		number = r.number() + 1
		if r.err != nil {
			break
		}
	}
	return nil, redisx.Unavailable("attach to stream", errNewerReader)
}

// Claim makes reader the one connection that follows the stream again, in the place
// of missing, which may be empty. It returns false if the stream has another reader.
func (l *Log) Claim(ctx context.Context, id StreamID, reader, missing string) (bool, error) {
	msg, err := streamClaim.Exec(ctx, l.rdb, []string{l.keys.Stream(id.Session, id.Stream)}, reader, missing)
	if err != nil {
		return false, err
	}
	n, err := msg.AsInt64()
	return n == 1, err
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
	r := newResult(msg)
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

// DetachMissing takes back that a connection reads a stream which is not there.
func (l *Log) DetachMissing(ctx context.Context, id StreamID, reader string) error {
	_, err := streamDetach.Exec(ctx, l.rdb, []string{l.keys.Stream(id.Session, id.Stream)}, reader, "", "")
	return err
}
