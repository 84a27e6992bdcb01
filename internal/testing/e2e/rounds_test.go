//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/npm"
)

// Many calls of 2026-07-28 ask their client three times each, all at once, and every
// request goes to a process at random. Each call gets its own answers: they carry its
// number. TEST_ASKING says how many calls there are; by default 20.
func TestAnswersOfManyCallsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	calls := 20
	if s := os.Getenv("TEST_ASKING"); s != "" {
		n, err := strconv.Atoi(s)
		must(t, err)
		calls = n
	}
	t.Run("go-sdk", func(t *testing.T) {
		t.Parallel()
		a := newAnswerer(t, startFleet(t, everything, 3))
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				params, want := askingCall(i)
				res, err := a.CallTool(t.Context(), params)
				if err != nil {
					t.Errorf("call %d: %v", i, err)
				} else if !want.MatchString(text(res)) {
					t.Errorf("call %d says %q", i, text(res))
				}
			})
		}
		wg.Wait()
		if n := int(a.asked.Load()); n != 3*calls {
			t.Errorf("%d calls asked %d times", calls, n)
		}
	})
	t.Run("TypeScript", func(t *testing.T) {
		t.Parallel()
		npm.Dir(t)
		f := startFleet(t, everything, 3)
		s := startScript(t, "rounds.mjs", f.URL, "2026-07-28", strconv.Itoa(calls))
		if said := s.next(); !said.Done {
			t.Errorf("the script says %+v", said)
		}
		must(t, s.wait())
	})
}

// askingCall is a call with a number that asks three times, and what it says in the
// end: every second one asks the user, the others the model.
func askingCall(i int) (params *mcp.CallToolParams, want *regexp.Regexp) {
	if i%2 == 0 {
		return &mcp.CallToolParams{Name: "guessNumber", Arguments: map[string]any{"player": fmt.Sprintf("player %d", i), "max": 1e9}},
			regexp.MustCompile(fmt.Sprintf(`^player %d guessed %d1, %[2]d2, %[2]d3\. The number was \d+\.$`, i, i+1))
	}
	return &mcp.CallToolParams{Name: "sampleWithTools", Arguments: map[string]any{"prompt": fmt.Sprintf("call %d", i)}},
		regexp.MustCompile(fmt.Sprintf(`^LLM sampling result: call %d used call %[1]d-1 call %[1]d-2$`, i))
}

// An answerer is a client of 2026-07-28 whose answers carry the number of their call.
type answerer struct {
	*mcp.ClientSession
	asked atomic.Int32
	// before, if it is not nil, is called before the n-th question is answered, from 1.
	before func(n int32)
}

func newAnswerer(t *testing.T, f *fleet) *answerer {
	t.Helper()
	a := &answerer{}
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			a.count()
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"guess": guess(req.Params.Message)}}, nil
		},
		CreateMessageWithToolsHandler: func(_ context.Context, req *mcp.CreateMessageWithToolsRequest) (*mcp.CreateMessageWithToolsResult, error) {
			a.count()
			return &mcp.CreateMessageWithToolsResult{Model: "e2e", Role: "assistant", Content: useTwice(req.Params)}, nil
		},
	})
	a.ClientSession = connect(t, client, &mcp.StreamableClientTransport{Endpoint: f.URL}, nil)
	if got := a.InitializeResult().ProtocolVersion; got != "2026-07-28" {
		t.Fatalf("the client speaks %s", got)
	}
	return a
}

func (a *answerer) count() {
	if n := a.asked.Add(1); a.before != nil {
		a.before(n)
	}
}

var guessed = regexp.MustCompile(`^player (\d+), .* Guesses left: (\d)\.$`)

// guess is a guess that shows whose it is, and which.
func guess(message string) int {
	m := guessed.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	player, _ := strconv.Atoi(m[1])
	left, _ := strconv.Atoi(m[2])
	return 10*(player+1) + 4 - left
}

// useTwice is what a model says that uses a tool twice, by ids that begin with the
// prompt, and then says which ids its conversation has.
func useTwice(p *mcp.CreateMessageWithToolsParams) []mcp.Content {
	prompt := p.Messages[0].Content[0].(*mcp.TextContent).Text
	var used []string
	for _, m := range p.Messages {
		for _, c := range m.Content {
			if use, ok := c.(*mcp.ToolUseContent); ok {
				used = append(used, use.ID)
			}
		}
	}
	if len(used) < 2 {
		id := fmt.Sprintf("%s-%d", prompt, len(used)+1)
		return []mcp.Content{&mcp.ToolUseContent{ID: id, Name: "getWeather", Input: map[string]any{"city": "Oslo"}}}
	}
	return []mcp.Content{&mcp.TextContent{Text: prompt + " used " + strings.Join(used, " ")}}
}

// The process dies that runs a call, while the client looks for its second answer. A
// tool that says nothing of being called twice gets an error; one that only reads runs
// again elsewhere, and asks nothing twice.
func TestTheProcessOfACallThatAsksDies(t *testing.T) {
	t.Parallel()
	for i, tool := range []string{"guessNumber", "sampleWithTools"} {
		t.Run("go-sdk/"+tool, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t, everything, 3)
			f.pin(f.process(0))
			a := newAnswerer(t, f)
			var killed time.Time
			a.before = func(n int32) {
				if n == 2 {
					f.kill(f.process(0))
					killed = time.Now()
				}
			}
			params, want := askingCall(i)
			res, err := a.CallTool(t.Context(), params)
			t.Logf("the call ended %v after the kill", time.Since(killed).Round(10*time.Millisecond))
			if tool == "sampleWithTools" {
				must(t, err)
				if !want.MatchString(text(res)) || a.asked.Load() != 3 {
					t.Errorf("after %d questions the call says %q", a.asked.Load(), text(res))
				}
				return
			}
			wire, ok := errors.AsType[*jsonrpc.Error](err)
			if !ok || !strings.Contains(wire.Message, "has died") || a.asked.Load() != 2 {
				t.Errorf("after %d questions the call ended with %v", a.asked.Load(), err)
			}
		})
		t.Run("TypeScript/"+tool, func(t *testing.T) {
			t.Parallel()
			npm.Dir(t)
			f := startFleet(t, everything, 3)
			f.pin(f.process(0))
			s := startScript(t, "rounds.mjs", f.URL, "2026-07-28", tool)
			if said := s.next(); said.Wants != "kill" {
				t.Fatalf("the script says %+v", said)
			}
			f.kill(f.process(0))
			s.answer()
			if said := s.next(); !said.Done {
				t.Errorf("the script says %+v", said)
			}
			must(t, s.wait())
		})
	}
}
