package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/roundstore"
)

// In protocols without sessions a server cannot send requests. A handler that asks its
// client is parked: its call's response says what input is required (specification
// 2026-07-28, "Multi Round-Trip Requests"), and the handler waits on this instance.
// The client sends the call again with its answers, to any instance, whose request
// then is the front of the call: it gets what the handler says from then on.

// Asking is what a call needs that may ask its client.
type Asking struct {
	// Claim says whose the call is, and of what; see [roundstore.Claim].
	Claim func() string
	// Again reports whether the call may be run again from its start if this instance
	// dies. It is called when the call first asks.
	Again func() bool
	// Run is that of a call that is run again; otherwise zero.
	Run roundstore.Run
	// Answers are those that a call that is run again has had, by the questions' ids.
	Answers map[string]json.RawMessage
	// Front is the request that gets what a call that is run again says.
	Front *Conn
	// Encode returns the result that says what input is required.
	Encode func(inputs map[string]InputRequest, state string) (json.RawMessage, error)
}

// An InputRequest is what a client is asked.
type InputRequest struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// roundLength is how long after its first question a round is open for others: nobody
// can see that a handler has nothing more to ask, and waits.
const roundLength = 20 * time.Millisecond

// rounds is what a call has asked. It is guarded by the mutex of its connection, but
// for the fields below out.
type rounds struct {
	Asking
	begun   bool                 // the call has been parked before
	seen    map[string]int       // how often a question has been asked
	last    int                  // number of the last question
	waiting map[string]*question // by key
	timer   *time.Timer          // until the round closes; nil if none is open
	closing bool                 // it closes now
	claim   string
	again   bool
	round   string    // hash of the state that the client has; empty if it has none
	parked  time.Time // since when the client has it
	gone    []front   // whose clients have gone, perhaps before they were heard of

	// guarded by Conn.out
	held      []said // said while there was nobody
	heldBytes int
	result    *said // the response, if it came while there was nobody
}

// A question is what a handler waits for.
type question struct {
	id    jsonrpc.ID // of the SDK's request
	key   string
	name  string // see roundstore.Question
	input InputRequest
}

// said is something that the handler has said.
type said struct {
	data   json.RawMessage // a notification, or of the response its result or error
	kind   saidKind
	method string
}

type saidKind string

const (
	saidNotification saidKind = "n"
	saidResult       saidKind = "r"
	saidError        saidKind = "e"
)

// askers name the questions that there are. A client's answer to one is known by its
// key to be one.
var askers = map[string]string{
	"elicitation/create":     "elicit",
	"sampling/createMessage": "sample",
	"roots/list":             "roots",
}

