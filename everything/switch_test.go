package everything_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// stuck is a switch that cannot be switched.
type stuck struct {
	on  bool
	err error
}

func (s stuck) On(context.Context) (bool, error) { return s.on, s.err }

func (s stuck) Set(context.Context, bool) error { return s.err }

// sharedSwitch is a switch two servers share.
type sharedSwitch struct {
	mu   sync.Mutex // guards all fields below
	on   bool
	asks int
}

func (s *sharedSwitch) On(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	return s.on, nil
}

func (s *sharedSwitch) Set(_ context.Context, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
	return nil
}

func (s *sharedSwitch) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks
}

// lists reports whether a client that never listed tools before sees the
// handshake. From 2026-07-28, the others may look into their caches.
func lists(t *testing.T, cs *mcp.ClientSession) bool {
	t.Helper()
	list, err := cs.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(list.Tools, func(tool *mcp.Tool) bool { return tool.Name == "secretHandshake" })
}

// wantHandshake checks that the handshake is there, or not at all, for clients
// made by connect.
func wantHandshake(t *testing.T, connect func() *mcp.ClientSession, on bool) {
	t.Helper()
	if lists(t, connect()) != on {
		t.Errorf("secretHandshake is listed: %v, want %v", !on, on)
	}
	res, err := connect().CallTool(t.Context(), &mcp.CallToolParams{Name: "secretHandshake"})
	if !on {
		wantRPCError(t, err, -32602, `unknown tool "secretHandshake"`)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, res, "Two shakes, a snap, and a knock on wood. Welcome aboard.")
}

func TestToggleToolSwitchesTheHandshake(t *testing.T) {
	t.Parallel()
	for _, version := range []string{v2025, v2026} {
		for name, via := range map[string]func(*testing.T, *mcp.Server, string, *mcp.ClientOptions) *mcp.ClientSession{
			"memory": connect, "http": connectHTTP,
		} {
			t.Run(version+"/"+name, func(t *testing.T) {
				t.Parallel()
				server := everything.New(nil)
				client := func() *mcp.ClientSession { return via(t, server, version, nil) }
				wantHandshake(t, client, false)
				for _, step := range []struct {
					on   bool
					want string
				}{
					{true, "secretHandshake is on."}, {true, "secretHandshake is on."},
					{false, "secretHandshake is off."}, {false, "secretHandshake is off."},
					{true, "secretHandshake is on."},
				} {
					wantText(t, call(t, client(), "toggleTool", map[string]any{"on": step.on}), step.want)
					wantHandshake(t, client, step.on)
				}
			})
		}
	}
}

func TestServersThatShareASwitchAgree(t *testing.T) {
	t.Parallel()
	shared := &sharedSwitch{}
	opts := &everything.Options{Switch: shared}
	first, second := everything.New(opts), everything.New(opts)
	call(t, connect(t, first, v2025, nil), "toggleTool", map[string]any{"on": true})
	for _, server := range []*mcp.Server{first, second, everything.New(opts)} {
		for _, version := range []string{v2025, v2026} {
			wantHandshake(t, func() *mcp.ClientSession { return connect(t, server, version, nil) }, true)
		}
	}
	call(t, connect(t, second, v2026, nil), "toggleTool", map[string]any{"on": false})
	for _, server := range []*mcp.Server{first, second, everything.New(opts)} {
		wantHandshake(t, func() *mcp.ClientSession { return connect(t, server, v2025, nil) }, false)
	}
	wantHandshake(t, func() *mcp.ClientSession { return connect(t, everything.New(nil), v2025, nil) }, false)
}

// Calls of other tools must not read the switch: they are many.
func TestSwitchIsAskedOnlyWhereItMatters(t *testing.T) {
	t.Parallel()
	shared := &sharedSwitch{on: true}
	cs := connect(t, everything.New(&everything.Options{Switch: shared}), v2025, nil)
	call(t, cs, "echo", map[string]any{"message": "hi"})
	if _, err := cs.ListPrompts(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := shared.asked(); got != 0 {
		t.Errorf("it was asked %d times", got)
	}
	lists(t, cs)
	call(t, cs, "secretHandshake", nil)
	if got := shared.asked(); got != 2 {
		t.Errorf("it was asked %d times, want 2", got)
	}
}

func TestEveryClientHearsOfASwitchedTool(t *testing.T) {
	t.Parallel()
	for _, version := range []string{v2025, v2026} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := everything.New(nil)
				var heard [2]atomic.Int32
				listen := func(i int) *mcp.ClientSession {
					return connect(t, server, version, &mcp.ClientOptions{
						ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { heard[i].Add(1) },
					})
				}
				first, second := listen(0), listen(1)
				synctest.Wait()
				if lists(t, second) {
					t.Error("the handshake is listed at first")
				}
				call(t, first, "toggleTool", map[string]any{"on": true})
				time.Sleep(time.Second) // the SDK collects changes for 10 ms
				synctest.Wait()
				for i := range heard {
					if got := heard[i].Load(); got != 1 {
						t.Errorf("client %d heard of it %d times, want 1", i, got)
					}
				}
				if !lists(t, second) {
					t.Error("the handshake is not listed after the news")
				}
			})
		})
	}
}

