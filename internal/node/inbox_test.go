package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestSendingToADeadInstanceSaysSoAndLeavesNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		if alive, err := f.nodes[0].send(t.Context(), f.nodes[1].ID(), unknownMessage{}); !alive || err != nil {
			t.Errorf("a living instance: %v, %v", alive, err)
		}
		f.nodes[1].Close(t.Context())
		if alive, err := f.nodes[0].send(t.Context(), f.nodes[1].ID(), unknownMessage{}); alive || err != nil {
			t.Errorf("a dead instance: %v, %v", alive, err)
		}
		var inboxes int
		for _, k := range redistest.AssertTTLs(t, f.client, f.prefix) {
			if strings.HasSuffix(k.Name, ":inbox") {
				inboxes++
			}
		}
		if inboxes != 1 {
			t.Errorf("%d inboxes, want 1", inboxes)
		}
	})
}

func TestRenewalKeepsTheInboxAndDropsWhatWasRead(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newRig(t, s.Client(t), eventlog.Options{})
		n := &Node{id: "aaaaaaaaaaaaaaaa", link: link{rdb: r.rdb, keys: r.keys}}
		inbox := n.keys.Inbox(n.id)
		renew := func(read string) {
			t.Helper()
			if err := n.renewInbox(t.Context(), mail{read, read}); err != nil {
				t.Error(err)
			}
			redistest.AssertTTLs(t, r.client, r.prefix)
		}
		entriesAfter := func(id string) []rueidis.XRangeEntry {
			t.Helper()
			read, err := n.rdb.ReadStreams(t.Context(), []string{inbox}, []string{id})
			if err != nil {
				t.Fatal(err)
			}
			return read[inbox]
		}
		renew("0-0")
		var ids []string
		for range 3 {
			if _, err := n.send(t.Context(), n.id, unknownMessage{}); err != nil {
				t.Fatal(err)
			}
		}
		entries := entriesAfter("0")
		if len(entries) != 4 || entries[0].ID != firstMail.inbox {
			t.Fatalf("entries %v", entries)
		}
		for _, e := range entries {
			ids = append(ids, e.ID)
		}
		renew(ids[2])
		if left := entriesAfter("0"); len(left) != 2 || left[1].ID != ids[3] {
			t.Errorf("%v", left)
		}
		if err := r.do(t, "DEL", inbox).Error(); err != nil {
			t.Fatal(err)
		}
		renew(ids[3])
		// Who has read up to there finds that it was made anew.
		if anew := entriesAfter(ids[3]); len(anew) != 1 || anew[0].FieldValues["k"] != kindHello {
			t.Errorf("%v", anew)
		}
	})
}

func TestMessagesArriveInOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		const count = 600
		// These events are in no log: the reader must not be compared with it meanwhile.
		f := &fleet{rig: newRig(t, s.Client(t), eventlog.Options{}, long)}
		for range 2 {
			f.join(t, s.Client(t), Options{MaxQueue: count})
		}
		sid := beginSession(t, f.store)
		r := f.standaloneReader(t, f.nodes[0], sid)
		defer r.Release(t.Context())
		r.mu.Lock()
		r.released = true
		r.mu.Unlock()
		for i := range count {
			f.nodes[1].deliver(t.Context(), sid, f.nodes[0].readerRef(r), eventlog.Event{ID: eventlog.ID{Stream: eventlog.Standalone, Offset: int64(i), Nonce: eventlog.NewNonce()}, Data: []byte(strconv.Itoa(i))}, i == count-1)
		}
		redistest.Until(t, "all have arrived", r.isEnded)
		todo := r.take()
		if todo.behind { // something came out of turn
			t.Error("the reader would have had to look into the log")
		}
		if diff := cmp.Diff(numbers(count), datas(todo.events)); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
	})
}

