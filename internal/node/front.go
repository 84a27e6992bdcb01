package node

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/roundstore"
	"github.com/mcpfleet/mcpfleet/internal/signal"
)

// A front is a request that has brought answers to a parked call, and gets what the
// call says from then on. Its connection runs no handler. A call is named in the same
// way.
type front struct{ instance, conn string }

// fronting is what the connection of a front knows of its call.
type fronting struct {
	wake signal.Wake
	died func() // what is done when the call's instance has died

	mu        sync.Mutex // guards all fields below
	call      front
	answering Answering // what was brought
	queue     []said
	next      int64 // how many there have been, queued or not
	took      int64 // how many the client has been sent
	tookBytes int   // of those that are not reported
	reported  int64 // how many of them the call knows of
	checks    int
	missed    int  // checks in a row that found the instance dead
	dead      bool // it has been taken for dead
	lost      bool // something has been lost
}

// where returns what runs the call.
func (f *fronting) where() front {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.call
}

// moveTo notes that another connection runs the call now. It returns the one before,
// and how much it has told.
func (f *fronting) moveTo(call front) (before front, told int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.call, f.missed, f.dead = f.call, call, 0, false
	return before, f.next
}

// ErrWrongState says that a request state is not one that the call waits for: of
// another user, call, or round, used, expired, or made up.
var ErrWrongState = &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the requestState is not valid for this request, or no longer"}

// ErrCallDied says that the instance which ran a call has died.
var ErrCallDied = &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the instance that ran this request has died, and how far it came is unknown; to start anew, send the request without requestState"}

// Continue has a request be the front of a parked call: it brings the answers, and
// gets what the call says. Its connection must have been accepted. If the call's
// instance has died, or dies, died is called, on a goroutine of its own.
func (n *Node) Continue(ctx context.Context, c *Conn, r roundstore.Record, a Answering, died func()) error {
	a.front = front{n.id, c.id}
	f := &fronting{wake: signal.NewWake(), died: died, call: front{r.Instance, r.Conn}, answering: a}
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
	} else if err := c.bring(ctx, f); errors.Is(err, errResponsesFull) {
		return err
	} else if err != nil {
		n.background(func() { c.bringLate(f) })
	}
	n.background(c.runFront)
	return nil
}

// bring sends the answers to the call's instance.
func (c *Conn) bring(ctx context.Context, f *fronting) error {
	f.mu.Lock()
	call, a := f.call, f.answering
	f.mu.Unlock()
	fate, err := c.node.sendToKeep(ctx, call.instance, answersArrived{Conn: call.conn, Answering: a})
	if err == nil && fate == fateGone && f.isDead() {
		c.node.background(f.died)
	}
	return err
}

// bringLate brings answers of which it is not known whether they have arrived: Redis
// went away meanwhile. They are taken once.
func (c *Conn) bringLate(f *fronting) {
	ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
	var err error
	began := time.Now()
	c.node.untilDone(50*time.Millisecond, func() bool {
		err = c.bring(ctx, f)
		return err == nil || c.isGivenUp() || c.isFinished() || time.Since(began) >= outageBound
	})
	if err != nil {
		c.FailFront(err)
	}
}

// isDead notes that the call's instance is dead, and reports whether that is news.
func (f *fronting) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	news := !f.dead
	f.dead = true
	return news
}

// standBehind makes a request the front of a call that begins, in place of a call that
// has died, which is told so, should it be back.
func (c *Conn) standBehind(f *Conn) {
	before, told := f.frontingOf().moveTo(front{c.node.id, c.id})
	f.leaveCall(before)
	c.telling.Store(newTelling(c, front{c.node.id, f.id}, told))
	c.phase = phaseFront
}

// runFront passes on what the call says, until its response.
func (c *Conn) runFront() {
	f := c.frontingOf()
	for {
		for _, s := range f.take() {
			switch {
			case s.kind == saidNotification:
				c.passOn(s)
				c.reportTaken(f, len(s.data))
			case s.kind == saidRefused && len(s.data) == 0:
				c.FailFront(redisx.Unavailable("answer a call", errors.New("its instance cannot store the answers")))
				return
			case s.kind == saidResult:
				c.out.Lock()
				c.complete(context.Background(), jsonrpcmsg.EncodeResult(c.req.Message.ID, s.data)) // a front has no log: it calls nobody
				c.out.Unlock()
				c.finish()
				return
			default:
				c.failFront(s.data)
				return
			}
		}
		select {
		case <-f.wake:
		case <-c.done:
			return
		}
	}
}

