package sessionstore

import (
	"encoding/json"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A Record is the stored state of one session.
type Record struct {
	// ID names the session; see [NewID].
	ID string
	// Owner is the principal that created the session, or empty without
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
	// Legacy reports whether the session is of the HTTP+SSE transport of protocol
	// 2024-11-05: it begins before initialize, has one stream for all that the
	// server says, and ends with that stream.
	Legacy bool
	// Created is when the session was created, by Redis's clock.
	Created time.Time
	// Expires is the end of the session's absolute lifetime, by Redis's clock,
	// or zero if it has none.
	Expires time.Time
}

// schema is the version of the record's fields. It changes when an older
// instance would misread a newer one's record; a further field is no reason.
const schema = "1"

// The fields of a record's hash. fields is the order in which they are read.
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
	fieldLegacy
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
	fieldLegacy:      "legacy",
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
	if r.Legacy { // few are
		args = append(args, fields[fieldLegacy], flag(true))
	}
	return args
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
