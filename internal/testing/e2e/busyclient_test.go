//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/session"
)

// A busyClient uses its session in every way at once.
type busyClient struct {
	roaming
	values *session.Values[int]

	last   string       // the id of the last event of its standalone stream
	failed atomic.Int64 // calls that ended with an error in place of their response
}

// newBusyClient begins a session that is subscribed to a resource and has a value.
func newBusyClient(t *testing.T, f *fleet, values *session.Values[int]) *busyClient {
	t.Helper()
	c := &busyClient{roaming: roam(t, f), values: values}
	if m := c.Call(t, "resources/subscribe", fmt.Sprintf(`{"uri":%q}`, updated)); m.Error != nil {
		t.Fatalf("subscribe: %s", m.Error)
	}
	must(t, again(t.Context(), func() error {
		_, err := values.Update(t.Context(), c.Session, func(int) (int, error) { return 1, nil })
		return err
	}))
	return c
}

// endedEverywhere waits until no process knows the session: each may have it in a
// cache.
func (c *busyClient) endedEverywhere(t *testing.T) {
	t.Helper()
	for i := range 3 {
		until(t, "the session has ended everywhere", func() bool {
			res, err := at(c.Client, c.fleet.process(i)).Do(t.Context(), http.MethodPost, fleettest.Request("end", "ping", "{}"))
			must(t, err)
			_ = res.Body.Close()
			return res.StatusCode == http.StatusNotFound
		})
	}
}

// A use is a session in use while Redis loses keys of it.
type use struct {
	*busyClient
	key  lostKey
	lost chan struct{} // closed when it has

	before, after *goals
	done          <-chan struct{} // of the context of all that is done
	stop          context.CancelCauseFunc
	why           func() error // it was stopped
	running       sync.WaitGroup
}

// What happens before Redis loses anything, and afterwards.
const (
	aCall         = "a call"
	anOperation   = "the end of an operation"
	aQuestion     = "a question"
	aResponse     = "the response to the call that asked"
	updates       = "updates of the resource"
	aNotification = "a notification"
	theEnd        = "the end of the session"
)

// enoughUpdates are more than the demo announces by itself within patience, which is
// one every 10 s.
const enoughUpdates = 20

// use begins to use the session until [use.end].
func (c *busyClient) use(ctx context.Context, key lostKey) *use {
	ctx, stop := context.WithCancelCause(ctx)
	u := &use{
		busyClient: c, key: key, lost: make(chan struct{}),
		before: newGoals(aCall, anOperation, aQuestion, updates, aNotification),
		after:  newGoals(aCall, anOperation, aResponse, updates, aNotification),
		done:   ctx.Done(), stop: stop, why: func() error { return context.Cause(ctx) },
	}
	if key.ends {
		u.after = newGoals(theEnd)
	}
	for _, does := range []func(context.Context) error{u.call, u.operate, u.ask, u.listen, u.keepValue} {
		u.running.Go(func() {
			if err := does(ctx); err != nil {
				stop(err)
			}
		})
	}
	return u
}

// until waits until all goals are reached, and returns what keeps the session from it.
func (u *use) until(goals *goals) error {
	select {
	case <-goals.reached:
		return nil
	case <-u.done:
		return fmt.Errorf("%w; missing: %s", u.why(), goals)
	}
}

// end stops using the session, and returns when nothing uses it any more.
func (u *use) end() {
	u.stop(errors.New("it is over"))
	u.running.Wait()
}

// isLost reports whether the keys have been lost.
func (u *use) isLost() bool {
	select {
	case <-u.lost:
		return true
	default:
		return false
	}
}

// reach reaches a goal of before the loss, and if what reached it began after it, the
// same goal of then.
func (u *use) reach(goal string, afterLoss bool) {
	u.before.reach(goal)
	if afterLoss {
		u.after.reach(goal)
	}
}

