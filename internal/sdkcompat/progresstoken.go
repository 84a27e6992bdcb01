package sdkcompat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The SDK reads progress tokens into an any, and so numbers into a float64: 2^53+1
// comes back as 2^53, and the client does not know its call by that.
//
// Seen in: v1.8.0.
// Here: a token that would change on its way through the SDK is replaced by a string,
// and put back into what is sent.
// Test: TestProgressTokensAreReadAsFloats.

const progressToken = "progressToken"

// WithExactToken returns a request's params with an alias in place of their progress
// token, and the token, if the SDK would change it; otherwise params as they are, and
// nil. It costs next to nothing if there is no token.
func WithExactToken(params json.RawMessage, alias func() string) (replaced, token json.RawMessage) {
	if !mayChange(params) {
		return params, nil
	}
	replacement, err := json.Marshal(alias())
	if err != nil {
		return params, nil
	}
	replaced, token, err = ReplaceToken(params, replacement)
	if err != nil || token == nil || exact(token) {
		return params, nil
	}
	return replaced, token
}

// mayChange reports whether there may be a token in params that the SDK would change.
func mayChange(params []byte) bool {
	for {
		_, rest, found := bytes.Cut(params, []byte(`"`+progressToken+`"`))
		if !found {
			return false
		}
		if value := bytes.TrimLeft(rest, ": \t\r\n"); !plain(value) {
			return true
		}
		params = rest
	}
}

// plain reports whether a value that is followed by others is a string or a number
// that surely stays as it is.
func plain(value []byte) bool {
	if len(value) == 0 {
		return false
	}
	end := len(value)
	if value[0] == '"' {
		end = bytes.IndexByte(value[1:], '"') + 2
		return end > 1 && !bytes.ContainsRune(value[:end], '\\') && utf8.Valid(value[:end])
	}
	if i := bytes.IndexAny(value, ",} \t\r\n"); i >= 0 {
		end = i
	}
	return exact(value[:end])
}

// exact reports whether the SDK gives a token back as it got it.
func exact(token json.RawMessage) bool {
	if len(token) > 0 && token[0] == '"' {
		var s string
		return json.Unmarshal(token, &s) == nil && !slices.Contains([]rune(s), utf8.RuneError)
	}
	if len(token) == 0 || token[0] != '-' && (token[0] < '0' || token[0] > '9') {
		return true // no token at all: the SDK ignores it, or refuses it
	}
	n, err := strconv.ParseInt(string(token), 10, 64)
	return err == nil && n >= -1<<53 && n <= 1<<53 && strconv.FormatInt(n, 10) == string(token)
}

// RestoreToken returns the params of a progress notification with token in place of
// alias, if that is their token.
func RestoreToken(params json.RawMessage, alias string, token json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(params, &fields) != nil {
		return params
	}
	var got string
	if json.Unmarshal(fields[progressToken], &got) != nil || got != alias {
		return params
	}
	fields[progressToken] = token
	restored, err := json.Marshal(fields)
	if err != nil {
		return params
	}
	return restored
}

// ReplaceToken returns a request's params with token in place of their progress
// token, and that token; if there is none nothing is replaced.
func ReplaceToken(params, token json.RawMessage) (replaced, old json.RawMessage, err error) {
	var fields map[string]json.RawMessage
	if params == nil || json.Unmarshal(params, &fields) != nil {
		return params, nil, nil
	}
	var meta map[string]json.RawMessage
	if json.Unmarshal(fields["_meta"], &meta) != nil || meta[progressToken] == nil {
		return params, nil, nil
	}
	old = meta[progressToken]
	meta[progressToken] = token
	if fields["_meta"], err = json.Marshal(meta); err != nil {
		return nil, nil, err
	}
	replaced, err = json.Marshal(fields)
	return replaced, old, err
}
