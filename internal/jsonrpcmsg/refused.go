package jsonrpcmsg

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// RefusedResponses returns the responses in a body that is refused because of reason:
// those in a batch that can be used as they are, of the others an error response in
// their place. A client that has responded does not respond again, so a response that
// cannot be used must end the request that it is for.
//
// The rest of a body that is too large is read from rest, which may be nil; it is not
// kept.
func RefusedResponses(body []byte, rest io.Reader, reason error) []*Message {
	if rest == nil {
		if members, err := splitBatch(body, maxScanned); err == nil {
			return refusedMembers(members)
		}
	}
	var s responseScanner
	s.scan(body)
	if rest != nil {
		_, _ = io.Copy(&s, rest) // what does not arrive is not there
	}
	return refused(&s, reason)
}

func refusedMembers(members []json.RawMessage) (responses []*Message) {
	for _, member := range members {
		m, err := Decode(member)
		switch {
		case err != nil:
			var s responseScanner
			s.scan(member)
			responses = append(responses, refused(&s, err)...)
		case m.IsResponse():
			responses = append(responses, m)
		}
	}
	return responses
}

func refused(s *responseScanner, reason error) (responses []*Message) {
	wire, err := json.Marshal(&jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the client's response was refused: " + reason.Error()})
	if err != nil {
		return nil
	}
	for _, id := range s.found() {
		responses = append(responses, &Message{ID: id, Error: wire})
	}
	return responses
}

// A responseScanner finds the ids of responses in text that need not be JSON, or not
// all of it, without keeping the text: of each object that is not within another one
// it looks at the fields that make it a response.
type responseScanner struct {
	ids []json.RawMessage

	open     []byte // the brackets that are open, up to the objects that count
	depth    int    // of brackets that are open
	inString bool
	escaped  bool // the next character of the string
	isValue  bool // what comes is a field's value, not its name
	token    []byte
	name     string // of the field whose value comes
	response candidate
}

// A candidate is what is known of an object that may be a response.
type candidate struct {
	id        json.RawMessage
	hasResult bool // or an error
	hasMethod bool
}

const (
	maxScanned = 100 // responses in a body
	maxToken   = 256 // what is kept of a name or value; no id of ours is longer
)

// Write implements [io.Writer].
func (s *responseScanner) Write(p []byte) (int, error) {
	s.scan(p)
	return len(p), nil
}

func (s *responseScanner) scan(text []byte) {
	for _, c := range text {
		if s.inString {
			s.inside(c)
			continue
		}
		s.next(c)
	}
}

// inside takes a character of a string.
func (s *responseScanner) inside(c byte) {
	s.keep(c)
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.inString = false
	}
}

// next takes a character that is in no string.
func (s *responseScanner) next(c byte) {
	switch c {
	case '"':
		s.inString = true
		s.keep(c)
	case '{', '[':
		s.keep(c)
		s.depth++
		if s.depth <= 2 {
			s.open = append(s.open[:s.depth-1], c)
		}
		if s.counts() {
			s.response, s.isValue, s.token = candidate{}, false, nil
		}
	case '}', ']':
		if s.counts() {
			s.endField()
			s.endObject()
		}
		s.depth = max(0, s.depth-1)
		s.open = s.open[:min(len(s.open), s.depth)]
	case ':':
		if s.counts() && !s.isValue {
			s.isValue, s.name, s.token = true, unquoted(s.token), nil
			s.response.hasResult = s.response.hasResult || s.name == "result" || s.name == "error"
		}
	case ',':
		if s.counts() {
			s.endField()
		}
	case ' ', '\t', '\r', '\n':
	default:
		s.keep(c)
	}
}

// counts reports whether the innermost open bracket is that of an object that is in
// none, or in one array.
func (s *responseScanner) counts() bool {
	return s.depth == 1 && s.open[0] == '{' || s.depth == 2 && string(s.open) == "[{"
}

// keep keeps a character of a name or value.
func (s *responseScanner) keep(c byte) {
	if s.counts() && len(s.token) < maxToken {
		s.token = append(s.token, c)
	}
}

// endField takes the value of a field.
func (s *responseScanner) endField() {
	switch {
	case !s.isValue:
	case s.name == "id" && len(s.token) < maxToken:
		s.response.id = nil
		if id, err := CheckID(s.token); err == nil {
			s.response.id = id
		}
	case s.name == "method":
		s.response.hasMethod = string(s.token) != "null"
	}
	s.isValue, s.token = false, nil
}

func (s *responseScanner) endObject() {
	if r := s.response; r.id != nil && r.hasResult && !r.hasMethod && len(s.ids) < maxScanned {
		s.ids = append(s.ids, r.id)
	}
	s.response = candidate{}
}

// found returns the ids of the responses. Of an object that has no end, what has come
// counts.
func (s *responseScanner) found() []json.RawMessage {
	s.endObject()
	return s.ids
}

// unquoted returns the name of a field; names that are escaped are none of those that
// count.
func unquoted(token []byte) string { return strings.Trim(string(token), `"`) }