func TestMessagesOfOtherVersionsAndKindsAreIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		n, sid := f.nodes[0], beginSession(t, f.store)
		r := f.standaloneReader(t, n, sid)
		v := newViewer(t)
		go func() { v.finish(serve(t.Context(), r, v)) }()
		inbox := func(fields ...string) {
			t.Helper()
			if err := f.do(t, append([]string{"XADD", f.keys.Inbox(n.ID()), "*"}, fields...)...).Error(); err != nil {
				t.Fatal(err)
			}
		}
		bus := func(fields ...string) {
			t.Helper()
			if err := f.do(t, append([]string{"XADD", f.keys.Bus(), "*"}, fields...)...).Error(); err != nil {
				t.Fatal(err)
			}
		}
		inbox("v", "2", "k", "close", "r", r.id, "retry", "0")
		inbox("k", "close", "r", r.id, "retry", "0")
		inbox("v", "1", "k", "later", "r", r.id)
		inbox("v", "1")
		inbox("v", "1", "k", "close", "r", r.id, "retry", "soon")
		inbox("v", "1", "k", "close", "r", "unknown", "retry", "0")
		inbox("v", "1", "k", "event", "r", r.id, "o", "x", "t", "AAAAAA", "d", "x")
		inbox("v", "1", "k", "event", "r", "unknown", "o", "0", "t", "AAAAAA", "d", "x")
		inbox("v", "1", "k", "reply", "c", "unknown", "s", sid, "q", "1", "d", "{}")
		bus("v", "2", "k", "end", "s", sid)
		bus("v", "1", "k", "later", "s", sid)
		bus("v", "1", "k", "end", "s", "unknown")
		bus("v", "1", "k", "cancel", "s", sid, "id", "1")
		bus("v", "1", "k", "cancel", "s", sid)
		time.Sleep(5 * time.Second)
		if n.Streams() != 1 {
			t.Fatal("the stream was closed")
		}
		if err := f.nodes[1].Standalone(t.Context(), sid, []byte(`{"jsonrpc":"2.0","method":"m"}`)); err != nil {
			t.Fatal(err)
		}
		if m := v.message(t); m.Method != "m" {
			t.Errorf("got %+v", m)
		}
		inbox("v", "1", "k", "close", "r", r.id, "retry", "0")
		v.wantEnd(t)
	})
}

func TestAnExpiredInboxIsMadeAnewAndRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		n, sid := f.nodes[0], beginSession(t, f.store)
		v := f.resume(t, n, sid, nil)
		synctest.Wait()
		if err := n.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		f.links[0].Freeze()
		time.Sleep(inboxTTL + renewEvery)
		if alive, err := f.nodes[1].send(t.Context(), n.ID(), unknownMessage{}); alive || err != nil {
			t.Errorf("a frozen instance is alive: %v, %v", alive, err)
		}
		if n.alive() {
			t.Error("a frozen instance believes that it is alive")
		}
		f.links[0].Heal()
		time.Sleep(renewEvery + redisx.ReadWait + time.Second)
		if err := n.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if err := f.nodes[1].Standalone(t.Context(), sid, []byte(`{"jsonrpc":"2.0","method":"m"}`)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if m := v.message(t); m.Method != "m" || time.Since(start) > time.Second {
			t.Errorf("got %+v after %v", m, time.Since(start))
		}
		v.hangUp()
	})
}

func TestAnInboxLivesOnlyAsLongAsItsInstance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		living := func(want bool) {
			t.Helper()
			alive, err := f.nodes[1].living(t.Context(), []string{f.nodes[0].ID(), f.nodes[1].ID(), ""})
			if err != nil || alive[f.nodes[0].ID()] != want || !alive[f.nodes[1].ID()] || alive[""] {
				t.Errorf("%v, %v", alive, err)
			}
		}
		time.Sleep(time.Minute)
		living(true)
		f.links[0].Cut() // as dead as can be
		time.Sleep(inboxTTL + time.Second)
		living(false)
	})
}

