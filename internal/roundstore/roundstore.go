// Package roundstore keeps in Redis what calls of 2026-07-28 wait for that ask their
// clients (specification 2026-07-28, "Multi Round-Trip Requests"): of each call a
// record, which any instance finds by the request state that the client sends back.
//
// A call that may be repeated can be run again from its start when its instance has
// died. Each run has a number, and only the last one may write to the record: an
// instance that was taken for dead, and is back, finds out that way.
package roundstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"strconv"
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
	roundAdopt    = redisx.NewRepeatableScript("take over a call", roundAdoptLua)

	//go:embed lua/round_end.lua
	roundEndLua string
	roundEnd    = redisx.NewRepeatableScript("end a call", roundEndLua)
)

// A Question is what a call asks.
type Question struct {
	Key string `json:"k"` // by which the client answers it
	// ID is a digest of what the question says, and its how-manieth occurrence it is:
	// a call that is run again asks it again by the same.
	ID string `json:"i"`
}

// A Run is one run of a call.
type Run struct {
	Call string
	// Number is 1, or more if the call has been run again.
	Number int64
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
	most int
}

// New returns a store that keeps a record for a time after it was last written, with
// answers of most bytes.
func New(rdb redisx.Client, keys rediskeys.Space, keep time.Duration, most int) *Store {
	return &Store{rdb, keys, keep, most}
}

func (s *Store) key(call string) []string { return []string{s.keys.Round(call)} }

// Open notes what a run of a call waits for; first says that it has not waited before.
// It returns false if the call has been run again since.
func (s *Store) Open(ctx context.Context, run Run, first bool, r Record) (ok bool, err error) {
	asks, err := json.Marshal(r.Asks)
	if err != nil {
		return false, err
	}
	reply, err := roundOpen.Exec(ctx, s.rdb, s.key(run.Call), redisx.Millis(s.keep), number(run), redisx.Flag(first),
		r.Round, r.Claim, r.Instance, r.Conn, redisx.Flag(r.Again), string(asks))
	if err != nil {
		return false, err
	}
	opened, err := reply.AsInt64()
	return opened == 1, err
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

// Answer keeps answers, by the IDs of their questions, if the call may be run again.
// It may not any more once its answers are too many bytes, or its record has been
// lost. Answer returns false if the call has been run again since.
func (s *Store) Answer(ctx context.Context, run Run, answers map[string]json.RawMessage) (ok bool, err error) {
	args := append([]string{redisx.Millis(s.keep), number(run), strconv.Itoa(s.most)}, pairs(answers)...)
	reply, err := roundAnswer.Exec(ctx, s.rdb, s.key(run.Call), args...)
	if err != nil {
		return false, err
	}
	kept, err := reply.AsInt64()
	return kept == 1, err
}

// Adopt takes over the call of a dead instance for another one, with the answers to
// what it asked in a round, for the try that a random text names: the same try may be
// made again. It returns the number of the call's next run, and all answers that the
// call has had; the number is 0 if the call cannot be taken over.
func (s *Store) Adopt(ctx context.Context, try string, state State, r Record, instance string, answers map[string]json.RawMessage) (run Run, all map[string]json.RawMessage, err error) {
	args := append([]string{redisx.Millis(s.keep), state.Hash(), r.Claim, r.Instance, instance, try}, pairs(answers)...)
	reply, err := roundAdopt.Exec(ctx, s.rdb, s.key(state.Call), args...)
	if err != nil || reply.IsNil() {
		return Run{}, nil, err
	}
	values, err := reply.AsStrSlice()
	if err != nil {
		return Run{}, nil, redisx.Unavailable("take over a call", err)
	}
	run.Call = state.Call
	if run.Number, err = strconv.ParseInt(values[0], 10, 64); err != nil {
		return Run{}, nil, redisx.Unavailable("take over a call", err)
	}
	all = map[string]json.RawMessage{}
	for i := 1; i+1 < len(values); i += 2 {
		all[values[i]] = json.RawMessage(values[i+1])
	}
	return run, all, nil
}

// End drops the record of a call whose run has ended: it is not run again.
func (s *Store) End(ctx context.Context, run Run) error {
	_, err := roundEnd.Exec(ctx, s.rdb, s.key(run.Call), number(run))
	return err
}

func number(run Run) string { return strconv.FormatInt(run.Number, 10) }

func pairs(answers map[string]json.RawMessage) (args []string) {
	for id, answer := range answers {
		args = append(args, id, string(answer))
	}
	return args
}