// A client that does not listen keeps its list, but not for long.
func TestSwitchedToolIsSeenWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cs := connect(t, everything.New(nil), v2026, nil)
		lists(t, cs)
		call(t, cs, "toggleTool", map[string]any{"on": true})
		time.Sleep(time.Second)
		if !lists(t, cs) {
			t.Error("the handshake is not listed after a second")
		}
	})
}

func TestToolsChangedReplacesTheServersOwnNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &sharedSwitch{}
		var announced []bool
		server := everything.New(&everything.Options{
			Switch: shared,
			ToolsChanged: func(ctx context.Context) error {
				announced = append(announced, shared.on)
				return ctx.Err()
			},
		})
		heard := false
		cs := connect(t, server, v2025, &mcp.ClientOptions{
			ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { heard = true },
		})
		for _, on := range []bool{true, true, false} {
			call(t, cs, "toggleTool", map[string]any{"on": on})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]bool{true, true, false}, announced); diff != "" {
			t.Errorf("announced, with the switch (-want +got):\n%s", diff)
		}
		if heard {
			t.Error("the server told its client as well")
		}
	})
}

// slowSwitch is set at the moment when its caller gives up.
type slowSwitch struct{ stuck }

func (slowSwitch) Set(ctx context.Context, _ bool) error {
	<-ctx.Done()
	return nil
}

func TestCancelledCallThatSwitchedIsAnnouncedAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var announced []time.Duration
		server := everything.New(&everything.Options{
			Switch: slowSwitch{},
			ToolsChanged: func(ctx context.Context) error {
				start := time.Now()
				<-ctx.Done()
				announced = append(announced, time.Since(start))
				return ctx.Err()
			},
		})
		cs := connect(t, server, v2025, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		params := &mcp.CallToolParams{Name: "toggleTool", Arguments: map[string]any{"on": true}}
		if _, err := cs.CallTool(ctx, params); err == nil {
			t.Error("the cancelled call succeeded")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{10 * time.Second}, announced); diff != "" {
			t.Errorf("announcements took (-want +got):\n%s", diff)
		}
	})
}

// The cause goes to the log. The client learns only what it means for it.
func TestBrokenSwitchIsAnErrorAndNotAGuess(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	secret := errors.New("dial tcp 10.0.0.7:6379: connection refused")
	server := everything.New(&everything.Options{
		Switch: stuck{on: true, err: secret},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	t.Run("session", func(t *testing.T) {
		cs := connect(t, server, v2025, nil)
		_, err := cs.ListTools(t.Context(), nil)
		wantRPCError(t, err, -32603, "cannot tell whether secretHandshake is on, try again later")
		_, err = cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "secretHandshake"})
		wantRPCError(t, err, -32603, "cannot tell whether secretHandshake is on, try again later")
		wantToolError(t, call(t, cs, "toggleTool", map[string]any{"on": true}),
			"it is not certain that secretHandshake was switched on, try again later")
		wantText(t, call(t, cs, "echo", map[string]any{"message": "hi"}), "Echo: hi")
	})
	if got := strings.Count(log.String(), secret.Error()); got != 3 {
		t.Errorf("the reason is logged %d times, want 3:\n%s", got, log.String())
	}
}

func TestFailedNewsAreAToolErrorThatSaysWhatHolds(t *testing.T) {
	t.Parallel()
	shared := &sharedSwitch{}
	server := everything.New(&everything.Options{
		Switch:       shared,
		ToolsChanged: func(context.Context) error { return errors.New("secret") },
	})
	res := call(t, connect(t, server, v2026, nil), "toggleTool", map[string]any{"on": true})
	wantToolError(t, res, "secretHandshake is on, but clients may not have been told, try again later")
	if strings.Contains(soleText(t, res), "secret ") {
		t.Errorf("text is %q", soleText(t, res))
	}
	wantHandshake(t, func() *mcp.ClientSession { return connect(t, server, v2026, nil) }, true)
}

// The race detector does the checking.
func TestManyClientsSwitchAtOnce(t *testing.T) {
	t.Parallel()
	server := everything.New(nil)
	var wg sync.WaitGroup
	for i := range 8 {
		cs := connect(t, server, []string{v2025, v2026}[i%2], nil)
		for j := range 4 {
			wg.Go(func() {
				call(t, cs, "toggleTool", map[string]any{"on": j%2 == 0})
				lists(t, cs)
			})
		}
	}
	wg.Wait()
}