// saidRefused is what a front is told whose answers are not taken: an error, or
// nothing if it is that Redis is unavailable.
const saidRefused saidKind = "x"

func (f *fronting) take() []said {
	f.mu.Lock()
	defer f.mu.Unlock()
	said := f.queue
	f.queue = nil
	return said
}

// passOn sends a notification of the call to the front's client, with what that asked
// for: its own progress token, and its level of log messages.
func (c *Conn) passOn(s said) {
	ctx := context.Background() // a client that does not read is cut, and has left then
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
	if json.Unmarshal(c.req.Message.Params, &p) != nil || json.Unmarshal(params, &fields) != nil || fields == nil {
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

// reportTaken tells the call, now and then, how much the client has been sent.
func (c *Conn) reportTaken(f *fronting, size int) {
	call, number, ok := f.toReport(size, c.node.opts)
	if !ok {
		return
	}
	m := frontTook{Call: call.conn, Front: front{c.node.id, c.id}, Number: number}
	if call.instance == c.node.id {
		c.node.receiveFrontTook(m)
		return
	}
	ctx := context.Background() // nobody waits for this but the call; each call to Redis is bounded
	c.node.untilDone(50*time.Millisecond, func() bool {
		_, err := c.node.sendToKeep(ctx, call.instance, m)
		return err == nil || c.isFinished()
	})
}

// toReport notes that the client has been sent one more notification, and returns how
// many it has, if the call should know: it waits when MaxQueue of them or half of
// MaxQueueBytes are not reported, so each report is of at most half as much.
func (f *fronting) toReport(size int, opts Options) (call front, number int64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took++
	f.tookBytes += size
	if f.took-f.reported < int64(max(opts.MaxQueue/2, 1)) && f.tookBytes < opts.MaxQueueBytes/4 {
		return front{}, 0, false
	}
	f.reported, f.tookBytes = f.took, 0
	return f.call, f.took, true
}

func encodeSaid(id json.RawMessage, s said) []byte {
	if s.kind == saidError {
		return jsonrpcmsg.EncodeRawError(id, s.data)
	}
	return jsonrpcmsg.EncodeResult(id, s.data)
}

// receiveFrontTold takes what a front's call says. It does not block.
func (n *Node) receiveFrontTold(m frontTold) {
	c := n.conn(m.Conn)
	if c == nil {
		return // its client has gone, and the call is told
	}
	if f := c.frontingOf(); f != nil && f.receive(m) {
		f.wake.Send()
	}
}

// receive queues what the call says. The call says no more than there is room for.
func (f *fronting) receive(m frontTold) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.lost, m.From != f.call:
		return false // the latter of a call that was taken for dead, and is run again
	case m.kind == saidRefused && f.next == 0:
	case m.kind == saidRefused, m.Number > f.next:
		f.lost = true
		m.said = said{data: wireError(errFrontLost), kind: saidError}
	case m.Number < f.next: // again
		return false
	default:
		f.next++
		f.answering.Answers = nil // the call has them
	}
	f.queue = append(f.queue, m.said)
	return true
}

func (c *Conn) frontingOf() *fronting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fronting
}

func (c *Conn) isFinished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

// failFront answers a front with an error in place of its call's response.
func (c *Conn) failFront(wire json.RawMessage) {
	var e jsonrpc.Error
	_ = json.Unmarshal(wire, &e) // it is one
	c.out.Lock()
	c.completeWith(context.Background(), jsonrpcmsg.EncodeRawError(c.req.Message.ID, wire), e.Code) // as in runFront
	c.out.Unlock()
	c.leaveCall(c.frontingOf().where())
	c.finish()
}

// FailFront answers a front with an error of this instance.
func (c *Conn) FailFront(err error) {
	if errors.As(err, new(*jsonrpc.Error)) {
		c.failFront(wireError(err))
		return
	}
	c.out.Lock()
	if c.phase == phaseJSON {
		c.phase = phaseDone
		c.response <- Response{Err: err}
	} else {
		c.complete(context.Background(), jsonrpcmsg.EncodeError(c.req.Message.ID, c.notSent(err))) // as in runFront
	}
	c.out.Unlock()
	c.leaveCall(c.frontingOf().where())
	c.finish()
}

