// Package jsonrpcmsg decodes and encodes the messages of JSON-RPC 2.0 that
// clients and servers exchange, and batches of them. It keeps ids as they were
// sent.
package jsonrpcmsg

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// A Message is one JSON-RPC message as a client sent it. The id stays raw: a
// client gets back the very bytes it sent, so 7 and "7" are two requests and no
// large number is rounded on its way through a float.
type Message struct {
	ID     json.RawMessage // nil for a notification
	Method string          // empty for a response
	Params json.RawMessage
	Result json.RawMessage
	Error  json.RawMessage
}

// IsCall reports whether m is a request that expects a response.
func (m *Message) IsCall() bool { return m.Method != "" && m.ID != nil }

// IsNotification reports whether m is a request that expects no response.
func (m *Message) IsNotification() bool { return m.Method != "" && m.ID == nil }

// IsResponse reports whether m is a response to a request.
func (m *Message) IsResponse() bool { return m.Method == "" }

// metaVersion is the field of _meta that names a call's protocol version, from
// 2026-07-28 on.
const metaVersion = "io.modelcontextprotocol/protocolVersion"

// MetaVersion returns the protocol version that a call's _meta names, empty if
// it names none.
func (m *Message) MetaVersion() string {
	if !m.IsCall() || !bytes.Contains(m.Params, []byte(metaVersion)) {
		return ""
	}
	var version string
	if json.Unmarshal(Field(Field(m.Params, "_meta"), metaVersion), &version) != nil {
		return ""
	}
	return version
}

// ErrBatch is the error of [Decode] for a JSON array.
var ErrBatch = errors.New("JSON-RPC batches are not supported by this protocol version")

// BOM is the byte order mark that a JSON text may begin with, although it should not
// (RFC 8259, section 8.1).
const BOM = "\ufeff"

// Decode decodes one JSON-RPC 2.0 message. Its errors are
// *jsonrpc.Error with code -32700 for what is not JSON and -32600 for what is
// not a message; a batch is [ErrBatch]. Field names are matched exactly, so
// nothing that reads the message after us can see another one in it.
//
// If the id could be read it is returned even with an error, so that the error
// response can carry it.
func Decode(data []byte) (*Message, error) {
	first := space(data)
	switch {
	case len(first) > 0 && first[0] == '[':
		return nil, ErrBatch
	case !json.Valid(data):
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeParseError, Message: "malformed JSON"}
	case first[0] != '{':
		return nil, invalid("a JSON-RPC message is an object")
	}
	m := &Message{}
	var version, id, method json.RawMessage
	for name, value := range Fields(data) {
		switch name {
		case "jsonrpc":
			version = value
		case "id":
			id = value
		case "method":
			method = value
		case "params":
			m.Params = value
		case "result":
			m.Result = value
		case "error":
			m.Error = value
		}
	}
	if string(method) == "null" && (m.Result != nil || m.Error != nil) {
		method = nil // some serializers write out every field
	}
	switch {
	case string(m.Error) == "null":
		m.Error = nil
	case m.Error != nil && string(m.Result) == "null":
		m.Result = nil
	}
	if m.Error != nil && string(id) == "null" {
		id = nil // an error about a message whose id could not be read (JSON-RPC 2.0, section 5)
	}
	var err error
	if m.ID, err = CheckID(id); err != nil {
		return nil, err
	}
	if err := m.check(version, method); err != nil {
		return &Message{ID: m.ID}, err
	}
	return m, nil
}

func (m *Message) check(version, method json.RawMessage) error {
	if string(version) != `"2.0"` {
		return invalid(`"jsonrpc" must be "2.0"`)
	}
	if method == nil {
		return m.checkResponse()
	}
	if method[0] == '"' {
		m.Method = text(method)
	}
	if m.Method == "" {
		return invalid(`"method" must be a non-empty string`)
	}
	if m.Result != nil || m.Error != nil {
		return invalid("a request has no result and no error")
	}
	if string(m.Params) == "null" {
		m.Params = nil
	}
	if m.Params != nil && m.Params[0] != '{' {
		return invalid(`"params" must be an object`)
	}
	return nil
}

func (m *Message) checkResponse() error {
	switch {
	case m.ID == nil && m.Error == nil:
		return invalid("a message needs a method or an id")
	case (m.Result == nil) == (m.Error == nil):
		return invalid("a response has either a result or an error")
	case m.Error != nil:
		var e jsonrpc.Error
		if json.Unmarshal(m.Error, &e) != nil {
			return invalid(`"error" must have a code and a message`)
		}
	}
	return nil
}

// CheckID returns an id that is one: MCP allows strings and integers, and no null
// (specification, basic, "Requests").
func CheckID(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if raw[0] == '"' || isInteger(raw) {
		return raw, nil
	}
	return nil, invalid("an id is a string or an integer")
}

func isInteger(raw []byte) bool {
	digits := bytes.TrimPrefix(raw, []byte("-"))
	if len(digits) == 0 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func invalid(format string, args ...any) *jsonrpc.Error {
	return &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf(format, args...)}
}

// IDKey is a form of an id that is equal for equal ids: strings may be escaped
// in more than one way; integers may not.
func IDKey(raw json.RawMessage) string {
	var s string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return `"` + s
	}
	return string(raw)
}

// EncodeResult returns the wire form of a successful response.
func EncodeResult(id, result json.RawMessage) []byte {
	return encodeResponse(id, "result", result)
}

// EncodeError returns the wire form of an error response. A nil id is encoded
// as null. An error that is not, and does not wrap, a *jsonrpc.Error becomes an
// internal error with its text.
func EncodeError(id json.RawMessage, err error) []byte {
	wire := &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: err.Error()}
	if as := new(jsonrpc.Error); errors.As(err, &as) {
		wire.Code, wire.Data = as.Code, as.Data
		if as == err {
			wire.Message = as.Message
		}
	}
	// Marshalling cannot fail: Data is the only part that could be malformed,
	// and then the error without it is still true.
	data, err := json.Marshal(wire)
	if err != nil {
		wire.Data = nil
		data, _ = json.Marshal(wire)
	}
	return encodeResponse(id, "error", data)
}

// EncodeRawError is [EncodeError] for an error that is already encoded.
func EncodeRawError(id, wire json.RawMessage) []byte {
	return encodeResponse(id, "error", wire)
}

func encodeResponse(id json.RawMessage, field string, value []byte) []byte {
	if id == nil {
		id = json.RawMessage("null")
	}
	b := make([]byte, 0, len(`{"jsonrpc":"2.0","id":,"result":}`)+len(id)+len(value))
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"`...)
	b = append(b, field...)
	b = append(b, `":`...)
	b = append(b, value...)
	return append(b, '}')
}

// EncodeRequest returns the wire form of a request of the server, or of a
// notification if id is nil.
func EncodeRequest(id json.RawMessage, method string, params json.RawMessage) ([]byte, error) {
	return json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id,omitempty"`
		Method  string          `json:"method"`
		Params  json.RawMessage `json:"params,omitempty"`
	}{"2.0", id, method, params})
}