// ask asks the client in place of a request of the server. It does not wait for the
// answer. What waits is bounded as what is queued for a slow client.
func (c *Conn) ask(ctx context.Context, m *jsonrpc.Request) error {
	asker, ok := askers[m.Method]
	switch {
	case c.req.Asking == nil || !ok || !c.isHandler(ctx):
		return errNoStandalone
	case c.isGivenUp():
		return errResponseComplete
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.roundsLocked()
	sum := sha256.Sum256([]byte(m.Method + " " + string(m.Params)))
	name := hex.EncodeToString(sum[:16])
	r.seen[name]++
	name += "#" + strconv.Itoa(r.seen[name])
	if answer, ok := r.Answers[name]; ok { // the call is run again
		c.incoming.put(&jsonrpc.Response{ID: m.ID, Result: answer})
		return nil
	}
	if len(r.waiting) >= c.node.opts.MaxQueue || r.bytes()+len(m.Params) > c.node.opts.MaxQueueBytes {
		return errTooManyQuestions
	}
	r.last++
	q := &question{m.ID, asker + "-" + strconv.Itoa(r.last), name, InputRequest{m.Method, m.Params}}
	r.waiting[q.key] = q
	if r.timer == nil && r.round == "" && !r.closing {
		c.startRound()
	}
	return nil
}

// bytes returns how large the questions are that wait.
func (r *rounds) bytes() (size int) {
	for _, q := range r.waiting {
		size += len(q.input.Params)
	}
	return size
}

// startRound has what is asked be sent to the client when the round's time is up. c.mu
// must be held.
func (c *Conn) startRound() {
	c.rounds.timer = time.AfterFunc(roundLength, func() { c.node.background(c.closeRound) })
}

// unask withdraws a question: its handler waits for it no longer.
func (c *Conn) unask(id jsonrpc.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rounds == nil {
		return
	}
	for key, q := range c.rounds.waiting {
		if q.id == id {
			delete(c.rounds.waiting, key)
		}
	}
}

// roundsLocked returns the call's rounds. c.mu must be held.
func (c *Conn) roundsLocked() *rounds {
	if c.rounds == nil {
		c.rounds = &rounds{Asking: *c.req.Asking, seen: map[string]int{}, waiting: map[string]*question{}}
		if c.rounds.Run.Call == "" {
			c.rounds.Run = roundstore.Run{Call: roundstore.NewCall(), Number: 1}
		} else {
			c.rounds.begun = true
		}
	}
	return c.rounds
}

// closeRound answers the request that is open with what is asked, and parks the call.
func (c *Conn) closeRound() {
	ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
	c.out.Lock()
	defer c.out.Unlock()
	if c.phase == phaseDone || c.phase == phaseParked {
		return
	}
	c.describe()
	c.mu.Lock()
	r := c.rounds
	r.timer, r.closing = nil, true
	state := roundstore.NewState(r.Run.Call)
	inputs := map[string]InputRequest{}
	record := roundstore.Record{Round: state.Hash(), Claim: r.claim, Instance: c.node.id, Conn: c.id, Again: r.again}
	for key, q := range r.waiting {
		inputs[key] = q.input
		record.Asks = append(record.Asks, roundstore.Question{Key: key, ID: q.name})
	}
	c.mu.Unlock()
	var err error
	if len(inputs) > 0 { // they have not been withdrawn
		err = c.park(ctx, state, record, inputs)
	}
	c.mu.Lock()
	r.closing = false
	c.mu.Unlock()
	if err != nil {
		c.failQuestions(err)
	}
}

// describe notes whose the call is, and whether it may be run again, when it first
// asks. c.out must be held.
func (c *Conn) describe() {
	c.mu.Lock()
	known := c.rounds.claim != ""
	c.mu.Unlock()
	if known {
		return
	}
	claim, again := c.req.Asking.Claim(), c.req.Asking.Again()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rounds.claim, c.rounds.again = claim, again
}

// park is closeRound for what is asked. c.out must be held.
func (c *Conn) park(ctx context.Context, state roundstore.State, record roundstore.Record, inputs map[string]InputRequest) error {
	result, err := c.rounds.Encode(inputs, state.String())
	if err != nil {
		return err
	}
	if !c.node.mayPark(c, c.node.opts.MaxParkedPerUser, c.node.opts.MaxParked) {
		return errTooManyParked
	}
	c.mu.Lock()
	run, begun := c.rounds.Run, c.rounds.begun
	c.mu.Unlock()
	ok, err := c.node.rounds.Open(ctx, run, !begun, record)
	switch {
	case err != nil && !begun:
		c.node.unpark(c)
		return c.notSent(err)
	case err != nil:
		return c.notSent(err)
	case !ok:
		c.node.background(c.giveUp)
		return errTakenOver
	}
	c.mu.Lock()
	c.rounds.begun, c.rounds.round, c.rounds.parked = true, record.Round, time.Now()
	c.mu.Unlock()
	c.complete(ctx, encodeSaid(c.req.Message.ID, said{data: result, kind: saidResult}))
	c.phase = phaseParked
	c.parked.Store(true)
	c.node.ended.Send() // who waits until nothing runs here does not wait for this
	return nil
}

// failQuestions answers what the handler waits for with an error.
func (c *Conn) failQuestions(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rounds == nil {
		return
	}
	for key, q := range c.rounds.waiting {
		c.incoming.put(&jsonrpc.Response{ID: q.id, Error: &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: err.Error()}})
		delete(c.rounds.waiting, key)
	}
}

// hold keeps what the handler says while the call is parked. c.out must be held.
func (c *Conn) hold(s said) error {
	r, opts := c.rounds, c.node.opts
	if len(r.held) >= opts.MaxQueue || r.heldBytes+len(s.data) > opts.MaxQueueBytes {
		return errHeldFull
	}
	r.held, r.heldBytes = append(r.held, s), r.heldBytes+len(s.data)
	return nil
}

// An Answering is a retry of a call that is parked, with its answers.
type Answering struct {
	Round   string // a [roundstore.State.Hash]
	Claim   string
	Answers map[string]json.RawMessage
	front   front // the request that brought it
}

