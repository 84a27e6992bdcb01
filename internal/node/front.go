package node

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/roundstore"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/signal"
)

// A front is a request that has brought answers to a parked call, and gets what the
// call says from then on. Its connection runs no handler.
type front struct {
	instance, conn string
	told           int64 // how much it has been told
}

// fronting is what the connection of a front knows of its call.
type fronting struct {
	wake signal.Wake
	died func() // what is done when the instance has died

	mu       sync.Mutex // guards all fields below
	instance string     // that runs the call
	call     string     // the connection of the call there
	queue    []said
	bytes    int
	next     int64 // how many there have been, queued or not
	missed   int   // checks in a row that found the instance dead
	lost     bool  // something has been lost
}

// where returns what runs the call.
func (f *fronting) where() (instance, call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.instance, f.call
}

// moveTo notes that another connection runs the call now, and returns how much the
// front has been told.
func (f *fronting) moveTo(instance, call string) (told int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.instance, f.call, f.missed = instance, call, 0
	return f.next
}

// ErrWrongState says that a request state is not one that the call waits for: of
// another user, call, or round, used, expired, or made up.
var ErrWrongState = &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the requestState is not valid for this request, or no longer"}

// ErrCallDied says that the instance which ran a call has died.
var ErrCallDied = &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the instance that ran this request has died; send it again without requestState to start anew"}

// Continue has a request be the front of a parked call: it brings the answers, and
// gets what the call says. Its connection must have been accepted. If the call's
// instance has died, or dies, died is called, on a goroutine of its own.
func (n *Node) Continue(ctx context.Context, c *Conn, r roundstore.Record, a Answering, died func()) error {
	a.front = front{instance: n.id, conn: c.id}
	f := &fronting{wake: signal.NewWake(), died: died, instance: r.Instance, call: r.Conn}
	c.mu.Lock()
	c.fronting = f
	c.mu.Unlock()
	if r.Instance == n.id {
		asking := n.conn(r.Conn)
		if asking == nil {
			return ErrWrongState
		}
		if err := asking.receiveAnswers(ctx, a); err != nil {
			return err
		}
	} else {
		fate, err := n.sendToKeep(ctx, r.Instance, answersArrived{Conn: r.Conn, Answering: a})
		switch {
		case err != nil:
			return err
		case fate == fateGone:
			n.background(died)
		}
	}
	n.background(c.runFront)
	return nil
}

// standBehind makes a request the front of a call that begins, in place of a call that
// has died.
func (c *Conn) standBehind(f *Conn) {
	c.mu.Lock()
	r := c.roundsLocked()
	c.mu.Unlock()
	r.front = front{instance: c.node.id, conn: f.id, told: f.frontingOf().moveTo(c.node.id, c.id)}
	c.phase = phaseFront
	c.frontAt.Store(&c.node.id)
}

// runFront passes on what the call says, until its response.
func (c *Conn) runFront() {
	for {
		for _, s := range c.fronting.take() {
			if s.kind == saidNotification {
				c.passOn(s)
				continue
			}
			c.out.Lock()
			resp := jsonrpc.Response{Result: s.data}
			if s.kind == saidError {
				var e jsonrpc.Error
				_ = json.Unmarshal(s.data, &e) // it is one
				resp = jsonrpc.Response{Error: &e}
			}
			c.completeWith(context.Background(), encodeSaid(c.req.Message.ID, s), sdkcompat.ErrorCode(&resp))
			c.out.Unlock()
			c.finish()
			return
		}
		select {
		case <-c.fronting.wake:
		case <-c.done:
			return
		}
	}
}

func (f *fronting) take() []said {
	f.mu.Lock()
	defer f.mu.Unlock()
	said := f.queue
	f.queue, f.bytes = nil, 0
	return said
}

// passOn sends a notification of the call to the front's client, with what that asked
// for: its own progress token, and its level of log messages.
func (c *Conn) passOn(s said) {
	ctx := context.Background()
	params := s.data
	switch s.method {
	case "notifications/progress":
		if params = c.withOwnToken(params); params == nil {
			return // this client has not asked for progress
		}
	case "notifications/message":
		if wanted, err := c.wantsLog(ctx, params); err != nil || !wanted {
			return
		}
	}
	data, err := jsonrpcmsg.EncodeRequest(nil, s.method, params)
	if err == nil {
		_ = c.emit(ctx, data) // a client that has gone has cancelled the call
	}
}

