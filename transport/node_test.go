package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
	"github.com/mcpfleet/mcpfleet/transport"
)

func TestNewNodeNamesTheOptionThatIsWrong(t *testing.T) {
	t.Parallel()
	wantNoNode := func(opts *transport.Options, want string) {
		t.Helper()
		node, err := transport.NewNode(t.Context(), opts)
		if err == nil {
			_ = node.Shutdown(t.Context())
		}
		if err == nil || !strings.HasPrefix(err.Error(), "transport: "+want) {
			t.Errorf("error %v, want transport: %s", err, want)
		}
	}
	wantNoNode(nil, "Options.Redis is nil")
	wantNoNode(&transport.Options{}, "Options.Redis is nil")
	redis := redistest.NewMiniredis(t).Client(t)
	wantNoNode(&transport.Options{Redis: redis, Prefix: "a b"}, "Options.Prefix")
	wantNoNode(&transport.Options{Redis: redis, DefaultLogLevel: "loud"}, "Options.DefaultLogLevel")
	numbers := 0
	for field := range reflect.TypeFor[transport.Options]().Fields() {
		if kind := field.Type.Kind(); kind != reflect.Int && kind != reflect.Int64 {
			continue
		}
		numbers++
		opts := &transport.Options{Redis: redis}
		reflect.ValueOf(opts).Elem().FieldByIndex(field.Index).SetInt(-1)
		wantNoNode(opts, "Options."+field.Name+" is negative")
	}
	if numbers < 15 {
		t.Errorf("%d options are numbers: the test does not see them", numbers)
	}
}

func TestAnotherOwnersSessionDoesNotExist(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, func(_ *fleet, server *mcp.Server) {
			tool(server, "x", func(context.Context, *mcp.CallToolRequest) (string, error) { return "x", nil })
		})
		id := initialize(t, f.nodes[0], f.servers[0], "alice")
		for _, owner := range []string{"", "bob"} {
			for i, node := range f.nodes {
				_, err := node.Serve(t.Context(), f.servers[i], transport.Request{Session: id, Owner: owner, Message: call(1, "x")})
				wantErr(t, "Serve", err, session.ErrNotFound)
				_, err = node.Resume(t.Context(), id, owner, "")
				wantErr(t, "Resume", err, session.ErrNotFound)
				wantErr(t, "Delete", node.Delete(t.Context(), id, owner), session.ErrNotFound)
			}
		}
		resp := serve(t, f.nodes[1], f.servers[1], transport.Request{Session: id, Owner: "alice", Message: call(1, "x")})
		if got := sendAll(t, resp); len(got) != 1 || got[0].ID != "" || !strings.Contains(string(got[0].Message), `"text":"x"`) {
			t.Errorf("her own: %s", got)
		}
	})
}

// What a call says before its result comes in order, each with an id from which
// any node resumes.
func TestAStreamIsResumedBehindTheLastEvent(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, func(_ *fleet, server *mcp.Server) {
			tool(server, "work", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
				for i := range 3 {
					err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i)})
					if err != nil {
						return "", err
					}
				}
				return "done", nil
			})
		})
		id := initialize(t, f.nodes[0], f.servers[0], "")
		all := sendAll(t, serve(t, f.nodes[0], f.servers[0], transport.Request{Session: id, Message: call(1, "work")}))
		if len(all) != 5 || len(all[0].Message) > 0 || !strings.Contains(string(all[4].Message), `"id":1`) {
			t.Fatalf("a place to resume from, three notifications and a response: %+v", all)
		}
		for i, e := range all {
			resp, err := f.nodes[1].Resume(t.Context(), id, "", e.ID)
			if err != nil {
				t.Fatal(err)
			}
			var rest []transport.Event
			for _, e := range sendAll(t, resp) {
				if len(e.Message) > 0 { // not only a place to resume from
					rest = append(rest, e)
				}
			}
			if got, want := fmt.Sprint(rest), fmt.Sprint(all[i+1:]); len(rest)+len(all[i+1:]) > 0 && got != want {
				t.Errorf("behind event %d: %s, want %s", i, got, want)
			}
		}
	})
}