// call calls a tool again and again.
func (u *use) call(ctx context.Context) error {
	for n := 0; ; n++ {
		afterLoss := u.isLost()
		m, err := u.roaming.call(ctx, fmt.Sprintf(`{"name":"echo","arguments":{"message":"%d"}}`, n), nil)
		if err != nil {
			return err
		}
		if !strings.Contains(string(m.Result), fmt.Sprintf(`"Echo: %d"`, n)) {
			return fmt.Errorf("echo says %s%s", m.Result, m.Error)
		}
		u.reach(aCall, afterLoss)
		pause(ctx, between(50*time.Millisecond, 350*time.Millisecond))
	}
}

// operate calls a tool that takes a while, again and again.
func (u *use) operate(ctx context.Context) error {
	for {
		afterLoss := u.isLost()
		err := u.roaming.operate(ctx, between(300*time.Millisecond, time.Second).Seconds(), 5, func() {})
		if err := u.mayFail(err); err != nil {
			return err
		}
		u.reach(anOperation, afterLoss)
	}
}

// mayFail returns err unless it is how a call may end whose key is lost.
func (u *use) mayFail(err error) error {
	if err == nil || u.key.fails == "" || !u.isLost() || !strings.Contains(err.Error(), u.key.fails) {
		return err
	}
	u.failed.Add(1)
	return nil
}

// ask calls a tool that asks the client, which answers some time after the loss.
func (u *use) ask(ctx context.Context) error {
	m, err := u.roaming.call(ctx, `{"name":"elicitInputs","arguments":{}}`, func(q *jsonrpcmsg.Message) error {
		if q.Method != "elicitation/create" {
			return nil
		}
		u.before.reach(aQuestion)
		select {
		case <-u.lost:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause(ctx, between(0, 3*time.Second))
		s, err := u.send(ctx, http.MethodPost, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"}}`, q.ID), "")
		if err == nil {
			s.Close()
		}
		return err
	})
	if err == nil && !strings.Contains(string(m.Result), `decline`) {
		err = fmt.Errorf("the call that asked ended with %s%s", m.Result, m.Error)
	}
	if err := u.mayFail(err); err != nil {
		return err
	}
	u.after.reach(aResponse)
	return nil
}

// listen reads the standalone stream.
func (u *use) listen(ctx context.Context) error {
	heard := 0
	for {
		s, err := u.send(ctx, http.MethodGet, "", u.last)
		if err != nil {
			return err
		}
		for {
			e, err := s.Next()
			if err != nil {
				break
			}
			m, err := jsonrpcmsg.Decode(e.Data)
			if err != nil {
				continue // only an id
			}
			switch m.Method {
			case "notifications/before":
				u.before.reach(aNotification)
			case "notifications/after":
				u.after.reach(aNotification)
			case resourceUpdated:
				u.before.reach(updates)
				if u.isLost() {
					heard++
				}
				if heard == enoughUpdates {
					u.after.reach(updates)
				}
			}
		}
		s.Close()
		u.last = s.Last
		pause(ctx, between(0, 200*time.Millisecond))
	}
}

// keepValue reads the value of the session, as tools do.
func (u *use) keepValue(ctx context.Context) error {
	for {
		n, _, err := u.values.Get(ctx, u.Session)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, session.ErrUnavailable): // once more
		case errors.Is(err, session.ErrNotFound) && u.key.ends:
			return nil // the client is told
		case err != nil:
			return err
		case n != 1:
			return fmt.Errorf("the session's value is %d", n)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// Goals are what is to happen, in any order.
type goals struct {
	reached chan struct{} // closed when there is none left

	mu   sync.Mutex // guards open
	open map[string]bool
}

func newGoals(names ...string) *goals {
	g := &goals{reached: make(chan struct{}), open: map[string]bool{}}
	for _, name := range names {
		g.open[name] = true
	}
	return g
}

// reach reaches a goal, if it is one that is left.
func (g *goals) reach(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open[name] {
		return
	}
	delete(g.open, name)
	if len(g.open) == 0 {
		close(g.reached)
	}
}

// String names the goals that are left.
func (g *goals) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(g.open)), ", ")
}
