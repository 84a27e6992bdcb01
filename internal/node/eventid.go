package node

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// An EventID names one event of one stream of a session. A client hands it
// back in Last-Event-ID to resume after that event.
type EventID struct {
	Stream string
	Offset int64
	// Tag is random and kept with the event. Redis may lose the end of a log in
	// a failover; the events that then take the lost ones' offsets have other
	// tags, so an id of a lost event never names another. An id without a tag is
	// that of a client of the standalone stream which has not had an event yet:
	// it gets the log from Offset on.
	Tag string
	// Position is the position on the bus that a client of the standalone stream
	// has reached. Empty if unknown, and for calls' streams.
	Position string
}

// Offsets that are none of an event's.
const (
	// endOffset is that of the id which stands behind the last event of a
	// stream whose log is lost.
	endOffset = -1
	// noOffset is that of a client of which nothing is known.
	noOffset = -2
)

const (
	endMark  = "end"
	noneMark = "none"
	fromMark = "from"
)

// String returns the form of id that a client sees.
func (id EventID) String() string {
	return string(id.append(make([]byte, 0, 64)))
}

func (id EventID) append(b []byte) []byte {
	b = append(append(b, id.Stream...), '.')
	switch {
	case id.Offset == endOffset:
		return append(b, endMark+"."...)
	case id.Offset == noOffset:
		b = append(b, noneMark+"."...)
	case id.Tag == "":
		b = strconv.AppendInt(append(b, fromMark+"."...), id.Offset, 10)
	default:
		b = append(append(strconv.AppendInt(b, id.Offset, 10), '.'), id.Tag...)
	}
	if id.Position != "" {
		b = append(append(b, '.'), id.Position...)
	}
	return b
}

// Anew returns an event id for a client of the standalone stream of which
// nothing is known: it has to be notified that anything may have changed.
func Anew() EventID { return EventID{Stream: rediskeys.Standalone, Offset: noOffset} }

// IsEnd reports whether nothing can follow the event.
func (id EventID) IsEnd() bool { return id.Offset == endOffset }

// Lost returns the event for a client that wants to resume a call's stream
// after id when the log no longer has it: an error response to the call, with
// an event id after which nothing follows.
func (id EventID) Lost(err error) sse.Event {
	end := EventID{Stream: id.Stream, Offset: endOffset}
	return sse.Event{ID: end.String(), Data: jsonrpcmsg.EncodeError(callOf(id.Stream), err)}
}

var eventIDPattern = regexp.MustCompile(`^(g|c[A-Za-z0-9]{16}(?:-[A-Za-z0-9_-]{1,128})?)` +
	`\.(?:(end|none)\.|from\.([0-9]{1,15})|([0-9]{1,15})\.([A-Za-z0-9]{6}))` +
	`(?:\.([0-9]{1,20}-[0-9]{1,20}))?$`)

// ParseEventID parses the value of Last-Event-ID.
func ParseEventID(s string) (EventID, error) {
	parts := eventIDPattern.FindStringSubmatch(s)
	if parts == nil {
		return EventID{}, errMalformedID
	}
	stream, mark, from, offset, tag, at := parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]
	if mark == endMark {
		return EventID{Stream: stream, Offset: endOffset}, nil
	}
	if !IsStandalone(stream) && (tag == "" || at != "") {
		return EventID{}, errMalformedID
	}
	id := EventID{Stream: stream, Offset: noOffset, Tag: tag, Position: at}
	if mark == noneMark {
		return id, nil
	}
	var err error
	id.Offset, err = strconv.ParseInt(from+offset, 10, 64) // one of them is empty
	return id, err
}

var errMalformedID = errors.New("malformed event id")

const tagLength = 6

func newTag() string { return rand.Text()[:tagLength] }

// maxNamedCall is the longest request id that a stream id carries.
const maxNamedCall = 96

// newCallStream returns an id for the stream of a call. It contains the call's
// own id, so that a client that resumes after the log is gone can be told which
// call failed.
func newCallStream(call json.RawMessage) string {
	id := "c" + rand.Text()[:16]
	if len(call) <= maxNamedCall {
		id += "-" + base64.RawURLEncoding.EncodeToString(call)
	}
	return id
}

// callOf returns the request id that a stream id carries, nil if there is none.
func callOf(stream string) json.RawMessage {
	_, encoded, ok := strings.Cut(stream, "-")
	if !ok {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil
	}
	// The client may send any event id: what it claims is the call's id must be
	// one before it goes into a message.
	id, err := jsonrpcmsg.CheckID(raw)
	if err != nil || !json.Valid(id) || len(bytes.TrimSpace(id)) != len(id) {
		return nil
	}
	return id
}

// IsStandalone reports whether stream is the name of a session's standalone
// stream (GET), which belongs to no call.
func IsStandalone(stream string) bool { return stream == rediskeys.Standalone }
