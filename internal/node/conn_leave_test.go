package node

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestACallGoesOnWhenItsClientLeaves(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		release := make(chan struct{})
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			logTo(ctx, t, req.Session, "info", "before")
			<-release
			logTo(ctx, t, req.Session, "info", "after")
			return text("done"), ctx.Err()
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		r.message(t)
		r.hangUp()
		if err := f.nodes[0].Standalone(t.Context(), sid, []byte("{}")); err != nil { // something else goes on
			t.Error(err)
		}
		f.nodes[0].closeStreams(0)
		<-r.over
		v := f.resume(t, f.nodes[1], sid, r.lastID(t))
		close(release)
		messages := v.rest(t)
		if len(messages) != 2 || messages[0].Method != "notifications/message" || textOf(t, messages[1]) != "done" {
			t.Errorf("resumed: %+v", messages)
		}
		if v.err != nil {
			t.Error(v.err)
		}
		f.idle(t)
	})
}

func TestACallWithoutAnEventIDIsNotHeardAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		said := make(chan error, 1)
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			time.Sleep(time.Minute)
			_, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "?"})
			said <- err
			return text("done"), nil
		}, nil)
		r := f.accept(t, f.nodes[0], server, sid, toolCall("1"))
		start := time.Now()
		r.conn.Leave(t.Context())
		if err := <-said; err == nil || time.Since(start) != time.Minute {
			t.Errorf("a server request nobody can hear: %v after %v", err, time.Since(start))
		}
		<-r.conn.Done()
		f.idle(t)
		if keys := redistest.Keys(t, f.client, f.prefix); slices.ContainsFunc(keys, func(k redistest.Key) bool { return strings.Contains(k.Name, ":log:") }) {
			t.Errorf("a log was begun: %v", keys)
		}
		r.finish(nil)
	})
}

func TestACallWhoseClientHasLeftRunsForRunDetachedAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{RunDetached: time.Minute})
		sid := beginSession(t, f.store)
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			logTo(ctx, t, req.Session, "info", "begin")
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		r.message(t)
		time.Sleep(2 * time.Minute) // nothing happens to a call whose client is there
		r.hangUp()
		f.nodes[0].closeStreams(0)
		<-r.over
		time.Sleep(30 * time.Second)
		v := f.resume(t, f.nodes[1], sid, r.lastID(t)) // elsewhere is there too
		time.Sleep(2 * time.Minute)
		if f.nodes[0].Calls() != 1 {
			t.Fatal("the call was given up")
		}
		v.hangUp()
		f.nodes[1].closeStreams(0)
		<-v.over
		time.Sleep(time.Minute - 2*checkEvery)
		if f.nodes[0].Calls() != 1 {
			t.Error("the call was given up early")
		}
		time.Sleep(4 * checkEvery)
		if f.nodes[0].Calls() != 0 {
			t.Error("the call runs for ever")
		}
		// Its client learns of it.
		if m := f.resume(t, f.nodes[1], sid, r.lastID(t)).message(t); string(m.ID) != "1" || m.Error == nil {
			t.Errorf("resumed: %+v", m)
		}
	})
}

func TestAHandlerCanSendItsClientAwayForAWhile(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		release := make(chan struct{})
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			req.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: 7 * time.Second})
			<-release
			return text("done"), nil
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("1"))
		var retry time.Duration
		for {
			e, ok := r.next(t)
			if !ok {
				break
			}
			retry = max(retry, e.Retry)
		}
		if retry != 7*time.Second {
			t.Errorf("told to come back after %v", retry)
		}
		v := f.resume(t, f.nodes[1], sid, r.lastID(t))
		close(release)
		if m := v.message(t); textOf(t, m) != "done" {
			t.Errorf("resumed: %+v", m)
		}
		v.wantEnd(t)
		f.idle(t)
		// A client that would have nothing to come back with is kept.
		done := f.call(t, f.nodes[0], server, sid, toolCall("1"), func(r *Request) { r.Resumable = false })
		if m := decode(t, done.response(t).Body); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
	})
}
