package sessionstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A Record is the stored state of one session.
type Record struct {
	// ID names the session; see [NewID].
	ID string
	// Owner is the user who created the session, or empty without
	// authentication.
	Owner string
	// InitializeParams are the params of the initialize request as the client
	// sent them, with fields that the SDK's types do not know. They may be
	// empty.
	InitializeParams json.RawMessage
	// ProtocolVersion is the version that was negotiated, which may differ
	// from the one in InitializeParams.
	ProtocolVersion string
	// Initialized reports whether notifications/initialized has arrived.
	Initialized bool
	// LogLevel is the level set by logging/setLevel, or empty before.
	LogLevel mcp.LoggingLevel
	// ServerCapabilities are the capabilities that the server declared in its
	// initialize result.
	ServerCapabilities json.RawMessage
	// Position is where the fleet's bus was when the session began.
	Position string
	// HTTPSSE reports whether the session is of the HTTP+SSE transport of protocol
	// 2024-11-05: it begins before initialize, has one stream for all that the
	// server sends, and ends with that stream.
	HTTPSSE bool
	// Created is when the session was created, by Redis's clock.
	Created time.Time
	// Expires is the end of the session's absolute lifetime, by Redis's clock,
	// or zero if it has none.
	Expires time.Time
}

// schema is the version of the record's fields. It changes when an older
// instance would misread a newer one's record; a further field is no reason.
const schema = "1"

// The fields of a record's hash, in the order in which they are read.
const (
	fieldSchema = iota
	fieldOwner
	fieldParams
	fieldVersion
	fieldInitialized
	fieldLevel
	fieldCreated
	fieldExpires
	fieldServer
	fieldPosition
	fieldHTTPSSE
)

var fields = [...]string{
	fieldSchema:      "v",
	fieldOwner:       "owner",
	fieldParams:      "params",
	fieldVersion:     "version",
	fieldInitialized: "initialized",
	fieldLevel:       "level",
	fieldCreated:     "created",
	fieldExpires:     "expires",
	fieldServer:      "server",
	fieldPosition:    "position",
	fieldHTTPSSE:     "legacy",
}

// arguments returns the fields that the creator of a session chooses, each
// name followed by its value.
func (r *Record) arguments() []string {
	args := []string{
		fields[fieldSchema], schema,
		fields[fieldOwner], r.Owner,
		fields[fieldParams], string(r.InitializeParams),
		fields[fieldVersion], r.ProtocolVersion,
		fields[fieldInitialized], flag(r.Initialized),
		fields[fieldLevel], string(r.LogLevel),
		fields[fieldServer], string(r.ServerCapabilities),
		fields[fieldPosition], r.Position,
	}
	if r.HTTPSSE { // few are
		args = append(args, fields[fieldHTTPSSE], flag(true))
	}
	return args
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// record reads the record of a session from the response to a read of fields.
func (s *Store) record(id string, result redisx.Result) (Record, error) {
	values, err := result.ToArray()
	if err != nil {
		return Record{}, redisx.Unavailable("load session", err)
	}
	return parseRecord(id, values)
}

// parseRecord reads a record from the values of fields, in their order. It is
// on the path of every request, so it reads the reply in place.
func parseRecord(id string, values []rueidis.RedisMessage) (Record, error) {
	var text [len(fields)]string
	if len(values) != len(text) {
		return Record{}, corrupt(errors.New("wrong number of fields"))
	}
	found := false
	for i := range values {
		if values[i].IsNil() {
			continue
		}
		var err error
		if text[i], err = values[i].ToString(); err != nil {
			return Record{}, corrupt(fmt.Errorf("field %s: %w", fields[i], err))
		}
		found = true
	}
	if !found {
		return Record{}, ErrNotFound
	}
	if text[fieldSchema] != schema {
		return Record{}, corrupt(fmt.Errorf("schema version %q, this instance knows %s", text[fieldSchema], schema))
	}
	created, err := parseTime(text[fieldCreated])
	if err != nil {
		return Record{}, corrupt(fmt.Errorf("field created: %w", err))
	}
	expires, err := parseTime(text[fieldExpires])
	if err != nil {
		return Record{}, corrupt(fmt.Errorf("field expires: %w", err))
	}
	r := Record{
		ID:              id,
		Owner:           text[fieldOwner],
		ProtocolVersion: text[fieldVersion],
		Initialized:     text[fieldInitialized] == "1",
		LogLevel:        mcp.LoggingLevel(text[fieldLevel]),
		Created:         created,
		Expires:         expires,
		Position:        text[fieldPosition],
		HTTPSSE:         text[fieldHTTPSSE] == "1",
	}
	// The conversions copy: the caller may change the record, and the text may be
	// the cache's.
	if params := text[fieldParams]; params != "" {
		r.InitializeParams = json.RawMessage(params)
	}
	if caps := text[fieldServer]; caps != "" {
		r.ServerCapabilities = json.RawMessage(caps)
	}
	return r, nil
}

func corrupt(err error) error { return fmt.Errorf("unusable session record: %w", err) }

// parseTime reads milliseconds since 1970; zero is no time.
func parseTime(ms string) (time.Time, error) {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	return timeOf(n), nil
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// expired compares with the instance's clock, which may be wrong: it is a
// reason to ask Redis, nothing more.
func (r *Record) expired() bool { return !r.Expires.IsZero() && !time.Now().Before(r.Expires) }
