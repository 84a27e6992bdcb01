package mcp_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// What is asked while a round is being stored belongs to the next one: the state that
// the client gets stays valid.
func TestAQuestionThatComesWhileARoundIsStored(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		second := make(chan error, 1)
		time.AfterFunc(50*time.Millisecond, func() {
			_, err := elicit(ctx, req, "second")
			second <- err
		})
		if _, err := elicit(ctx, req, "first"); err != nil {
			return "", err
		}
		return "done", <-second
	})
	simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
		q, c := roundedTool("tool"), at(s.stateless(t), s.instances[0].url)
		s.instances[0].link.Freeze()
		time.AfterFunc(300*time.Millisecond, s.instances[0].link.Heal)
		got := q.send(t, c, "", "")
		time.Sleep(time.Second)
		for range 2 {
			if len(got.InputRequests) != 1 {
				t.Fatalf("%s%s", got.Result, got.Error)
			}
			got = q.send(t, at(c, s.instances[1].url), got.RequestState, got.answers())
		}
		if !strings.Contains(string(got.Result), "done") {
			t.Errorf("the end is %s%s", got.Result, got.Error)
		}
	})
}

// A retry whose client leaves before the call has heard of it: the call ends, or waits
// for another.
func TestAClientLeavesBeforeItsAnswersHaveArrived(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig()}, func(t *testing.T, s *simulation) {
		q, c := roundedTool("patient"), at(s.stateless(t), s.instances[1].url)
		got := q.send(t, at(c, s.instances[0].url), "", "")
		s.instances[0].link.Freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := c.Do(ctx, "POST", q.body(got.RequestState, got.answers()), named(q.method, q.name))
		if err == nil {
			t.Fatal("the client has not left")
		}
		time.Sleep(time.Second)
		s.instances[0].link.Heal()
		time.Sleep(time.Second)
		again := q.later(t, c, got.RequestState, got.answers())
		said := soon(t, s.entered)
		if said == "waiting" {
			select {
			case said = <-s.entered:
			case <-time.After(time.Second):
			}
		}
		s.open("patient")
		end := soon(t, again)
		if said != "cancelled" && end.ResultType != "complete" {
			t.Errorf("the handler says %q, and the next retry gets %s%s", said, end.Result, end.Error)
		}
	})
}
