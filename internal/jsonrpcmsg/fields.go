package jsonrpcmsg

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
)

// Fields returns the names and values of an object's fields in the order in which
// they are there, a name that is there twice included: of those the last counts. The
// values are parts of the object, not copies. The object must be valid JSON; what is no
// object has no fields.
//
// A request says in its envelope, its params and its _meta what is to be done with it.
// encoding/json would go through all of it again each time, and copy it.
func Fields(object json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		rest := space(object)
		if len(rest) == 0 || rest[0] != '{' {
			return
		}
		for {
			rest = space(rest[1:]) // behind the brace or the comma
			end := valueEnd(rest)
			if end == 0 {
				return // an object without fields
			}
			name := rest[:end]
			rest = space(space(rest[end:])[1:]) // behind the colon
			if end = valueEnd(rest); !yield(text(name), rest[:end:end]) {
				return
			}
			if rest = space(rest[end:]); rest[0] != ',' {
				return
			}
		}
	}
}

// Field returns the value of the object's field that has the name, nil if there is
// none; see [Fields].
func Field(object json.RawMessage, name string) (value json.RawMessage) {
	for n, v := range Fields(object) {
		if n == name {
			value = v
		}
	}
	return value
}

// text returns a valid JSON string's text.
func text(quoted []byte) string {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		return string(plain)
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is valid
	return s
}

func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// valueEnd returns where the value ends with which b, which is valid, begins: zero if
// it begins with none.
func valueEnd(b []byte) int {
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return containerEnd(b)
	}
	if end := bytes.IndexAny(b, ",:]} \n\t\r"); end >= 0 {
		return end
	}
	return len(b)
}

func stringEnd(b []byte) int {
	for i := 1; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

func containerEnd(b []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}
