package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// A deliveryPlan is what happens to a stream, step by step: events are always
// in the log, but on their way to the reader anything may happen to them.
type deliveryPlan struct {
	steps     []deliveryStep
	endAlone  bool // the end comes without an event
	endIsLost bool // and is not delivered, so that a look has to find it
}

type deliveryStep struct {
	kind string
	pick int // which of the events under way, modulo
	size int
}

func drawPlan(rt *rapid.T) deliveryPlan {
	step := rapid.Custom(func(rt *rapid.T) deliveryStep {
		return deliveryStep{
			kind: rapid.SampledFrom([]string{"append", "append", "append", "append and deliver", "append and deliver", "deliver", "deliver", "twice", "drop", "look", "let run", "take over", "close"}).Draw(rt, "kind"),
			pick: rapid.IntRange(0, 1000).Draw(rt, "pick"),
			size: rapid.SampledFrom([]int{1, 1, 1, 40, 200}).Draw(rt, "size"),
		}
	})
	return deliveryPlan{
		steps:     rapid.SliceOfN(step, 0, 60).Draw(rt, "steps"),
		endAlone:  rapid.Bool().Draw(rt, "end without an event"),
		endIsLost: rapid.Bool().Draw(rt, "end is lost"),
	}
}

// run follows the plan on two instances and returns what the client has got.
func (p deliveryPlan) run(t *testing.T) (sent, got []string) {
	f := newBubbleFleet(t, Options{MaxQueue: 3, MaxQueueBytes: 100})
	sid := beginSession(t, f.store)
	id := eventlog.StreamID{Session: sid, Stream: eventlog.NewCallStream(json.RawMessage(`1`))}
	first, err := f.log.Open(t.Context(), eventlog.Opening{Stream: id, Nonce: eventlog.NewNonce(), Writer: "w", Call: json.RawMessage(`1`)})
	if err != nil {
		t.Fatal(err)
	}
	type delivery struct {
		e   eventlog.Event
		end bool
	}
	var underway []delivery
	var client *client
	after := &first.ID
	on := 0
	connect := func() {
		if client != nil {
			after = client.leave()
			got = append(got, client.data...)
		}
		on++
		client = newClient(t, f.nodes[on%2], id, after)
	}
	appendEvent := func(size int, end bool) {
		a := eventlog.Append{Writer: "w", Nonce: eventlog.NewNonce(), Data: []byte(fmt.Sprint(len(sent)+1) + strings.Repeat(".", size)), End: end}
		if end && p.endAlone {
			a.Nonce, a.Data = "", nil
		} else {
			sent = append(sent, string(a.Data))
		}
		e, _, err := f.log.Append(t.Context(), id, a)
		if err != nil {
			t.Fatal(err)
		}
		underway = append(underway, delivery{e, end})
	}
	deliver := func(i int, keep bool) {
		d := underway[i]
		if !keep {
			underway = slices.Delete(underway, i, i+1)
		}
		client.r.deliver(d.e, d.end)
	}
	connect()
	for _, s := range p.steps {
		if strings.HasPrefix(s.kind, "append") {
			appendEvent(s.size, false)
		}
		switch some := len(underway) > 0; s.kind {
		case "append and deliver":
			deliver(len(underway)-1, false)
		case "deliver":
			if some {
				deliver(s.pick%len(underway), false)
			}
		case "twice":
			if some {
				deliver(s.pick%len(underway), true)
			}
		case "drop":
			if some {
				underway = slices.Delete(underway, s.pick%len(underway), s.pick%len(underway)+1)
			}
		case "look":
			client.r.readLogSoon()
		case "let run":
			synctest.Wait()
		case "take over":
			connect()
		case "close": // and come back
			client.r.close(closing{retry: reconnectSoon})
			synctest.Wait()
			connect()
		}
		if client.ended() {
			t.Error("the stream ended early")
		}
	}
	appendEvent(1, true)
	if p.endIsLost {
		underway = underway[:len(underway)-1]
	}
	for len(underway) > 0 {
		deliver(len(underway)-1, false) // the last first
	}
	if p.endIsLost {
		client.r.readLogSoon() // as lookAfterStreams does
	}
	synctest.Wait()
	if !client.ended() {
		t.Error("the end was missed")
	}
	client.leave()
	return sent, append(got, client.data...)
}

// A client reads a stream in memory, and remembers what it got before it left.
type client struct {
	r *Reader

	mu   sync.Mutex
	left bool
	data []string
	last eventlog.ID
	err  error
	over bool
}

func newClient(t *testing.T, n *Node, id eventlog.StreamID, after *eventlog.ID) *client {
	t.Helper()
	res, err := n.Resume(t.Context(), sessionstore.Record{ID: id.Session}, after)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	c := &client{r: res.Reader, last: *after}
	v := newViewer(t)
	go func() { v.finish(serve(ctx, c.r, v)) }()
	go func() {
		for e := range v.events {
			c.take(e)
		}
		<-v.over
		c.mu.Lock()
		c.err, c.over = v.err, true
		c.mu.Unlock()
	}()
	return c
}

func (c *client) take(e sse.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return
	}
	if e.ID != "" {
		id, err := eventlog.ParseID(e.ID)
		if err != nil {
			panic(err)
		}
		c.last = id
	}
	if len(e.Data) > 0 {
		c.data = append(c.data, string(e.Data))
	}
}

// leave makes the client deaf and returns the last event it has.
func (c *client) leave() *eventlog.ID {
	synctest.Wait() // what is on the wire has arrived
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	last := c.last
	return &last
}

// ended reports whether the client was told that it has all.
func (c *client) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over && c.err == nil
}

func TestAReaderGivesEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		plan := drawPlan(rt)
		var sent, got []string
		ok := t.Run("plan", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { sent, got = plan.run(t) })
		})
		if diff := cmp.Diff(sent, got); diff != "" || !ok {
			rt.Fatalf("%+v\n-sent +got:\n%s", plan, diff)
		}
	})
}