// receiveAnswers takes answers to the open round, and makes their request the call's
// front. It reports an error that the request is answered with; the round then stays
// open.
func (c *Conn) receiveAnswers(ctx context.Context, a Answering) error {
	if c.serves(a.front) {
		return nil // the answers came before
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.serves(a.front) {
		return nil
	}
	stored, ok := c.answered(a)
	if !ok {
		return ErrWrongState
	}
	if err := c.store(ctx, stored); err != nil {
		return err
	}
	t := newTelling(c, a.front, 0)
	c.telling.Store(t)
	c.phase = phaseFront
	c.parked.Store(false)
	r := c.rounds
	for _, s := range r.held {
		t.put(s)
	}
	t.send(ctx)
	r.held, r.heldBytes = nil, 0
	if r.result != nil {
		c.phase = phaseDone
		t.end(ctx, *r.result)
		c.node.background(c.finishUnlessParked)
		return nil
	}
	c.hand(a.Answers)
	return nil
}

// answered returns the answers to what is asked in the open round, by the questions'
// names. It returns false if they are not for it.
func (c *Conn) answered(a Answering) (stored map[string]json.RawMessage, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rounds
	if r == nil || c.phase != phaseParked || r.round == "" || r.round != a.Round || r.claim != a.Claim || slices.Contains(r.gone, a.front) {
		return nil, false
	}
	stored = map[string]json.RawMessage{}
	for key, answer := range a.Answers {
		if q := r.waiting[key]; q != nil {
			stored[q.name] = answer
		}
	}
	return stored, true
}

// store keeps answers before the handler gets them, if the call may be run again: if
// this instance dies, nobody is asked again.
func (c *Conn) store(ctx context.Context, answers map[string]json.RawMessage) error {
	c.mu.Lock()
	run, again := c.rounds.Run, c.rounds.again
	c.mu.Unlock()
	if !again || len(answers) == 0 {
		return nil
	}
	ok, err := c.node.rounds.Answer(ctx, run, answers)
	if err == nil && !ok { // it has been run again: this instance was taken for dead
		c.node.background(c.giveUp)
		return ErrWrongState
	}
	return err
}

// hand gives the handler the answers that it waits for. The rest is asked again.
func (c *Conn) hand(answers map[string]json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rounds
	r.round = ""
	for key, answer := range answers {
		if q := r.waiting[key]; q != nil {
			delete(r.waiting, key)
			c.incoming.put(&jsonrpc.Response{ID: q.id, Result: answer})
		}
	}
	if len(r.waiting) > 0 {
		c.startRound()
	}
}

// saidOf returns what an encoded message of the handler says.
func saidOf(data []byte) said {
	m, err := jsonrpcmsg.Decode(data)
	switch {
	case err != nil:
		return said{data: wireError(errUnknownMessage), kind: saidError} // not of ours
	case m.Method != "":
		return said{data: m.Params, kind: saidNotification, method: m.Method}
	case m.Error != nil:
		return said{data: m.Error, kind: saidError}
	default:
		return said{data: m.Result, kind: saidResult}
	}
}

// isGivenUp reports whether nobody will hear of the call any more.
func (c *Conn) isGivenUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.left.IsZero()
}

// expire ends a call whose client has not come back in time.
func (c *Conn) expire() {
	c.out.Lock()
	defer c.out.Unlock()
	if c.phase == phaseParked {
		c.failQuestions(errNoResponse)
		c.unpark()
	}
}

// unpark ends the waiting for the client of a parked call, of which nobody hears any
// more. c.out must be held.
func (c *Conn) unpark() {
	c.phase = phaseDone
	c.parked.Store(false)
	c.rounds.held, c.rounds.heldBytes = nil, 0
	c.mu.Lock()
	c.rounds.round = ""
	if c.left.IsZero() {
		c.left = time.Now()
	}
	c.mu.Unlock()
	if c.rounds.result != nil {
		c.node.background(c.finish)
	}
}

// parkedSince returns since when the call has been parked, zero if it is not.
func (c *Conn) parkedSince() time.Time {
	if !c.parked.Load() {
		return time.Time{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rounds.parked
}

// endRounds drops what Redis knows of a call that might otherwise be run again.
func (c *Conn) endRounds() {
	c.mu.Lock()
	r := c.rounds
	over := r != nil && r.begun && r.again
	c.mu.Unlock()
	if !over {
		return
	}
	if err := c.node.rounds.End(context.Background(), r.Run); err != nil { // nobody waits for it; the call to Redis is bounded
		c.node.logger.Warn("a call's record was not removed", "error", err)
	}
}
