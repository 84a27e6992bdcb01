package node

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/signal"
)

// A telling hands what a parked call says to its front: each message once, in order.
// While Redis is away it keeps them. A handler that says more than the front's client
// takes waits, as it does for a client of its own.
type telling struct {
	node *Node
	call string // the call's connection
	to   front
	room signal.Wake      // sent when a handler that waits may look again
	sent signal.Broadcast // sent when nothing is unsent any more

	mu      sync.Mutex // guards all fields below; nothing else is locked while it is held
	unsent  []said
	next    int64 // number of the first of unsent
	sizes   []int // of the notifications that the client has yet to take, oldest first
	bytes   int   // their sum
	taken   int64 // the number of the oldest
	sending bool
	over    bool // the response is among what was put
	left    bool // nobody waits for notifications any more
	gone    bool // nobody waits for anything any more
	missed  int  // checks in a row that found the front's instance dead
}

// newTelling returns a telling whose messages have numbers from next on.
func newTelling(c *Conn, to front, next int64) *telling {
	return &telling{node: c.node, call: c.id, to: to, room: signal.NewWake(), next: next, taken: next}
}

// maxTold bounds what is told to a front on another instance, in bytes of one message:
// it goes through Redis.
const maxTold = maxResponseBytes / 4

// tell hands over a notification. It waits while the client has much to take.
func (t *telling) tell(ctx context.Context, s said) error {
	if t.isElsewhere() && len(s.data) > maxTold {
		return errTooLargeToTell
	}
	for {
		if put, err := t.offer(s); err != nil {
			return err
		} else if put {
			break
		}
		select {
		case <-t.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.send(ctx)
	return nil
}

// end hands over the response.
func (t *telling) end(ctx context.Context, s said) {
	if t.isElsewhere() && len(s.data) > maxTold {
		s = said{data: wireError(errTooLargeToTell), kind: saidError}
	}
	t.mu.Lock()
	if !t.over {
		t.over = true
		t.unsent = append(t.unsent, s)
	}
	t.mu.Unlock()
	t.send(ctx)
}

func (t *telling) isElsewhere() bool { return t.to.instance != t.node.id }

// offer puts a notification if there is room for it.
func (t *telling) offer(s said) (put bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	opts := t.node.opts
	switch {
	case t.left || t.gone || t.over:
		return false, errClientGone
	case len(t.sizes) >= opts.MaxQueue, t.bytes > 0 && t.bytes >= opts.MaxQueueBytes/2: // see fronting.toReport
		return false, nil
	}
	t.putLocked(s)
	return true, nil
}

// put puts a notification whether there is room for it or not.
func (t *telling) put(s said) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putLocked(s)
}

func (t *telling) putLocked(s said) {
	t.unsent, t.sizes, t.bytes = append(t.unsent, s), append(t.sizes, len(s.data)), t.bytes+len(s.data)
}

// take notes that the client has all notifications up to a number.
func (t *telling) take(number int64) {
	t.mu.Lock()
	for t.taken < number && len(t.sizes) > 0 {
		t.taken, t.bytes, t.sizes = t.taken+1, t.bytes-t.sizes[0], t.sizes[1:]
	}
	t.mu.Unlock()
	t.room.Send()
}

// send sends what is unsent; what cannot be sent now is sent when Redis is back.
func (t *telling) send(ctx context.Context) {
	t.mu.Lock()
	busy := t.sending
	t.sending = true
	t.mu.Unlock()
	if busy || t.trySend(ctx) {
		return
	}
	later := t.node.background(func() {
		ctx := context.Background() // nobody waits for this but the client; each call to Redis is bounded
		if !t.node.untilDone(50*time.Millisecond, func() bool { return t.trySend(ctx) }) {
			t.drop()
		}
	})
	if !later {
		t.drop()
	}
}

// trySend sends what is unsent. It returns false if that failed.
func (t *telling) trySend(ctx context.Context) bool {
	for {
		t.mu.Lock()
		if len(t.unsent) == 0 || t.gone {
			t.unsent, t.sending = nil, false
			t.mu.Unlock()
			t.sent.Send()
			return true
		}
		m := frontTold{Conn: t.to.conn, From: front{t.node.id, t.call}, Number: t.next, said: t.unsent[0]}
		t.mu.Unlock()
		if t.isElsewhere() {
			fate, err := t.node.sendToKeep(ctx, t.to.instance, m)
			if err != nil {
				t.node.logger.Warn("a retry was not told of its call", "error", err)
				return false
			}
			if fate == fateGone {
				t.drop()
				t.node.receiveFrontGone(frontGone{Call: t.call, Front: t.to})
				continue
			}
		} else {
			t.node.receiveFrontTold(m)
		}
		t.mu.Lock()
		if len(t.unsent) > 0 {
			t.unsent, t.next = t.unsent[1:], t.next+1
		}
		t.mu.Unlock()
	}
}

// leave has nobody wait for notifications any more.
func (t *telling) leave() {
	t.mu.Lock()
	t.left = true
	t.mu.Unlock()
	t.room.Send()
}

// drop has nobody wait for anything any more.
func (t *telling) drop() {
	t.mu.Lock()
	t.gone, t.unsent = true, nil
	t.mu.Unlock()
	t.room.Send()
	t.sent.Send()
}

// isServed reports whether the front has yet to get its response.
func (t *telling) isServed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.gone && (!t.over || len(t.unsent) > 0)
}

// waitSent waits until nothing is unsent any more.
func (t *telling) waitSent() {
	_ = t.sent.Until(context.Background(), func() bool { // each try is bounded, and a node that leaves drops the rest
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.gone || len(t.unsent) == 0
	})
}

// check notes whether the front's instance lives, and returns how often in a row it did
// not.
func (t *telling) check(alive bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.missed++
	if alive {
		t.missed = 0
	}
	return t.missed
}

// wireError encodes an error as the error of a response.
func wireError(err error) json.RawMessage {
	m, _ := jsonrpcmsg.Decode(jsonrpcmsg.EncodeError(json.RawMessage("0"), err)) // it is one
	return m.Error
}
