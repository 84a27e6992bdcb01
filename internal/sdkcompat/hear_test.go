package sdkcompat

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// collected reports whether a server is collected that nobody refers to any more.
func collected(server weak.Pointer[mcp.Server]) bool {
	for range 20 { // what a collection frees may hold what the next one frees
		runtime.GC()
		if server.Value() == nil {
			return true
		}
	}
	return false
}

// The gap that hear.go is there for.
func TestAnOpenSessionKeepsItsServer(t *testing.T) {
	server := newServer(nil)
	p := newPeer()
	session, err := server.Connect(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	pointer := weak.Make(server)
	server = nil
	if collected(pointer) {
		t.Error("the SDK has closed the gap")
	}
	_ = p.Close()
	_ = session.Wait()
	session = nil
	if !collected(pointer) {
		t.Error("it is kept by something else")
	}
	runtime.KeepAlive(session)
}

func TestAHearingSessionDoesNotKeepItsServer(t *testing.T) {
	for name, opts := range map[string]*mcp.ServerOptions{"plain": nil, "KeepAlive": {KeepAlive: time.Hour}} {
		server := newServer(opts)
		told := make(chan string, 10)
		if err := Hear(server, func(method string) { told <- method }); err != nil {
			t.Fatal(err)
		}
		addTool(server, func(context.Context, *mcp.CallToolRequest) {})
		if method := <-told; method != "notifications/tools/list_changed" {
			t.Errorf("%s: told %s", name, method)
		}
		pointer := weak.Make(server)
		server = nil
		if !collected(pointer) {
			t.Errorf("%s: the server is kept", name)
		}
	}
}

// It hears for ever, of each kind, and leaves no goroutine: the bubble would fail.
func TestAHearingSessionHears(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*mcp.ServerOptions{"plain": nil, "KeepAlive": {KeepAlive: time.Minute}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newServer(opts)
				var mu sync.Mutex // guards told: each kind has a timer of its own
				var told []string
				hear := func(method string) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, method)
				}
				if err := Hear(server, hear); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					time.Sleep(time.Hour)
					addTool(server, func(context.Context, *mcp.CallToolRequest) {})
					server.AddResource(&mcp.Resource{URI: "a:b", Name: "b"}, nil)
					server.AddPrompt(&mcp.Prompt{Name: "p"}, nil)
					time.Sleep(time.Second)
				}
				synctest.Wait()
				slices.Sort(told)
				if told = slices.Compact(told); len(told) != 3 {
					t.Errorf("told %q", told)
				}
				for ss := range server.Sessions() {
					if err := ss.Ping(t.Context(), nil); err == nil || !strings.Contains(err.Error(), errHearing.Error()) {
						t.Errorf("a ping of it: %v", err)
					}
					if err := ss.NotifyProgress(t.Context(), &mcp.ProgressNotificationParams{ProgressToken: "1"}); err != nil {
						t.Errorf("progress on it: %v", err)
					}
				}
			})
		})
	}
}

// The gap that linger.go is there for.
func TestResourceUpdatedNeedsASubscribedSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(subscribable)
		var told []string
		if err := Hear(server, func(method string) { told = append(told, method) }); err != nil {
			t.Fatal(err)
		}
		if err := server.ResourceUpdated(t.Context(), &mcp.ResourceUpdatedNotificationParams{URI: "a:b"}); err != nil || len(told) > 0 {
			t.Errorf("the SDK says %v, and tells %q: it has closed the gap", err, told)
		}
	})
}

var subscribable = &mcp.ServerOptions{
	SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
	UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
}

func TestALingeringSession(t *testing.T) {
	t.Parallel()
	for name, stays := range map[string]bool{"stays": true, "leaves": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newServer(subscribable)
				server.AddResource(&mcp.Resource{URI: "a:b", Name: "b"}, nil)
				p := newPeer()
				left := false
				var told []string
				l := &Lingering{Heard: func(method string) { told = append(told, method) }, Left: func() { left = true }}
				session, err := server.Connect(t.Context(), l.Of(p), &mcp.ServerSessionOptions{State: initialized()})
				if err != nil {
					t.Fatal(err)
				}
				if resp := p.call(t, "resources/subscribe", `{"uri":"a:b"}`); resp.Error != nil {
					t.Fatal(resp.Error)
				}
				if stays {
					l.Stay()
				}
				_ = p.Close()
				synctest.Wait()
				if n := len(slices.Collect(server.Sessions())); left == stays || n == 1 != stays {
					t.Errorf("left %v, %d sessions", left, n)
				}
				for _, uri := range []string{"a:c", "a:b"} {
					if err := server.ResourceUpdated(t.Context(), &mcp.ResourceUpdatedNotificationParams{URI: uri}); err != nil {
						t.Fatal(err)
					}
				}
				if want := map[bool]int{true: 1}[stays]; len(told) != want {
					t.Errorf("told %q", told)
				}
				if err := session.Ping(t.Context(), nil); err == nil || stays && !strings.Contains(err.Error(), "EOF") {
					t.Errorf("a ping after the request: %v", err)
				}
			})
		})
	}
}

