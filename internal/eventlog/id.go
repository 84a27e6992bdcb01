package eventlog

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
)

// Standalone is the name of a session's standalone stream, that of GET requests,
// which belongs to no call.
const Standalone = rediskeys.Standalone

// An ID names one event of one stream of a session. A client hands it
// back in Last-Event-ID to resume after that event.
type ID struct {
	Stream string
	Offset int64
	// Nonce is random and kept with the event. Redis may lose the end of a log in
	// a failover; the events that then take the lost ones' offsets have other
	// nonces, so an id of a lost event never names another. An id without a nonce is
	// that of a client of the standalone stream which has not had an event yet:
	// it gets the log from Offset on.
	Nonce string
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
func (id ID) String() string {
	return string(id.append(make([]byte, 0, 64)))
}

func (id ID) append(b []byte) []byte {
	b = append(append(b, id.Stream...), '.')
	switch {
	case id.Offset == endOffset:
		return append(b, endMark+"."...)
	case id.Offset == noOffset:
		b = append(b, noneMark+"."...)
	case id.Nonce == "":
		b = strconv.AppendInt(append(b, fromMark+"."...), id.Offset, 10)
	default:
		b = append(append(strconv.AppendInt(b, id.Offset, 10), '.'), id.Nonce...)
	}
	if id.Position != "" {
		b = append(append(b, '.'), id.Position...)
	}
	return b
}

// Anew returns an event id for a client of the standalone stream of which
// nothing is known: it has to be notified that anything may have changed.
func Anew() ID { return ID{Stream: Standalone, Offset: noOffset} }

// HasOffset reports whether id says what its client has of the log.
func (id ID) HasOffset() bool { return id.Offset != noOffset }

// IsEnd reports whether nothing can follow the event.
func (id ID) IsEnd() bool { return id.Offset == endOffset }

// End returns the event id that stands behind the last event of a stream whose
// log is lost: nothing can follow it.
func End(stream string) ID { return ID{Stream: stream, Offset: endOffset} }

var idPattern = regexp.MustCompile(`^(g|c[A-Za-z0-9]{16}(?:-[A-Za-z0-9_-]{1,128})?)` +
	`\.(?:(end|none)\.|from\.([0-9]{1,15})|([0-9]{1,15})\.([A-Za-z0-9]{6}))` +
	`(?:\.([0-9]{1,20}-[0-9]{1,20}))?$`)

// ParseID parses the value of Last-Event-ID.
func ParseID(s string) (ID, error) {
	parts := idPattern.FindStringSubmatch(s)
	if parts == nil {
		return ID{}, errMalformedID
	}
	stream, mark, from, offset, nonce, at := parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]
	if mark == endMark {
		return End(stream), nil
	}
	if !IsStandalone(stream) && (nonce == "" || at != "") {
		return ID{}, errMalformedID
	}
	id := ID{Stream: stream, Offset: noOffset, Nonce: nonce, Position: at}
	if mark == noneMark {
		return id, nil
	}
	var err error
	id.Offset, err = strconv.ParseInt(from+offset, 10, 64) // one of them is empty
	return id, err
}

// nonceLength is part of what is stored: each entry of a log begins with its nonce.
const nonceLength = 6

// NewNonce returns a nonce for one event.
func NewNonce() string { return rand.Text()[:nonceLength] }

// maxNamedCall is the longest request id that a stream id carries.
const maxNamedCall = 96

// NewCallStream returns an id for the stream of a call. It contains the call's
// own id, so that a client that resumes after the log is gone can be told which
// call failed.
func NewCallStream(call json.RawMessage) string {
	id := "c" + rand.Text()[:16]
	if len(call) <= maxNamedCall {
		id += "-" + base64.RawURLEncoding.EncodeToString(call)
	}
	return id
}

// CallOf returns the request id that a stream id carries, nil if there is none.
func CallOf(stream string) json.RawMessage {
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

// StandaloneOf returns the standalone stream of a session.
func StandaloneOf(session string) StreamID { return StreamID{session, Standalone} }

// IsStandalone reports whether stream is the name of the standalone stream.
func IsStandalone(stream string) bool { return stream == Standalone }
