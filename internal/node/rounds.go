package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
	// Call is the name of a call that is run again; otherwise empty.
	Call string
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
	Params json.RawMessage `json:"params"` // an object: the go-sdk client cannot do without
}

// roundLength is how long after its first question a round is open for others: nobody
// can see that a handler has nothing more to ask, and waits.
const roundLength = 20 * time.Millisecond

// rounds is what a call has asked, and who gets what it says. It is guarded by the
// mutex of its connection, but for the fields below out.
type rounds struct {
	Asking
	seen    map[string]int       // how often a question has been asked
	last    int                  // number of the last question
	waiting map[string]*question // by key
	timer   *time.Timer          // until the round closes; nil if none is open
	claim   string
	again   bool
	round   string    // hash of the state that the client has; empty if it has none
	parked  time.Time // since when the client has it

	// guarded by Conn.out
	front     front  // who gets what the handler says; none at first: the call's own request
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
// answer.
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
	r.last++
	params := m.Params
	if len(params) == 0 {
		params = json.RawMessage("{}")
	}
	q := &question{m.ID, asker + "-" + strconv.Itoa(r.last), name, InputRequest{m.Method, params}}
	r.waiting[q.key] = q
	if r.timer == nil && r.round == "" {
		r.timer = time.AfterFunc(roundLength, func() { c.node.background(c.closeRound) })
	}
	return nil
}

// roundsLocked returns the call's rounds. c.mu must be held.
func (c *Conn) roundsLocked() *rounds {
	if c.rounds == nil {
		c.rounds = &rounds{Asking: *c.req.Asking, seen: map[string]int{}, waiting: map[string]*question{}}
		if c.rounds.Call == "" {
			c.rounds.Call = roundstore.NewCall()
		}
	}
	return c.rounds
}

// closeRound answers the request that is the call's front with what is asked, and
// parks the call.
func (c *Conn) closeRound() {
	ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
	c.out.Lock()
	defer c.out.Unlock()
	claim, again := c.req.Asking.Claim(), c.req.Asking.Again()
	c.mu.Lock()
	r := c.rounds
	r.timer, r.claim, r.again = nil, claim, again
	state := roundstore.NewState(r.Call)
	inputs := map[string]InputRequest{}
	record := roundstore.Record{Round: state.Hash(), Claim: r.claim, Instance: c.node.id, Conn: c.id, Again: r.again}
	for key, q := range r.waiting {
		inputs[key] = q.input
		record.Asks = append(record.Asks, roundstore.Question{Key: key, ID: q.name})
	}
	c.mu.Unlock()
	if c.phase == phaseDone || len(inputs) == 0 {
		return
	}
	err := c.park(ctx, state, record, inputs)
	if err != nil {
		c.failQuestions(err)
	}
}

// park is closeRound for what is asked. c.out must be held.
func (c *Conn) park(ctx context.Context, state roundstore.State, record roundstore.Record, inputs map[string]InputRequest) error {
	if !c.node.mayPark(c, c.node.opts.MaxParkedPerUser, c.node.opts.MaxParked) {
		return errTooManyParked
	}
	result, err := c.rounds.Encode(inputs, state.String())
	if err != nil {
		return err
	}
	if err := c.node.rounds.Open(ctx, state.Call, record); err != nil {
		return c.notSent(err)
	}
	c.mu.Lock()
	c.rounds.round, c.rounds.parked = record.Round, time.Now()
	c.mu.Unlock()
	c.saveFront(ctx, said{data: result, kind: saidResult})
	c.phase = phaseParked
	c.frontAt.Store(nil)
	c.parked.Store(true)
	c.node.ended.Send() // who waits until nothing runs here does not wait for this
	return nil
}