// leaveCall tells a call that its front has gone.
func (c *Conn) leaveCall(call front) {
	m := frontGone{Call: call.conn, Front: front{c.node.id, c.id}}
	if call.instance == c.node.id {
		c.node.receiveFrontGone(m)
		return
	}
	leave := func() {
		ctx := context.Background() // nobody waits for this; each call to Redis is bounded
		c.node.untilDone(time.Second, func() bool {
			_, err := c.node.sendToKeep(ctx, call.instance, m)
			return err == nil
		})
	}
	if !c.node.background(leave) {
		leave() // once: the node leaves
	}
}

// receiveFrontGone cancels a call whose front's client has gone. It does not block.
func (n *Node) receiveFrontGone(m frontGone) {
	c := n.conn(m.Call)
	if c == nil {
		return
	}
	c.mu.Lock()
	if c.rounds != nil { // the front may not have been heard of yet
		const remembered = 16
		if len(c.rounds.gone) == remembered {
			c.rounds.gone = c.rounds.gone[1:]
		}
		c.rounds.gone = append(c.rounds.gone, m.Front)
	}
	c.mu.Unlock()
	n.background(func() { c.frontGone(m.Front) })
}

func (c *Conn) frontGone(f front) {
	t := c.telling.Load()
	if t != nil && t.to == f {
		t.drop() // what holds c.out for it goes on
	}
	c.out.Lock()
	t = c.telling.Load()
	is := c.phase == phaseFront && t.to == f
	c.out.Unlock()
	if is {
		c.giveUp()
	}
}

// serves reports whether a request is the call's front, and has yet to get its
// response.
func (c *Conn) serves(f front) bool {
	t := c.telling.Load()
	return t != nil && t.to == f && t.isServed()
}

// checkFronts acts for the fronts of calls whose instance has died, and for the calls
// whose front's instance has.
func (n *Node) checkFronts(ctx context.Context) {
	var fronts, calls []*Conn
	var instances []string
	for _, c := range n.allConns() {
		if f := c.frontingOf(); f != nil && f.where().instance != n.id {
			fronts, instances = append(fronts, c), append(instances, f.where().instance)
		}
		if t := c.telling.Load(); t != nil && t.isElsewhere() && t.isServed() {
			calls, instances = append(calls, c), append(instances, t.to.instance)
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
		call := f.where().instance
		dead, again := f.check(alive[call] || !judge)
		switch {
		case call == n.id:
		case dead:
			n.background(f.died)
		case again:
			n.background(func() { _ = c.bring(context.Background(), f) }) // the next check tries again
		}
	}
	for _, c := range calls {
		t := c.telling.Load()
		if t.isElsewhere() && t.check(alive[t.to.instance] || !judge) >= missesOfDead {
			n.background(c.giveUp)
		}
	}
}

// missesOfDead is how many checks in a row find an instance dead that is taken for
// dead; bringAgain after how many the answers are sent again: if a message was lost, of
// either side, the call's instance says so then.
const (
	missesOfDead = 2
	bringAgain   = 5
)

// check notes whether the call's instance lives. It returns whether it must now be
// taken for dead, and whether the answers are to be sent again.
func (f *fronting) check(alive bool) (dead, again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missed++
	f.checks++
	if alive {
		f.missed = 0
	}
	dead = f.missed >= missesOfDead && !f.dead
	f.dead = f.dead || dead
	return dead, f.checks%bringAgain == 0 && !f.dead
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
	refused := frontTold{Conn: m.front.conn, From: front{n.id, m.Conn}, said: said{kind: saidRefused}}
	if errors.As(err, new(*jsonrpc.Error)) {
		refused.data = wireError(err)
	}
	n.untilDone(50*time.Millisecond, func() bool {
		_, err := n.sendToKeep(ctx, m.front.instance, refused)
		return err == nil
	})
}

// LoadRound returns what is known of the call whose state a client sends back, the
// zero Record if it is none.
func (n *Node) LoadRound(ctx context.Context, state roundstore.State) (roundstore.Record, error) {
	return n.rounds.Load(ctx, state.Call)
}