// withOwnToken returns the params of progress with the token of this request, nil if
// it has none.
func (c *Conn) withOwnToken(params json.RawMessage) json.RawMessage {
	var p struct {
		Meta map[string]json.RawMessage `json:"_meta"`
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(c.req.Message.Params, &p) != nil || json.Unmarshal(params, &fields) != nil {
		return nil
	}
	token := p.Meta["progressToken"]
	if token == nil || string(token) == "null" {
		return nil
	}
	fields["progressToken"] = token
	data, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return data
}

func encodeSaid(id json.RawMessage, s said) []byte {
	if s.kind == saidError {
		return jsonrpcmsg.EncodeRawError(id, s.data)
	}
	return jsonrpcmsg.EncodeResult(id, s.data)
}

// tellFront tells the call's front what the handler has said. c.out must be held.
func (c *Conn) tellFront(ctx context.Context, s said) {
	f := &c.rounds.front
	m := frontTold{Conn: f.conn, Number: f.told, said: s}
	f.told++
	if f.instance == c.node.id {
		c.node.receiveFrontTold(m)
		return
	}
	fate, err := c.node.sendToKeep(ctx, f.instance, m)
	if err != nil || fate == fateGone {
		c.node.logger.Warn("a retry was not told of its call", "error", err)
	}
}

func (n *Node) receiveFrontTold(m frontTold) {
	c := n.conn(m.Conn)
	if c == nil || c.frontingOf() == nil {
		return // its client has gone, and the call has been told
	}
	f := c.frontingOf()
	f.mu.Lock()
	switch {
	case m.Number < f.next: // again
	case m.Number > f.next, len(f.queue) >= n.opts.MaxQueue, f.bytes+len(m.data) > n.opts.MaxQueueBytes && len(f.queue) > 0:
		f.lost = true
	default:
		f.queue, f.bytes, f.next = append(f.queue, m.said), f.bytes+len(m.data), f.next+1
	}
	lost := f.lost
	f.mu.Unlock()
	if lost {
		n.background(func() { c.failFront(errTooSlowFront); c.giveUp() })
	}
	f.wake.Send()
}

func (c *Conn) frontingOf() *fronting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fronting
}

// failFront answers a front with an error in place of its call's response.
func (c *Conn) failFront(err error) {
	c.out.Lock()
	c.completeWith(context.Background(), jsonrpcmsg.EncodeError(c.req.Message.ID, err), 0)
	c.out.Unlock()
	c.finish()
}

// FailFront is for who has been told that a front's call has died.
func (c *Conn) FailFront(err error) { c.failFront(err) }

// receiveFrontGone cancels a call whose front's client has gone.
func (n *Node) receiveFrontGone(m frontGone) {
	if c := n.conn(m.Call); c != nil {
		n.background(func() { c.frontGone(m) })
	}
}

func (c *Conn) frontGone(m frontGone) {
	c.out.Lock()
	is := c.phase == phaseFront && c.rounds.front.instance == m.Instance && c.rounds.front.conn == m.Conn
	c.out.Unlock()
	if is {
		c.giveUp()
	}
}

// leaveCall tells the call that its front has gone.
func (c *Conn) leaveCall(f *fronting) {
	instance, call := f.where()
	m := frontGone{Call: call, Instance: c.node.id, Conn: c.id}
	if instance == c.node.id {
		c.node.receiveFrontGone(m)
		return
	}
	c.node.background(func() { c.node.tell(context.Background(), instance, m) })
}

