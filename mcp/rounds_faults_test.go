package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// askingRig has a tool, and one of the same kind that may be repeated: "tool" and
// "repeatable". Calls are given to f.
func askingRig(f func(ctx context.Context, req *mcp.CallToolRequest) (string, error)) *rig {
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		for name, repeatable := range map[string]bool{"tool": false, "repeatable": true} {
			s.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`), Annotations: &mcp.ToolAnnotations{IdempotentHint: repeatable}},
				func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
					said, err := f(ctx, req)
					if err != nil {
						return nil, err
					}
					return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: said}}}, nil
				})
		}
	}
	return r
}

// elicit asks one question, and returns what the client did.
func elicit(ctx context.Context, req *mcp.CallToolRequest, message string) (string, error) {
	res, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: message})
	if err != nil {
		return "", err
	}
	return res.Action, nil
}

// later sends a request, and returns where its response comes.
func (q *rounded) later(t testing.TB, c *fleettest.Client, state, answers string) <-chan round {
	body := make(chan round, 1)
	go func() { body <- q.send(t, c, state, answers) }()
	return body
}

const wrongState = "the requestState is not valid"

// Of several retries with one state, wherever they arrive, one continues the call.
func TestOfSeveralRetriesOneContinuesTheCall(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		said, err := elicit(ctx, req, "?")
		ran.Add(1)
		return said, err
	})
	simulate(t, simulated{rig: rig, instances: 3}, func(t *testing.T, s *simulation) {
		for _, tool := range []string{"tool", "repeatable"} {
			ran.Store(0)
			first := roundedTool(tool).send(t, at(s.stateless(t), s.instances[0].url), "", "")
			var retries []<-chan round
			for i := range 9 {
				retries = append(retries, roundedTool(tool).later(t, at(s.stateless(t), s.instances[i%3].url), first.RequestState, first.answers()))
			}
			won := 0
			for _, retry := range retries {
				got := soon(t, retry)
				switch {
				case got.ResultType == "complete":
					won++
				case got.Status != 400 || !strings.Contains(string(got.Error), wrongState):
					t.Errorf("%s: %d %s%s", tool, got.Status, got.Result, got.Error)
				}
			}
			if won != 1 || ran.Load() != 1 {
				t.Errorf("%s: %d retries continued the call, which went on %d times", tool, won, ran.Load())
			}
		}
	})
}

// The same holds when the call's instance has died, and each of them would run it again.
func TestOfSeveralRetriesOneRunsADeadInstancesCallAgain(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		said, err := elicit(ctx, req, "?")
		if err == nil {
			ran.Add(1)
		}
		return said, err
	})
	simulate(t, simulated{rig: rig, instances: 3}, func(t *testing.T, s *simulation) {
		first := roundedTool("repeatable").send(t, at(s.stateless(t), s.instances[0].url), "", "")
		s.instances[0].kill()
		var retries []<-chan round
		for i := range 6 {
			retries = append(retries, roundedTool("repeatable").later(t, at(s.stateless(t), s.instances[1+i%2].url), first.RequestState, first.answers()))
		}
		won := 0
		for _, retry := range retries {
			got := soon(t, retry)
			switch {
			case got.ResultType == "complete":
				won++
			case !strings.Contains(string(got.Error), wrongState):
				t.Errorf("%s%s", got.Result, got.Error)
			}
		}
		if won != 1 || ran.Load() != 1 {
			t.Errorf("%d retries continued the call, which was run %d times", won, ran.Load())
		}
	})
}

// A state is used once: while the round after it runs, and when the call has ended.
func TestAStateIsUsedOnce(t *testing.T) {
	t.Parallel()
	rig := blockingRig()
	simulate(t, simulated{rig: rig, instances: 3}, func(t *testing.T, s *simulation) {
		q, c := roundedTool("patient"), s.stateless(t)
		got := q.send(t, c, "", "")
		result := q.later(t, c, got.RequestState, got.answers())
		if said := soon(t, s.entered); said != "waiting" {
			t.Fatalf("the handler says %q", said)
		}
		for range 3 {
			if again := roundedTool("patient").send(t, c, got.RequestState, got.answers()); again.Status != 400 {
				t.Errorf("while it runs: %d %s%s", again.Status, again.Result, again.Error)
			}
		}
		s.open("patient")
		if last := soon(t, result); last.ResultType != "complete" {
			t.Errorf("the end is %s%s", last.Result, last.Error)
		}
		for range 3 {
			if again := roundedTool("patient").send(t, c, got.RequestState, got.answers()); again.Status != 400 {
				t.Errorf("when it has ended: %d %s%s", again.Status, again.Result, again.Error)
			}
		}
	})
}

// A call that may be repeated, and has ended, is not run again by a second copy of its
// last request that comes when the instance has left.
func TestACallThatHasEndedIsNotRunAgain(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) { return elicit(ctx, req, "?") })
	simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
		q, c := roundedTool("repeatable"), at(s.stateless(t), s.instances[1].url)
		first := q.send(t, at(c, s.instances[0].url), "", "")
		if got := q.send(t, c, first.RequestState, first.answers()); got.ResultType != "complete" {
			t.Fatalf("the end is %s%s", got.Result, got.Error)
		}
		synctest.Wait()
		s.instances[0].kill()
		time.Sleep(time.Minute)
		if got := q.send(t, c, first.RequestState, first.answers()); got.Status != 400 {
			t.Errorf("a copy got %s%s", got.Result, got.Error)
		}
	})
}

// An instance that was taken for dead and is back does not go on with a call that has
// been run again, or whose client has been told that it died.
func TestTheInstanceOfACallComesBack(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"tool", "repeatable"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			var answered atomic.Int64
			rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				for _, message := range []string{"a", "b"} {
					if _, err := elicit(ctx, req, message); err != nil {
						return "", err
					}
				}
				answered.Add(1)
				return "done", nil
			})
			simulate(t, simulated{rig: rig, instances: 3}, func(t *testing.T, s *simulation) {
				q, c := roundedTool(tool), at(s.stateless(t), s.instances[1].url)
				got := q.send(t, at(c, s.instances[0].url), "", "")
				got = q.send(t, c, got.RequestState, got.answers())
				s.instances[0].link.Freeze()
				time.Sleep(20 * time.Second)
				got = q.send(t, c, got.RequestState, got.answers())
				s.instances[0].link.Heal()
				time.Sleep(time.Minute)
				if tool == "tool" {
					if !strings.Contains(string(got.Error), "has died") {
						t.Errorf("the retry got %s%s", got.Result, got.Error)
					}
					return
				}
				if got.ResultType != "complete" || answered.Load() != 1 {
					t.Errorf("the retry got %s%s, and %d runs have their answers", got.Result, got.Error, answered.Load())
				}
			})
		})
	}
}

// The same if it is back before anybody has asked for the call, which then goes on.
func TestTheInstanceOfACallIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) { return elicit(ctx, req, "?") })
	simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
		q, c := roundedTool("tool"), at(s.stateless(t), s.instances[1].url)
		got := q.send(t, at(c, s.instances[0].url), "", "")
		s.instances[0].link.Freeze()
		result := q.later(t, c, got.RequestState, got.answers())
		time.Sleep(5 * time.Second)
		s.instances[0].link.Heal()
		if got := soon(t, result); got.ResultType != "complete" {
			t.Errorf("the retry got %s%s", got.Result, got.Error)
		}
	})
}

// A front whose instance dies has left its call, which is cancelled. If the instance is
// back its client, who still waits, is told.
func TestTheInstanceOfAFrontIsAway(t *testing.T) {
	t.Parallel()
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprint("back ", back), func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: blockingRig(), instances: 3}, func(t *testing.T, s *simulation) {
				q, c := roundedTool("patient"), at(s.stateless(t), s.instances[1].url)
				got := q.send(t, at(c, s.instances[0].url), "", "")
				result := make(chan string, 1)
				go func() {
					res, err := c.Do(t.Context(), "POST", q.body(got.RequestState, got.answers()), named(q.method, q.name))
					if err != nil {
						result <- err.Error()
						return
					}
					defer func() { _ = res.Body.Close() }()
					var said strings.Builder
					buffer := make([]byte, 4096)
					for err == nil {
						var n int
						n, err = res.Body.Read(buffer)
						said.Write(buffer[:n])
					}
					result <- said.String()
				}()
				if said := soon(t, s.entered); said != "waiting" {
					t.Fatalf("the handler says %q", said)
				}
				s.instances[1].link.Freeze()
				if !back {
					s.instances[1].kill()
				}
				began := time.Now()
				if said := soon(t, s.entered); said != "cancelled" || time.Since(began) > 20*time.Second {
					t.Errorf("after %v the handler says %q", time.Since(began), said)
				}
				s.instances[1].link.Heal()
				if said := soon(t, result); back && !strings.Contains(said, "outcome is unknown") {
					t.Errorf("the client got %q", said)
				}
			})
		})
	}
}

// While Redis is away a retry is refused, and the call waits for the next.
func TestARetryWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) { return elicit(ctx, req, "?") })
	simulate(t, simulated{rig: rig, instances: 3}, func(t *testing.T, s *simulation) {
		for _, tool := range []string{"tool", "repeatable"} {
			for i := range 2 { // on the call's instance, and another
				q, c := roundedTool(tool), at(s.stateless(t), s.instances[i].url)
				got := q.send(t, at(c, s.instances[0].url), "", "")
				s.instances[i].link.Cut()
				res := q.post(t, c, got.RequestState, got.answers())
				if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
					t.Errorf("%s: %s", tool, res.Status)
				}
				_ = res.Body.Close()
				s.instances[i].link.Heal()
				time.Sleep(10 * time.Second)
				if got := q.send(t, c, got.RequestState, got.answers()); got.ResultType != "complete" {
					t.Errorf("%s: then the retry got %s%s", tool, got.Result, got.Error)
				}
			}
		}
	})
}

// What either side has to say while its way to Redis is broken, it says afterwards.
func TestRedisIsAwayWhileACallIsAnswered(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	simulate(t, simulated{rig: askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		said, err := elicit(ctx, req, "?")
		if err != nil {
			return "", err
		}
		<-gate
		for n := range 3 {
			if err := progress(ctx, req.Session, float64(n), ""); err != nil {
				return "", err
			}
		}
		return said, nil
	}), instances: 3}, func(t *testing.T, s *simulation) {
		for name, cut := range map[string]*simulatedInstance{"the call's": s.instances[0], "the front's": s.instances[1]} {
			gate = make(chan struct{})
			q, c := roundedTool("tool"), at(s.stateless(t), s.instances[1].url)
			got := q.send(t, at(c, s.instances[0].url), "", "")
			result := q.later(t, c, got.RequestState, got.answers())
			time.Sleep(time.Second)
			cut.link.Cut()
			close(gate)
			time.Sleep(4 * time.Second)
			cut.link.Heal()
			last := soon(t, result)
			if last.ResultType != "complete" || len(last.said) != 3 {
				t.Errorf("without %s instance: %s%s after %v", name, last.Result, last.Error, last.said)
			}
		}
	})
}

// A question that Redis does not take fails, as in a session.
func TestAQuestionWhileRedisIsAwayFails(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) { return elicit(ctx, req, "?") })
	simulate(t, simulated{rig: rig, options: func(o *fleet.Options) { o.MaxParked = 1 }}, func(t *testing.T, s *simulation) {
		q, c := roundedTool("tool"), at(s.stateless(t), s.instances[0].url)
		for range 3 {
			s.instances[0].link.Cut()
			if got := q.send(t, c, "", ""); !strings.Contains(string(got.Error), "the session store is unavailable") {
				t.Errorf("the call got %s%s", got.Result, got.Error)
			}
			s.instances[0].link.Heal()
			time.Sleep(10 * time.Second)
		}
		if got := q.send(t, c, "", ""); got.ResultType != "input_required" {
			t.Errorf("then a call got %s%s", got.Result, got.Error)
		}
	})
}

// If what waits for an instance in Redis is lost, nobody waits for ever.
func TestMessagesBetweenACallAndItsFrontAreLost(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"answers", "results"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := make(chan struct{})
			simulate(t, simulated{rig: askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				said, err := elicit(ctx, req, "?")
				<-gate
				return said, err
			}), instances: 3}, func(t *testing.T, s *simulation) {
				gate = make(chan struct{})
				q, c := roundedTool("tool"), at(s.stateless(t), s.instances[1].url)
				got := q.send(t, at(c, s.instances[0].url), "", "")
				if i == 0 {
					s.instances[0].link.Cut()
				}
				result := q.later(t, c, got.RequestState, got.answers())
				time.Sleep(time.Second)
				if i == 1 {
					s.instances[1].link.Cut()
				}
				close(gate)
				time.Sleep(time.Second)
				for _, key := range s.redis.Keys() {
					if strings.HasSuffix(key, ":responses") {
						s.redis.Del(key)
					}
				}
				s.instances[i].link.Heal()
				switch last := soon(t, result); {
				case i == 0 && last.ResultType != "complete":
					t.Errorf("the retry got %s%s", last.Result, last.Error)
				case i == 1 && last.Error == nil:
					t.Errorf("the retry got %s", last.Result)
				}
			})
		})
	}
}

// A handler that says more than its client reads waits for it, wherever the client's
// request is; nothing is left out.
func TestMuchIsSaidAfterARound(t *testing.T) {
	t.Parallel()
	const many = 2000
	for i, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			var said atomic.Int64
			rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				if _, err := elicit(ctx, req, "?"); err != nil {
					return "", err
				}
				for n := range many {
					if err := progress(ctx, req.Session, float64(n), strings.Repeat("x", 1000)); err != nil {
						return "", err
					}
					said.Add(1)
				}
				return "done", nil
			})
			simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
				q, c := roundedTool("tool"), s.stateless(t)
				got := q.send(t, at(c, s.instances[0].url), "", "")
				res := q.post(t, at(c, s.instances[i].url), got.RequestState, got.answers())
				time.Sleep(5 * time.Second) // nobody reads: 256 wait for the call, 256 for the stream, 256 for the socket
				if n := said.Load(); n > 3*256 {
					t.Errorf("%d messages have been said that nobody reads", n)
				}
				last := readRound(t, res)
				if last.ResultType != "complete" || len(last.said) != many {
					t.Fatalf("the end is %s%s after %d messages", last.Result, last.Error, len(last.said))
				}
				for n, m := range last.said {
					if !strings.Contains(m, fmt.Sprintf(`"progress":%d,`, n)) {
						t.Fatalf("message %d is %.100s", n, m)
					}
				}
			})
		})
	}
}

// A client that goes away while the handler waits for it to read cancels the call.
func TestAClientGoesAwayThatDoesNotRead(t *testing.T) {
	t.Parallel()
	for i, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			simulate(t, simulated{rig: askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				_, err := elicit(ctx, req, "?")
				for err == nil {
					err = progress(ctx, req.Session, 1, strings.Repeat("x", 1000))
				}
				ended <- ctx.Err()
				return "", err
			})}, func(t *testing.T, s *simulation) {
				ended = make(chan error, 1)
				q, c := roundedTool("tool"), s.stateless(t)
				got := q.send(t, at(c, s.instances[0].url), "", "")
				res := q.post(t, at(c, s.instances[i].url), got.RequestState, got.answers())
				time.Sleep(5 * time.Second)
				_ = res.Body.Close()
				soon(t, ended)
			})
		})
	}
}

// A result that is larger than what goes through Redis is an error; on the call's own
// instance it is a result.
func TestALargeResultAfterARound(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		_, err := elicit(ctx, req, "?")
		return strings.Repeat("x", 17<<20), err
	})
	simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
		for i := range 2 {
			q, c := roundedTool("tool"), s.stateless(t)
			got := q.send(t, at(c, s.instances[0].url), "", "")
			got = q.send(t, at(c, s.instances[i].url), got.RequestState, got.answers())
			if i == 0 && len(got.Result) < 17<<20 || i == 1 && !strings.Contains(string(got.Error), "too large") {
				t.Errorf("on instance %d: %.200s%s", i, got.Result, got.Error)
			}
		}
	})
}

// What a call may ask at once is bounded in number and size.
func TestWhatIsAskedAtOnceIsBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		questions, size, asked int
	}{
		"a thousand questions":     {1000, 1, 256},
		"a question of five MiB":   {1, 5 << 20, 0},
		"five questions of an MiB": {5, 1 << 20, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				var all sync.WaitGroup
				var failed atomic.Int64
				for n := range test.questions {
					all.Go(func() {
						if _, err := elicit(ctx, req, fmt.Sprint(n, strings.Repeat("?", test.size))); err != nil {
							if !strings.Contains(err.Error(), "too much is asked at once") {
								panic(err)
							}
							failed.Add(1)
						}
					})
				}
				all.Wait()
				return fmt.Sprint(failed.Load(), " failed"), nil
			})}, func(t *testing.T, s *simulation) {
				q, c := roundedTool("tool"), s.stateless(t)
				got := q.send(t, c, "", "")
				if len(got.InputRequests) != test.asked {
					t.Fatalf("asked %d questions", len(got.InputRequests))
				}
				if test.asked > 0 {
					got = q.send(t, c, got.RequestState, got.answers())
				}
				if want := fmt.Sprint(test.questions-test.asked, " failed"); !strings.Contains(string(got.Result), want) {
					t.Errorf("the end is %s%s, want %s", got.Result, got.Error, want)
				}
			})
		})
	}
}

// A question for which its handler waits no longer is not asked, nor asked again.
func TestAQuestionThatIsWithdrawn(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		impatient := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			_, _ = elicit(ctx, req, fmt.Sprint(d))
		}
		impatient(time.Millisecond)
		var all sync.WaitGroup
		all.Go(func() { impatient(time.Second) })
		said, err := elicit(ctx, req, "?")
		all.Wait()
		return said, err
	})
	simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
		q, c := roundedTool("tool"), s.stateless(t)
		got := q.send(t, c, "", "")
		if len(got.InputRequests) != 2 {
			t.Fatalf("asked %+v", got.InputRequests)
		}
		time.Sleep(2 * time.Second)
		got = q.send(t, c, got.RequestState, `{}`)
		if len(got.InputRequests) != 1 {
			t.Fatalf("asked again %+v", got.InputRequests)
		}
		if got = q.send(t, c, got.RequestState, got.answers()); !strings.Contains(string(got.Result), "accept") {
			t.Errorf("the end is %s%s", got.Result, got.Error)
		}
	})
}

// A handler that ignores its context does not hold its place for ever, whether its
// client has left or has not come back.
func TestAHandlerThatIgnoresItsContextLosesItsPlace(t *testing.T) {
	t.Parallel()
	options := func(o *fleet.Options) {
		o.MaxParked, o.AnswerWithin, o.RunDetached = 2, time.Minute, time.Minute
	}
	forever := make(chan struct{})
	simulate(t, simulated{options: options, rig: askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		said, err := elicit(ctx, req, "?")
		<-forever
		return said, err
	})}, func(t *testing.T, s *simulation) {
		forever = make(chan struct{})
		defer close(forever)
		c := at(s.stateless(t), s.instances[0].url)
		q := roundedTool("tool")
		roundedTool("tool").send(t, c, "", "") // and never comes back
		got := q.send(t, c, "", "")
		res := q.post(t, c, got.RequestState, got.answers())
		_ = res.Body.Close()
		time.Sleep(3 * time.Minute)
		for i := range 2 {
			if got := roundedTool("tool").send(t, c, "", ""); got.ResultType != "input_required" {
				t.Errorf("call %d got %s%s", i, got.Result, got.Error)
			}
		}
	})
}

// An instance that is shut down answers what is asked of it in every state of a call.
func TestShutdownInEveryStateOfACall(t *testing.T) {
	t.Parallel()
	for i, leaves := range []string{"the call's", "the front's"} {
		t.Run(leaves, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: blockingRig(), instances: 3}, func(t *testing.T, s *simulation) {
				q, c := roundedTool("patient"), at(s.stateless(t), s.instances[1].url)
				got := q.send(t, at(c, s.instances[0].url), "", "")
				result := q.later(t, c, got.RequestState, got.answers())
				if said := soon(t, s.entered); said != "waiting" {
					t.Fatalf("the handler says %q", said)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := s.instances[i].handler.Shutdown(ctx); err == nil {
					t.Error("Shutdown did not wait for the call")
				}
				if got := soon(t, result); !strings.Contains(string(got.Error), "shutting down") {
					t.Errorf("the retry got %s%s", got.Result, got.Error)
				}
				began := time.Now()
				if said := soon(t, s.entered); said != "cancelled" || time.Since(began) > time.Second {
					t.Errorf("the handler says %q after %v", said, time.Since(began))
				}
			})
		})
	}
}

// Kinds of questions that the client did not declare are refused, not asked. A ping
// is answered.
func TestQuestionsThatTheClientDidNotDeclare(t *testing.T) {
	t.Parallel()
	rig := askingRig(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
		var all []string
		for _, ask := range []func() error{
			func() error { return req.Session.Ping(ctx, nil) },
			func() error { _, err := req.Session.ListRoots(ctx, nil); return err },
			func() error {
				_, err := req.Session.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1})
				return err
			},
			func() error {
				_, err := req.Session.CreateMessageWithTools(ctx, &mcp.CreateMessageWithToolsParams{MaxTokens: 1, Tools: []*mcp.Tool{{Name: "t", InputSchema: json.RawMessage(`{"type":"object"}`)}}})
				return err
			},
			func() error {
				_, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Mode: "url", URL: "https://example.com/", ElicitationID: "e"})
				return err
			},
			func() error { _, err := elicit(ctx, req, "?"); return err },
		} {
			all = append(all, fmt.Sprint(ask()))
		}
		return strings.Join(all, "|"), nil
	})
	simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
		for capabilities, want := range map[string][]string{
			`{}`:                         {"<nil>", "not support roots", "not support sampling", "not support sampling", "not support", "not support elicitation"},
			`{"elicitation":{"url":{}}}`: {"<nil>", "not support roots", "not support sampling", "not support sampling", "asked", `not support "form"`},
			`{"sampling":{}}`:            {"<nil>", "not support roots", "asked", "not support sampling with tools", "not support", "not support elicitation"},
		} {
			c := s.stateless(t)
			q := roundedTool("tool")
			q.capabilities = capabilities
			got := q.send(t, c, "", "")
			for got.ResultType == "input_required" {
				got = q.send(t, c, got.RequestState, got.answers())
			}
			for i, said := range strings.Split(text(t, &jsonrpcmsg.Message{Result: got.Result, Error: got.Error}), "|") {
				if want[i] == "asked" {
					want[i] = "<nil>"
				}
				if !strings.Contains(said, want[i]) {
					t.Errorf("with %s, question %d: %q, want %q", capabilities, i, said, want[i])
				}
			}
		}
	})
}