func TestALostStreamIsAnErrorWithTheCallsID(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.NewMiniredis(t), func(*fleet, *mcp.Server) {})
	id := initialize(t, f.nodes[0], f.servers[0], "")
	unknown := "cABCDEFGHIJKLMNOP-Nw.3.ABCDEF" // of the call with id 7
	resume := func(last string) []transport.Event {
		resp, err := f.nodes[1].Resume(t.Context(), id, "", last)
		if err != nil {
			t.Fatal(err)
		}
		return sendAll(t, resp)
	}
	got := resume(unknown)
	if len(got) != 1 || !strings.Contains(string(got[0].Message), `"id":7,"error"`) {
		t.Fatalf("%+v", got)
	}
	if after := resume(got[0].ID); len(after) > 0 {
		t.Errorf("behind the end: %+v", after)
	}
}

// Over HTTP and without it a client gets the same errors.
func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.NewMiniredis(t), func(*fleet, *mcp.Server) {})
	id := initialize(t, f.nodes[0], f.servers[0], "")
	for _, test := range []struct {
		name, session, message string
		status                 int
		want                   string
	}{
		{"not JSON", id, `{`, 400, `"id":null,"error":{"code":-32700`},
		{"no message", id, `{"jsonrpc":"2.0","id":{}}`, 400, `"error":{"code":-32600`},
		{"a batch", id, `[]`, 400, `"id":null,"error":{"code":-32600`},
		{"no session", "", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 400, `"id":1,"error":{"code":-32600`},
		{"unknown session", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 404, `"error":{"code":-32001`},
		{"not even an id of a session", "x", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 404, `"error":{"code":-32001`},
		{"initialize again", id, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, 400, `"id":1,"error":{"code":-32600`},
		{"initialize as a notification", "", `{"jsonrpc":"2.0","method":"initialize","params":{}}`, 400, `"id":null,"error":{"code":-32600`},
		{"a protocol without sessions", id,
			`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`,
			400, `"id":1,"error":{"code":-32022`},
	} {
		_, err := f.nodes[1].Serve(t.Context(), f.servers[1], transport.Request{Session: test.session, Message: json.RawMessage(test.message)})
		if err == nil {
			t.Errorf("%s: no error", test.name)
			continue
		}
		if got := string(transport.EncodeError(err)); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		w := httptest.NewRecorder()
		transport.WriteError(w, err)
		if w.Code != test.status {
			t.Errorf("%s: status %d, want %d", test.name, w.Code, test.status)
		}
	}
	_, err := f.nodes[0].Serve(t.Context(), nil, transport.Request{Session: id, Message: call(1, "x")})
	if err == nil || !strings.Contains(string(transport.EncodeError(err)), "no server available") {
		t.Errorf("without a server: %v", err)
	}
	_, err = f.nodes[0].Resume(t.Context(), id, "", "x")
	if err == nil || !strings.Contains(string(transport.EncodeError(err)), "Last-Event-ID") {
		t.Errorf("a malformed event id: %v", err)
	}
}

func TestSendEndsWithTheErrorOfItsFunction(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.NewMiniredis(t), func(*fleet, *mcp.Server) {})
	id := initialize(t, f.nodes[0], f.servers[0], "")
	gone := errors.New("gone")
	for _, message := range []string{`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`} {
		resp := serve(t, f.nodes[0], f.servers[0], transport.Request{Session: id, Message: json.RawMessage(message)})
		err := resp.Send(t.Context(), func(transport.Event) error { return gone })
		wantErr(t, message, err, gone)
	}
	standalone, err := f.nodes[0].Resume(t.Context(), id, "", "")
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, "the standalone stream", standalone.Send(t.Context(), func(transport.Event) error { return gone }), gone)
}

func TestANotificationWaitsForTheClient(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, func(*fleet, *mcp.Server) {})
		id := initialize(t, f.nodes[0], f.servers[0], "")
		if err := f.nodes[0].Notify(t.Context(), id, "notifications/hello", map[string]int{"n": 1}); err != nil {
			t.Fatal(err)
		}
		resp, err := f.nodes[1].Resume(t.Context(), id, "", "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		err = resp.Send(ctx, func(e transport.Event) error {
			if want := `{"jsonrpc":"2.0","method":"notifications/hello","params":{"n":1}}`; string(e.Message) == want {
				stop()
			}
			return nil
		})
		wantErr(t, "the end of the stream", err, context.Canceled)
	})
}

