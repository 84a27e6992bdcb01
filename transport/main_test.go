package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/transport"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// A fleet is two nodes, each with a client of Redis and a server of its own.
type fleet struct {
	nodes   []*transport.Node
	servers []*mcp.Server
	url     string // of a balancer that sends each request to a node picked at random

	resumed atomic.Int64 // requests with Last-Event-ID

	mu  sync.Mutex              // guards cut
	cut context.CancelCauseFunc // breaks the connection of the last POST
}

var errCut = errors.New("the test breaks the connection")

func newFleet(t *testing.T, s *redistest.Server, addTools func(*fleet, *mcp.Server)) *fleet {
	t.Helper()
	f := &fleet{}
	prefix := s.Prefix(t)
	for range 2 {
		f.nodes = append(f.nodes, newNode(t, &transport.Options{Redis: s.Client(t), Prefix: prefix}))
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1.0.0"}, &mcp.ServerOptions{
			SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
			UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		})
		addTools(f, server)
		f.servers = append(f.servers, server)
	}
	balancer := httptest.NewServer(http.HandlerFunc(f.balance))
	t.Cleanup(balancer.Close)
	t.Cleanup(balancer.CloseClientConnections)
	f.url = balancer.URL
	return f
}

func newNode(t *testing.T, opts *transport.Options) *transport.Node {
	t.Helper()
	node, err := transport.NewNode(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return node
}

func (f *fleet) balance(w http.ResponseWriter, r *http.Request) {
	ctx, cut := context.WithCancelCause(r.Context())
	defer cut(nil)
	if r.Method == http.MethodPost {
		f.mu.Lock()
		f.cut = cut
		f.mu.Unlock()
	}
	if r.Header.Get("Last-Event-ID") != "" {
		f.resumed.Add(1)
	}
	i := rand.N(len(f.nodes))
	serveMCP(f.nodes[i], f.servers[i]).ServeHTTP(w, r.WithContext(ctx))
	if context.Cause(ctx) == errCut {
		panic(http.ErrAbortHandler)
	}
}

// cutLast breaks the connection of the last POST.
func (f *fleet) cutLast() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut(errCut)
}

// connect returns a client of the fleet, of a protocol with sessions.
func (f *fleet) connect(t *testing.T, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	return f.connectAs(t, opts, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
}

func (f *fleet) connectAs(t *testing.T, opts *mcp.ClientOptions, session *mcp.ClientSessionOptions) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1.0.0"}, opts)
	cs, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: f.url}, session)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cs.Close() }) // some tests have closed it
	return cs
}

// initialize begins a session without HTTP, and returns its id.
func initialize(t *testing.T, node *transport.Node, server *mcp.Server, owner string) string {
	t.Helper()
	resp := serve(t, node, server, transport.Request{Owner: owner, Message: json.RawMessage(
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}}`)})
	if id := resp.Session(); id != "" {
		t.Errorf("session %s before the response was sent", id)
	}
	if got := sendAll(t, resp); len(got) != 1 {
		t.Fatalf("initialize: %+v", got)
	}
	if resp.Session() == "" {
		t.Fatal("initialize began no session")
	}
	return resp.Session()
}

func serve(t *testing.T, node *transport.Node, server *mcp.Server, req transport.Request) *transport.Response {
	t.Helper()
	resp, err := node.Serve(t.Context(), server, req)
	if err != nil {
		t.Fatalf("%s: %v", req.Message, err)
	}
	return resp
}

// sendAll returns all events of a response.
func sendAll(t *testing.T, resp *transport.Response) (events []transport.Event) {
	t.Helper()
	err := resp.Send(t.Context(), func(e transport.Event) error {
		events = append(events, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func call(id int, tool string) json.RawMessage {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{},"_meta":{"progressToken":"p"}}}`, id, tool)
}

func text(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}

type none struct{}

// tool adds a tool without arguments to a server.
func tool(server *mcp.Server, name string, handle func(ctx context.Context, req *mcp.CallToolRequest) (string, error)) {
	mcp.AddTool(server, &mcp.Tool{Name: name}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		s, err := handle(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		return text(s), nil, nil
	})
}

func wantCall(t *testing.T, cs *mcp.ClientSession, name, want string) {
	t.Helper()
	params := &mcp.CallToolParams{Name: name}
	params.SetProgressToken("p-" + name)
	result, err := cs.CallTool(t.Context(), params)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got := result.Content[0].(*mcp.TextContent).Text; got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

// receive returns the next of what is sent on a channel, within reason.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}
