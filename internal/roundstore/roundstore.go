// Package roundstore keeps in Redis what calls of 2026-07-28 wait for that ask their
// clients (specification 2026-07-28, "Multi Round-Trip Requests"): of each call a
// record, which any instance finds by the request state that the client sends back.
package roundstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

var (
	//go:embed lua/round_open.lua
	roundOpenLua string
	roundOpen    = redisx.NewRepeatableScript("open a round", roundOpenLua)

	//go:embed lua/round_answer.lua
	roundAnswerLua string
	roundAnswer    = redisx.NewRepeatableScript("keep answers", roundAnswerLua)

	//go:embed lua/round_adopt.lua
	roundAdoptLua string
	roundAdopt    = redisx.NewScript("take over a call", roundAdoptLua)
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
	return s, validText(s.Call) && validText(s.Round)
}

const textLength = 26 // of rand.Text

// validText keeps what a client sends from naming any other key.
func validText(s string) bool { return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "" }

// Claim returns whose call it is, and of what: everything in which a retry must be
// like the request that it continues.
func Claim(user, method, name string, arguments json.RawMessage) string {
	h := sha256.New()
	for _, part := range []string{user, method, name, canonical(arguments)} {
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
	b, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(b)
}

// A Question is what a call asks.
type Question struct {
	Key string `json:"k"` // by which the client answers it
	// ID is what the question says, and its how-manieth occurrence it is: a call that
	// is run again asks it again by the same.
	ID string `json:"i"`
}

// A Record is what is known of a call that waits.
type Record struct {
	Round, Claim   string // Round is a [State.Hash]
	Instance, Conn string
	Again          bool // the call may be run again from its start
	Asks           []Question
}

// A Store keeps the records of a fleet. It is safe for concurrent use; its methods
// block for one call to Redis, and fail with [redisx.ErrUnavailable].
type Store struct {
	rdb  redisx.Client
	keys rediskeys.Space
	keep time.Duration
}

// New returns a store that keeps records for a time.
func New(rdb redisx.Client, keys rediskeys.Space, keep time.Duration) *Store {
	return &Store{rdb, keys, keep}
}

// Open notes what a call waits for.
func (s *Store) Open(ctx context.Context, call string, r Record) error {
	asks, err := json.Marshal(r.Asks)
	if err != nil {
		return err
	}
	_, err = roundOpen.Exec(ctx, s.rdb, []string{s.keys.Round(call)}, redisx.Millis(s.keep),
		r.Round, r.Claim, r.Instance, r.Conn, redisx.Flag(r.Again), string(asks))
	return err
}

// Load returns the record of a call, the zero Record if there is none.
func (s *Store) Load(ctx context.Context, call string) (r Record, err error) {
	cmd := s.rdb.B().Hmget().Key(s.keys.Round(call)).Field("round", "claim", "instance", "conn", "again", "asks").Build()
	values, err := s.rdb.Do(ctx, cmd).AsStrSlice()
	if err != nil || len(values) != 6 {
		return r, redisx.Unavailable("load a round", err)
	}
	if values[1] == "" {
		return r, nil
	}
	r = Record{Round: values[0], Claim: values[1], Instance: values[2], Conn: values[3], Again: values[4] == "1"}
	return r, json.Unmarshal([]byte(values[5]), &r.Asks)
}

// Answer keeps answers, by the IDs of their questions.
func (s *Store) Answer(ctx context.Context, call string, answers map[string]json.RawMessage) error {
	_, err := roundAnswer.Exec(ctx, s.rdb, []string{s.keys.Round(call)}, append([]string{redisx.Millis(s.keep)}, pairs(answers)...)...)
	return err
}

// Adopt takes over the call of a dead instance for another one, with the answers to
// what it asked in a round. It returns all answers that the call has had. It returns
// false if the call cannot be taken over.
func (s *Store) Adopt(ctx context.Context, state State, r Record, instance string, answers map[string]json.RawMessage) (all map[string]json.RawMessage, ok bool, err error) {
	args := append([]string{redisx.Millis(s.keep), state.Hash(), r.Claim, r.Instance, instance}, pairs(answers)...)
	reply, err := roundAdopt.Exec(ctx, s.rdb, []string{s.keys.Round(state.Call)}, args...)
	if err != nil || reply.IsNil() {
		return nil, false, err
	}
	values, err := reply.AsStrSlice()
	if err != nil {
		return nil, false, redisx.Unavailable("take over a call", err)
	}
	all = map[string]json.RawMessage{}
	for i := 0; i+1 < len(values); i += 2 {
		all[values[i]] = json.RawMessage(values[i+1])
	}
	return all, true, nil
}

func pairs(answers map[string]json.RawMessage) (args []string) {
	for id, answer := range answers {
		args = append(args, id, string(answer))
	}
	return args
}