func TestShutdownLetsCallsFinish(t *testing.T) {
	t.Parallel()
	running, finish := make(chan struct{}), make(chan struct{})
	f := newFleet(t, redistest.NewMiniredis(t), func(_ *fleet, server *mcp.Server) {
		tool(server, "wait", func(context.Context, *mcp.CallToolRequest) (string, error) {
			close(running)
			<-finish
			return "done", nil
		})
	})
	node, server := f.nodes[0], f.servers[0]
	id := initialize(t, node, server, "")
	resp := serve(t, node, server, transport.Request{Session: id, Message: call(1, "wait")})
	receive(t, "the call", running)
	down := make(chan error, 1)
	go func() { down <- node.Shutdown(t.Context()) }()
	for node.Ready(t.Context()) == nil { // Shutdown has not begun
	}
	_, err := node.Serve(t.Context(), server, transport.Request{Session: id, Message: call(2, "wait")})
	wantErr(t, "a new call", err, transport.ErrClosed)
	close(finish)
	if got := sendAll(t, resp); len(got) != 1 || !strings.Contains(string(got[0].Message), "done") {
		t.Errorf("the running call: %+v", got)
	}
	if err := receive(t, "Shutdown", down); err != nil {
		t.Error(err)
	}
	elsewhere, err := node.Resume(t.Context(), id, "", "")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	elsewhere.WriteHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "retry: ") {
		t.Errorf("a stream of the node that has left: %d %q", w.Code, w.Body)
	}
}

func TestCallsOnTheOtherNodesGoOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.NewMiniredis(t), func(_ *fleet, server *mcp.Server) {
		tool(server, "x", func(context.Context, *mcp.CallToolRequest) (string, error) { return "x", nil })
	})
	id := initialize(t, f.nodes[0], f.servers[0], "")
	if err := f.nodes[0].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b := f.nodes[0].ID(), f.nodes[1].ID(); a == b {
		t.Errorf("both nodes are %s", a)
	}
	if got := sendAll(t, serve(t, f.nodes[1], f.servers[1], transport.Request{Session: id, Message: call(1, "x")})); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestListChangesReachOpenStreams(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.NewMiniredis(t), func(_ *fleet, server *mcp.Server) {
		tool(server, "x", func(context.Context, *mcp.CallToolRequest) (string, error) { return "x", nil })
		server.AddPrompt(&mcp.Prompt{Name: "p"}, nil)
		server.AddResource(&mcp.Resource{URI: "test://a", Name: "a"}, nil)
	})
	id := initialize(t, f.nodes[0], f.servers[0], "")
	for list, announce := range map[string]func(context.Context) error{
		"tools": f.nodes[0].ToolsChanged, "prompts": f.nodes[0].PromptsChanged, "resources": f.nodes[0].ResourcesChanged,
	} {
		resp, err := f.nodes[1].Resume(t.Context(), id, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := announce(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		err = resp.Send(ctx, func(e transport.Event) error {
			if strings.Contains(string(e.Message), "notifications/"+list+"/list_changed") {
				stop()
			}
			return nil
		})
		wantErr(t, "the end of the stream", err, context.Canceled)
	}
}

// Whoever asked does not wait for a response that was refused.
func TestARefusedResponseFailsTheServerRequest(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.NewMiniredis(t), func(_ *fleet, server *mcp.Server) {
		tool(server, "roots", func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
			_, err := req.Session.ListRoots(ctx, nil)
			return fmt.Sprint(err), nil
		})
	})
	id := initialize(t, f.nodes[0], f.servers[0], "")
	resp := serve(t, f.nodes[0], f.servers[0], transport.Request{Session: id, Message: call(1, "roots")})
	var last transport.Event
	err := resp.Send(t.Context(), func(e transport.Event) error {
		last = e
		var asked struct{ ID, Method string }
		if json.Unmarshal(e.Message, &asked) == nil && asked.Method == "roots/list" {
			malformed := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%q,"error":"no"}`, asked.ID)
			if _, err := f.nodes[1].Serve(t.Context(), f.servers[1], transport.Request{Session: id, Message: malformed}); err == nil {
				t.Error("a malformed response is accepted")
			}
		}
		return nil
	})
	if err != nil || !strings.Contains(string(last.Message), "the client's response was refused") {
		t.Errorf("the call ended with %s, %v", last.Message, err)
	}
}