func TestTheEndOfASessionReachesEveryInstance(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid, other := beginSession(t, f.store), beginSession(t, f.store)
		var ended, goOn []*viewer
		for i, n := range f.nodes {
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			server := oneTool(func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				<-ctx.Done() // ended by the end of the session
				<-release
				return text("too late"), nil
			}, nil)
			goOn = append(goOn, f.call(t, n, echo(), other, toolCall(strconv.Itoa(i))).viewer)
			r := f.call(t, n, server, sid, toolCall(strconv.Itoa(i)))
			if err := r.conn.openStream(t.Context()); err != nil {
				t.Fatal(err)
			}
			ended = append(ended, r.viewer)
		}
		if err := f.store.Delete(t.Context(), sid); err != nil {
			t.Fatal(err)
		}
		if err := f.nodes[0].End(t.Context(), sid); err != nil {
			t.Fatal(err)
		}
		for _, v := range ended {
			v.rest(t)
		}
		for _, v := range goOn {
			v.rest(t)
		}
		for _, n := range f.nodes {
			redistest.Until(t, "nothing runs", func() bool { return n.Calls() == 0 && n.Streams() == 0 })
		}
		redistest.AssertTTLs(t, f.client, f.prefix)
	})
}

func TestACancellationReachesTheInstanceThatRunsTheCall(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid, other := beginSession(t, f.store), beginSession(t, f.store)
		for _, from := range f.nodes {
			running, cancelled := make(chan struct{}, 4), make(chan string, 4)
			server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				running <- struct{}{}
				<-ctx.Done()
				cancelled <- fmt.Sprint(req.Session.ID())
				return nil, ctx.Err()
			}, nil)
			wanted := f.call(t, f.nodes[1], server, sid, toolCall(`"7"`))
			spared := []*callResponse{f.call(t, f.nodes[1], server, sid, toolCall(`7`)), f.call(t, f.nodes[1], server, other, toolCall(`"7"`))}
			for range 3 {
				<-running
			}
			if err := from.Cancel(t.Context(), sid, json.RawMessage(`"\u0037"`)); err != nil {
				t.Fatal(err)
			}
			if got := <-cancelled; got != sid {
				t.Errorf("a call of %s was cancelled", got)
			}
			if m := decode(t, wanted.response(t).Body); !strings.Contains(string(m.Error), "cancelled") {
				t.Errorf("answered with %s %s", m.Result, m.Error)
			}
			if n := f.nodes[1].Calls(); n > 3 || n < 2 {
				t.Errorf("%d calls run, want the two others", n)
			}
			for _, r := range spared {
				r.conn.abandon(ErrClosed)
			}
			redistest.Until(t, "nothing runs", func() bool { return f.nodes[1].Calls() == 0 })
		}
	})
}

// A recording client keeps the commands that block, as rueidis gave them back.
type recording struct {
	rueidis.Client
	read chan rueidis.Completed
}

func (r *recording) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	result := r.Client.Do(ctx, cmd)
	if cmd.IsBlock() && result.NonRedisError() == nil {
		select {
		case r.read <- cmd:
		default:
		}
	}
	return result
}

// rueidis repeats a blocking read whose connection broke, and may still be
// writing it to that connection: its memory must not be used again.
func TestTheMemoryOfABlockingReadIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := &recording{redistest.NewBubble(t).Client(t), make(chan rueidis.Completed, 20)}
		f := &fleet{rig: newRig(t, client, eventlog.Options{})}
		f.join(t, client, Options{})
		for range cap(client.read) {
			cmd := <-client.read
			if words := cmd.Commands(); len(words) == 0 || words[0] != "XREAD" {
				t.Fatalf("what was a read is now %q", words)
			}
		}
	})
}

// An instance that does not read, and is not dead yet, costs a bounded memory.
func TestAnInboxIsBounded(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		rdb, inbox := redisx.New(f.client, 0), f.keys.Inbox("nobody")
		if err := f.do(t, "XADD", inbox, "*", "k", "hello").Error(); err != nil {
			t.Fatal(err)
		}
		if err := f.do(t, "EXPIRE", inbox, "60").Error(); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			if _, err := inboxSend.Exec(t.Context(), rdb, []string{inbox}, "10", "k", "x"); err != nil {
				t.Fatal(err)
			}
		}
		// Redis trims by nodes of a hundred messages.
		if kept, err := f.do(t, "XLEN", inbox).AsInt64(); err != nil || kept < 10 || kept > 200 {
			t.Errorf("%d messages are kept, %v", kept, err)
		}
	})
}
