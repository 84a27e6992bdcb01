package roundstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A State is the request state of a round. It names nothing: it is made of two random
// texts of more than 128 bits each, one of the call and one of the round.
type State struct{ Call, Round string }

// Hash returns the form in which a round is stored: who can read Redis cannot answer.
func (s State) Hash() string {
	sum := sha256.Sum256([]byte(s.Round))
	return hex.EncodeToString(sum[:])
}

const statePrefix = "mcpfleet."

// NewCall returns a name for a call.
func NewCall() string { return rand.Text() }

// NewState returns the state of a call's next round.
func NewState(call string) State { return State{call, rand.Text()} }

// String returns what the client gets.
func (s State) String() string { return statePrefix + s.Call + "." + s.Round }

// IsState reports whether a request state is one of ours, if perhaps a malformed one.
// Others are the handlers' own.
func IsState(state string) bool { return strings.HasPrefix(state, statePrefix) }

// ParseState returns the state that a client has sent back.
func ParseState(state string) (s State, ok bool) {
	rest, ok := strings.CutPrefix(state, statePrefix)
	if !ok || len(rest) != 2*textLength+1 || rest[textLength] != '.' {
		return State{}, false
	}
	s = State{rest[:textLength], rest[textLength+1:]}
	if !validText(s.Call) || !validText(s.Round) {
		return State{}, false
	}
	return s, true
}

const textLength = 26 // of rand.Text

// validText keeps what a client sends from naming any other key.
func validText(s string) bool { return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "" }

// Claim returns whose call it is, and of what: everything in which a retry must be
// like the request that it continues.
func Claim(server, user, method, name string, arguments json.RawMessage) string {
	h := sha256.New()
	for _, part := range []string{server, user, method, name, canonical(arguments)} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// canonical returns JSON in a form in which the order of fields and white space do
// not matter.
func canonical(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "{}"
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(raw)
	}
	if _, err := d.Token(); err != io.EOF {
		return string(raw)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(b)
}
