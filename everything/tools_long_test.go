package everything_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// progressLog collects progress notifications and the times of their arrival.
type progressLog struct {
	mu    sync.Mutex // guards got
	start time.Time
	got   []progress
}

type progress struct {
	Token       any
	Done, Total float64
	After       time.Duration
}

func newProgressLog() *progressLog { return &progressLog{start: time.Now()} }

func (l *progressLog) add(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := req.Params
	l.got = append(l.got, progress{p.ProgressToken, p.Progress, p.Total, time.Since(l.start)})
}

func (l *progressLog) all() []progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}

func TestLongRunningOperationTakesItsTimeAndReportsProgress(t *testing.T) {
	t.Parallel()
	for _, version := range []string{v2025, v2026} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newProgressLog()
				cs := connect(t, everything.New(nil), version, &mcp.ClientOptions{ProgressNotificationHandler: log.add})
				res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{
					Meta:      mcp.Meta{"progressToken": "token"},
					Name:      "longRunningOperation",
					Arguments: map[string]any{"duration": 3, "steps": 4},
				})
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(log.start)
				synctest.Wait()
				wantText(t, res, "Long running operation completed. Duration: 3 seconds, Steps: 4.")
				if took != 3*time.Second {
					t.Errorf("it took %v, want 3s", took)
				}
				want := []progress{
					{"token", 1, 4, 750 * time.Millisecond},
					{"token", 2, 4, 1500 * time.Millisecond},
					{"token", 3, 4, 2250 * time.Millisecond},
					{"token", 4, 4, 3000 * time.Millisecond},
				}
				if diff := cmp.Diff(want, log.all()); diff != "" {
					t.Errorf("progress (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestLongRunningOperationDefaultsAndLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args, want string
		took       time.Duration
	}{
		{`{}`, "Duration: 10 seconds, Steps: 5.", 10 * time.Second},
		{`{"steps": 3}`, "Duration: 10 seconds, Steps: 3.", 10 * time.Second},
		{`{"duration": 0}`, "Duration: 0 seconds, Steps: 5.", 0},
		{`{"duration": 0.25, "steps": 1}`, "Duration: 0.25 seconds, Steps: 1.", 250 * time.Millisecond},
		{`{"duration": 3600, "steps": 1000}`, "Duration: 3600 seconds, Steps: 1000.", time.Hour},
		{`{"duration": 1, "steps": 2.0}`, "Duration: 1 seconds, Steps: 2.", time.Second},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newProgressLog()
				cs := connect(t, everything.New(nil), v2025, &mcp.ClientOptions{ProgressNotificationHandler: log.add})
				res := call(t, cs, "longRunningOperation", json.RawMessage(tt.args))
				wantText(t, res, "Long running operation completed. "+tt.want)
				if took := time.Since(log.start); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				if got := log.all(); got != nil {
					t.Errorf("progress nobody asked for: %v", got)
				}
			})
		})
	}
}

func TestProgressTokensAreEchoedOrIgnored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		token any
		want  any
	}{
		{"string", "a", "a"},
		{"empty string", "", ""},
		{"number", 7, 7.0},
		{"zero", 0, 0.0},
		{"null", nil, nil},
		{"object", map[string]any{"a": 1}, nil},
		{"array", []any{"a"}, nil},
		{"boolean", true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newProgressLog()
				cs := connect(t, everything.New(nil), v2025, &mcp.ClientOptions{ProgressNotificationHandler: log.add})
				_, err := cs.CallTool(t.Context(), &mcp.CallToolParams{
					Meta:      mcp.Meta{"progressToken": tt.token},
					Name:      "longRunningOperation",
					Arguments: map[string]any{"duration": 1, "steps": 1},
				})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var want []progress
				if tt.want != nil {
					want = []progress{{tt.want, 1, 1, time.Second}}
				}
				if diff := cmp.Diff(want, log.all()); diff != "" {
					t.Errorf("progress (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestCancelledOperationStopsAtOnce(t *testing.T) {
	t.Parallel()
	for _, version := range []string{v2025, v2026} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := everything.New(nil)
				ended := recordCalls(server)
				log := newProgressLog()
				cs := connect(t, server, version, &mcp.ClientOptions{ProgressNotificationHandler: log.add})
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
				defer cancel()
				_, err := cs.CallTool(ctx, &mcp.CallToolParams{
					Meta:      mcp.Meta{"progressToken": "token"},
					Name:      "longRunningOperation",
					Arguments: map[string]any{"duration": 100, "steps": 10},
				})
				if err == nil {
					t.Error("the cancelled call succeeded")
				}
				synctest.Wait()
				select {
				case res := <-ended:
					wantToolError(t, res, "stopped after 2 of 10 steps: ")
				default:
					t.Fatal("the operation goes on after its call was cancelled")
				}
				if took := time.Since(log.start); took != 25*time.Second {
					t.Errorf("it stopped after %v, want 25s", took)
				}
				if got := len(log.all()); got != 2 {
					t.Errorf("%d progress notifications, want 2", got)
				}
			})
		})
	}
}

// recordCalls returns a channel of the results of tool calls, whether or not
// they reach a client.
func recordCalls(server *mcp.Server) <-chan *mcp.CallToolResult {
	results := make(chan *mcp.CallToolResult, 1)
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			res, err := next(ctx, method, req)
			if call, ok := res.(*mcp.CallToolResult); ok {
				results <- call
			}
			return res, err
		}
	})
	return results
}

// The session has no standalone stream here, so what is not on the stream of
// the request is nowhere.
func TestProgressTravelsOnTheStreamOfItsRequest(t *testing.T) {
	t.Parallel()
	messages := newWire(t).post(t, `{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
		"_meta": {"progressToken": "t"},
		"name": "longRunningOperation", "arguments": {"duration": 0, "steps": 2}}}`)
	wantJSON(t, messages, `[
		{"jsonrpc": "2.0", "method": "notifications/progress",
			"params": {"progressToken": "t", "progress": 1, "total": 2}},
		{"jsonrpc": "2.0", "method": "notifications/progress",
			"params": {"progressToken": "t", "progress": 2, "total": 2}},
		{"jsonrpc": "2.0", "id": 7, "result": {"content": [
			{"type": "text", "text": "Long running operation completed. Duration: 0 seconds, Steps: 2."}]}}
	]`)
}