// An endingPeer is a peer whose Read ends with an error of the test.
type endingPeer struct {
	*peer
	ended *Ended
}

func (p *endingPeer) Connect(context.Context) (mcp.Connection, error) { return p, nil }
func (p *endingPeer) Read(context.Context) (jsonrpc.Message, error) {
	<-p.closed
	return nil, p.ended
}
func (p *endingPeer) Close() error {
	p.ended.Close()
	return p.peer.Close()
}

func TestASessionThatHasEndedAsksForTheErrorsText(t *testing.T) {
	t.Parallel()
	over := errors.New("it is over")
	for name, use := range map[string]func(context.Context, *mcp.ServerSession) error{
		"nothing": nil,
		"ping":    func(ctx context.Context, ss *mcp.ServerSession) error { return ss.Ping(ctx, nil) },
		"progress": func(ctx context.Context, ss *mcp.ServerSession) error {
			return ss.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "1"})
		},
		"log": func(ctx context.Context, ss *mcp.ServerSession) error {
			return ss.Log(ctx, &mcp.LoggingMessageParams{Level: "error", Data: json.RawMessage(`1`)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server, used := newServer(nil), 0
				p := &endingPeer{newPeer(), &Ended{Err: over, Used: func() { used++ }}}
				session, err := server.Connect(t.Context(), p, &mcp.ServerSessionOptions{State: initialized()})
				if err != nil {
					t.Fatal(err)
				}
				_ = p.peer.Close()
				synctest.Wait()
				if used != 0 {
					t.Errorf("before it is used: %d", used)
				}
				if use == nil {
					return
				}
				if err := use(t.Context(), session); !errors.Is(err, over) && !strings.Contains(err.Error(), over.Error()) || used == 0 {
					t.Errorf("noticed %d times, %v", used, err)
				}
			})
		})
	}
}

// The SDK itself may have something for a session that is just ending.
func TestTheSDKsOwnUseOfASessionIsNotNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, used := newServer(nil), 0
		_, _ = connect(t, server, initialized()) // which is told first
		p := &endingPeer{newPeer(), &Ended{Err: errors.New("it is over"), Used: func() { used++ }}}
		ending, err := server.Connect(t.Context(), p, &mcp.ServerSessionOptions{State: initialized()})
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		server.AddSendingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				_ = p.peer.Close()
				time.Sleep(time.Second)
				told++
				return next(ctx, method, req)
			}
		})
		addTool(server, func(context.Context, *mcp.CallToolRequest) {})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if told != 2 || used != 0 {
			t.Errorf("%d sessions are told, noticed %d times", told, used)
		}
		if err := ending.Ping(t.Context(), nil); err == nil || used != 1 {
			t.Errorf("a ping of the application: %v, noticed %d times", err, used)
		}
	})
}

func TestToolsCanBeListedWithoutMiddleware(t *testing.T) {
	t.Parallel()
	server := newServer(&mcp.ServerOptions{PageSize: 2})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, nil)
	}
	server.AddReceivingMiddleware(func(mcp.MethodHandler) mcp.MethodHandler {
		return func(context.Context, string, mcp.Request) (mcp.Result, error) { return nil, errors.New("hidden") }
	})
	_, session := connect(t, server, initialized())
	rounds := NewRounds(true)
	var names []string
	for tool, err := range rounds.Tools(t.Context(), session) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, tool.Name)
		if tool.Name == "d" {
			break
		}
	}
	if got := strings.Join(names, ""); got != "abcd" {
		t.Errorf("tools %s", got)
	}
}

func TestWhichServersTellToolChanges(t *testing.T) {
	t.Parallel()
	for want, all := range map[bool][]*mcp.ServerOptions{
		true:  {nil, {}, {Capabilities: &mcp.ServerCapabilities{}}, {Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{ListChanged: true}}}},
		false: {{Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}}},
	} {
		for i, opts := range all {
			if got := TellsToolChanges(newServer(opts)); got != want {
				t.Errorf("%d: %v, want %v", i, got, want)
			}
		}
	}
}
