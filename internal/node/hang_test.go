package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// hangs is how often the tests below have Redis hang. TEST_HANGS says otherwise.
func hangs() int {
	n, err := strconv.Atoi(os.Getenv("TEST_HANGS"))
	if err != nil {
		return 1
	}
	return n
}

// hang stops Redis for longer than two calls to it take.
const hang = 4500 * time.Millisecond

// newHangingFleet starts two instances on a Redis that a test may stop, with as many
// connections as rueidis makes by itself.
func newHangingFleet(t *testing.T) (*fleet, *redistest.Process) {
	s := redistest.Start(t)
	f := &fleet{rig: newRig(t, s.Client(t), eventlog.Options{}, long)}
	for range 2 {
		f.join(t, s.Client(t), Options{})
	}
	return f, s
}

// Clients open streams while Redis hangs, give up, and come again elsewhere. When it
// goes on, each stream is read by the connection that is there.
func TestEachStreamHasItsReaderAfterRedisHung(t *testing.T) {
	t.Parallel()
	f, s := newHangingFleet(t)
	for range hangs() {
		const streams = 60
		sessions := make([]string, streams)
		for i := range sessions {
			sessions[i] = beginSession(t, f.store)
		}
		client, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		s.Freeze(t)
		thaw := time.AfterFunc(hang, func() { s.Thaw(t) })
		var wg sync.WaitGroup
		viewers := make([]*viewer, streams)
		for i, sid := range sessions {
			wg.Go(func() {
				<-time.After(time.Duration(i) * hang / streams)
				var reader *Resumption
				err := sessionstore.ErrUnavailable
				for try := 0; errors.Is(err, sessionstore.ErrUnavailable); try++ {
					reader, err = f.nodes[(i+try)%2].Resume(t.Context(), sessionstore.Record{ID: sid}, nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
				v := newViewer(t)
				viewers[i] = v
				go func() { v.finish(serve(client, reader.Reader, v)) }()
			})
		}
		wg.Wait()
		thaw.Stop()
		if t.Failed() {
			return
		}
		for range 100 { // what is late has come when Redis has taken more from everybody
			if err := f.client.Do(t.Context(), f.client.B().Ping().Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
		lost := 0
		for i, sid := range sessions {
			states, err := f.log.States(t.Context(), []eventlog.StreamID{eventlog.StandaloneOf(sid)})
			if err != nil {
				t.Fatal(err)
			}
			instance, id := splitRef(states[0].Reader)
			if !(instance == f.nodes[0].id && f.nodes[0].reader(id) != nil || instance == f.nodes[1].id && f.nodes[1].reader(id) != nil) {
				lost++
			}
			if err := f.nodes[i%2].Standalone(t.Context(), sid, []byte(`{"jsonrpc":"2.0","method":"m"}`)); err != nil {
				t.Error(err)
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d streams have no reader", lost, streams)
		}
		for _, v := range viewers {
			v.message(t)
		}
		hangUp()
		for _, v := range viewers {
			<-v.over
		}
	}
}

// A call reports progress while Redis hangs. Some of it may be lost; what arrives is
// in order.
func TestProgressIsInOrderAfterRedisHung(t *testing.T) {
	t.Parallel()
	f, s := newHangingFleet(t)
	const steps = 80
	server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for i := range steps {
			_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p", Progress: float64(i)})
			<-time.After(10 * time.Millisecond)
		}
		return text("done"), nil
	}, nil)
	for range hangs() {
		var calls []*callResponse
		for i := range 6 {
			calls = append(calls, f.call(t, f.nodes[i%2], server, beginSession(t, f.store), toolCall(fmt.Sprint(i))))
		}
		for _, c := range calls {
			c.message(t)
		}
		s.Freeze(t)
		thaw := time.AfterFunc(hang, func() { s.Thaw(t) })
		for _, c := range calls {
			last, answered := 0.0, false
			for _, m := range c.rest(t) {
				if m.Method == "" {
					answered = m.Result != nil
					continue
				}
				var p struct{ Progress float64 }
				if err := json.Unmarshal(m.Params, &p); err != nil {
					t.Fatal(err)
				}
				step := p.Progress
				if step <= last || answered {
					t.Errorf("progress %v came after %v, answered %v", step, last, answered)
				}
				last = step
			}
			if !answered {
				t.Error("there is no result")
			}
		}
		thaw.Stop()
	}
}