// saveFront answers the request that is the call's front, which then is not any more.
// c.out must be held.
func (c *Conn) saveFront(ctx context.Context, s said) {
	if c.phase == phaseFront {
		c.tellFront(ctx, s)
		c.rounds.front = front{}
		return
	}
	c.complete(ctx, encodeSaid(c.req.Message.ID, s))
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
	c.out.Lock()
	defer c.out.Unlock()
	c.mu.Lock()
	r := c.rounds
	if r == nil || c.phase != phaseParked || r.round == "" || r.round != a.Round || r.claim != a.Claim {
		c.mu.Unlock()
		return ErrWrongState
	}
	again, call := r.again, r.Call
	stored := map[string]json.RawMessage{}
	for key, answer := range a.Answers {
		if q := r.waiting[key]; q != nil {
			stored[q.name] = answer
		}
	}
	c.mu.Unlock()
	if again && len(stored) > 0 {
		// Before the handler gets them: if this instance dies, nobody is asked again.
		if err := c.node.rounds.Answer(ctx, call, stored); err != nil {
			return err
		}
	}
	r.front, c.phase = a.front, phaseFront
	c.frontAt.Store(&a.front.instance)
	c.parked.Store(false)
	for _, s := range r.held {
		c.tellFront(ctx, s)
	}
	r.held, r.heldBytes = nil, 0
	if r.result != nil {
		c.phase = phaseDone
		c.tellFront(ctx, *r.result)
		c.node.background(c.finish)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.round = ""
	for key, answer := range a.Answers {
		if q := r.waiting[key]; q != nil {
			delete(r.waiting, key)
			c.incoming.put(&jsonrpc.Response{ID: q.id, Result: answer})
		}
	}
	if len(r.waiting) > 0 { // the rest is asked again
		r.timer = time.AfterFunc(roundLength, func() { c.node.background(c.closeRound) })
	}
	return nil
}

// saidOf returns what an encoded message of the handler says.
func saidOf(data []byte) said {
	m, err := jsonrpcmsg.Decode(data)
	switch {
	case err != nil:
		return said{}
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
	if c.phase != phaseParked {
		return
	}
	c.phase = phaseDone
	c.parked.Store(false)
	c.failQuestions(errNoResponse)
	c.mu.Lock()
	c.left = time.Now()
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

// CheckAnswers fails unless answers are of the form that their questions want. The
// keys tell which questions these are; those that name none are left out.
func CheckAnswers(raw json.RawMessage) (map[string]json.RawMessage, error) {
	answers := map[string]json.RawMessage{}
	if len(raw) == 0 {
		return answers, nil
	}
	if err := json.Unmarshal(raw, &answers); err != nil || answers == nil {
		return nil, errors.New("inputResponses must be an object")
	}
	for key, answer := range answers {
		asker, _, _ := strings.Cut(key, "-")
		if !slices.Contains(slices.Collect(maps.Values(askers)), asker) {
			delete(answers, key)
			continue
		}
		if err := checkAnswer(asker, answer); err != nil {
			return nil, fmt.Errorf("inputResponses: %q: %w", key, err)
		}
	}
	return answers, nil
}

func checkAnswer(asker string, answer json.RawMessage) error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(answer, &fields) != nil || fields == nil {
		return errors.New("an answer is an object")
	}
	starts := func(name string, with string) bool {
		return len(fields[name]) > 0 && strings.ContainsRune(with, rune(fields[name][0]))
	}
	switch {
	case asker == "elicit":
		switch string(fields["action"]) {
		case `"accept"`, `"decline"`, `"cancel"`:
		default:
			return errors.New(`"action" must be "accept", "decline" or "cancel"`)
		}
		if fields["content"] != nil && string(fields["content"]) != "null" && !starts("content", "{") {
			return errors.New(`"content" must be an object`)
		}
	case asker == "sample" && (!starts("role", `"`) || !starts("content", "{[")):
		return errors.New(`"role" and "content" are required`)
	case asker == "roots" && !starts("roots", "["):
		return errors.New(`"roots" must be an array`)
	}
	return nil
}