// checkFronts acts for the fronts of calls whose instance has died, and for the calls
// whose front's instance has.
func (n *Node) checkFronts(ctx context.Context) {
	var fronts, calls []*Conn
	var instances []string
	for _, c := range n.allConns() {
		if f := c.frontingOf(); f != nil {
			if instance, _ := f.where(); instance != n.id {
				fronts, instances = append(fronts, c), append(instances, instance)
			}
		}
		if at := c.frontAt.Load(); at != nil && *at != n.id {
			calls, instances = append(calls, c), append(instances, *at)
		}
	}
	if len(instances) == 0 {
		return
	}
	alive, err := n.living(ctx, instances)
	if err != nil {
		n.logger.Warn("parked calls not checked", "error", err)
		return
	}
	judge := n.canJudge()
	for _, c := range fronts {
		f := c.frontingOf()
		instance, _ := f.where()
		if f.check(alive[instance] || !judge) == 2 {
			n.background(f.died)
		}
	}
	for _, c := range calls {
		if at := c.frontAt.Load(); at != nil && !alive[*at] && judge {
			n.background(c.giveUp)
		}
	}
}

// check notes whether the call's instance lives, and returns how often in a row it did
// not.
func (f *fronting) check(alive bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missed++
	if alive {
		f.missed = 0
	}
	return f.missed
}

// frontTold brings what a call says to its front.
type frontTold struct {
	Conn   string
	Number int64
	said
}

const kindFrontTold = "said"

func (m frontTold) encode() []string {
	return envelope(kindFrontTold, "c", m.Conn, "n", strconv.FormatInt(m.Number, 10), "t", string(m.kind), "m", m.method, "d", string(m.data))
}

func decodeFrontTold(f map[string]string) (m frontTold, err error) {
	m = frontTold{Conn: f["c"], said: said{kind: saidKind(f["t"]), method: f["m"], data: json.RawMessage(f["d"])}}
	m.Number, err = strconv.ParseInt(f["n"], 10, 64)
	return m, err
}

// answersArrived brings answers to a parked call.
type answersArrived struct {
	Conn string
	Answering
}

const kindAnswersArrived = "answers"

func (m answersArrived) encode() []string {
	answers, _ := json.Marshal(m.Answers) // they have been decoded
	return envelope(kindAnswersArrived, "c", m.Conn, "r", m.Round, "w", m.Claim, "d", string(answers), "i", m.front.instance, "f", m.front.conn)
}

func decodeAnswersArrived(f map[string]string) (m answersArrived, err error) {
	m = answersArrived{Conn: f["c"], Answering: Answering{Round: f["r"], Claim: f["w"], front: front{instance: f["i"], conn: f["f"]}}}
	return m, json.Unmarshal([]byte(f["d"]), &m.Answers)
}

// receiveAnswersArrived is [Conn.receiveAnswers] for answers that another instance has
// taken, which is told an error.
func (n *Node) receiveAnswersArrived(m answersArrived) {
	ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
	err := error(ErrWrongState)
	if c := n.conn(m.Conn); c != nil {
		err = c.receiveAnswers(ctx, m.Answering)
	}
	if err == nil {
		return
	}
	wire := new(jsonrpc.Error)
	if !errors.As(err, &wire) {
		wire = &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: errStoreUnavailable.Error()}
	}
	data, _ := json.Marshal(wire) // an error without data
	if _, err := n.sendToKeep(ctx, m.front.instance, frontTold{Conn: m.front.conn, said: said{kind: saidError, data: data}}); err != nil {
		n.logger.Warn("a retry was not told that it is refused", "error", err)
	}
}

// frontGone tells a call that its front's client has gone.
type frontGone struct{ Call, Instance, Conn string }

const kindFrontGone = "left"

func (m frontGone) encode() []string {
	return envelope(kindFrontGone, "q", m.Call, "i", m.Instance, "c", m.Conn)
}

func decodeFrontGone(f map[string]string) frontGone {
	return frontGone{Call: f["q"], Instance: f["i"], Conn: f["c"]}
}

// LoadRound returns what is known of the call whose state a client sends back, the
// zero Record if it is none.
func (n *Node) LoadRound(ctx context.Context, state roundstore.State) (roundstore.Record, error) {
	return n.rounds.Load(ctx, state.Call)
}

// AdoptRound takes over the call of a dead instance; see [roundstore.Store.Adopt].
func (n *Node) AdoptRound(ctx context.Context, state roundstore.State, r roundstore.Record, answers map[string]json.RawMessage) (all map[string]json.RawMessage, ok bool, err error) {
	return n.rounds.Adopt(ctx, state, r, n.id, answers)
}
