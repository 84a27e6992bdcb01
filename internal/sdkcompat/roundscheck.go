package sdkcompat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK promises nothing of how it hands a request from a server's middleware to its
// features, on which [Rounds] rely, and an application may have a newer SDK than we
// were tested with.
//
// Seen in: v1.8.0.
// Here: before an instance serves, a call of each kind is handled by a server of ours.
// If one does not go as it should, there are no stand-ins: all handlers then have a
// session of 2025-11-25, in which the SDK itself asks for what is returned, once.
// Test: TestWhatRoundsRelyOnIsChecked.

// CheckRounds returns an error that says what the SDK does not do of what [Rounds] rely
// on. It looks once in the life of the process.
var CheckRounds = sync.OnceValue(func() error {
	r := NewRounds(true)
	return checkRounds(r)
})

func checkRounds(r *Rounds) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the SDK panics: %v", v)
		}
	}()
	conn := &checkConn{responses: make(chan jsonrpc.Message, 9), done: make(chan struct{})}
	defer close(conn.done)
	server := checkServer()
	session, err := server.Connect(context.Background(), conn, &mcp.ServerSessionOptions{State: SessionState(&mcp.InitializeParams{
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{}},
	}, "2025-11-25")})
	if err != nil {
		return err
	}
	for _, method := range []string{"tools/call", "prompts/get", "resources/read"} {
		for name, want := range map[string]dispatched{
			asksName:    {ResultType: "complete", asked: 1},
			returnsName: {ResultType: "input_required", RequestState: "state", InputRequests: map[string]asked{"mine": {"roots/list"}}},
		} {
			conn.asked.Store(0)
			got, err := checkCall(r, server, session, conn, method, name)
			if err != nil {
				return fmt.Errorf("%s of what %s: %w", method, name, err)
			}
			got.asked = conn.asked.Load()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("%s of what %s: %v in place of %v", method, name, got, want)
			}
		}
	}
	return nil
}

// The features of the server that is called, by what they do.
const (
	asksName    = "check:asks"
	returnsName = "check:returns"
)

// dispatched is what matters of a result.
type dispatched struct {
	ResultType, RequestState string
	InputRequests            map[string]asked
	asked                    int64
}

type asked struct{ Method string }

func checkCall(r *Rounds, server *mcp.Server, session *mcp.ServerSession, conn mcp.Connection, method, name string) (got dispatched, err error) {
	lent, free, err := r.Lend(method, name, session, conn)
	if err != nil {
		return got, err
	}
	defer free()
	params, err := json.Marshal(map[string]string{"name": name, "uri": name})
	if err != nil {
		return got, err
	}
	decoded, err := Decode(method, params, nil)
	if err != nil {
		return got, err
	}
	res, err := Handler(server)(context.Background(), method, decoded.For(lent))
	if err != nil {
		return got, err
	}
	data, err := encodeJSON(res)
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	return got, err
}

// checkServer returns a server with features of each kind, that ask or return what they
// would ask.
func checkServer() *mcp.Server {
	server := mcp.NewServer(standInImplementation, &mcp.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	run := func(ctx context.Context, ss *mcp.ServerSession, name string) (inputs mcp.InputRequestMap, state string, err error) {
		if name == asksName {
			_, err = ss.Elicit(ctx, &mcp.ElicitParams{Message: "?"})
			return nil, "", err
		}
		return mcp.InputRequestMap{"mine": &mcp.ListRootsParams{}}, "state", nil
	}
	for _, name := range []string{asksName, returnsName} {
		server.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			inputs, state, err := run(ctx, req.Session, name)
			return &mcp.CallToolResult{InputRequests: inputs, RequestState: state}, err
		})
		server.AddPrompt(&mcp.Prompt{Name: name}, func(ctx context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			inputs, state, err := run(ctx, req.Session, name)
			return &mcp.GetPromptResult{InputRequests: inputs, RequestState: state, Messages: []*mcp.PromptMessage{}}, err
		})
		server.AddResource(&mcp.Resource{URI: name, Name: name}, func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			inputs, state, err := run(ctx, req.Session, name)
			return &mcp.ReadResourceResult{InputRequests: inputs, RequestState: state, Contents: []*mcp.ResourceContents{}}, err
		})
	}
	return server
}

// A checkConn is a connection whose client accepts what it is asked.
type checkConn struct {
	responses chan jsonrpc.Message
	done      chan struct{}
	asked     atomic.Int64
}

func (c *checkConn) Connect(context.Context) (mcp.Connection, error) { return c, nil }
func (c *checkConn) SessionID() string                               { return "" }
func (c *checkConn) Close() error                                    { return nil }

func (c *checkConn) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case m := <-c.responses:
		return m, nil
	case <-c.done:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *checkConn) Write(_ context.Context, m jsonrpc.Message) error {
	if r, ok := m.(*jsonrpc.Request); ok && r.IsCall() {
		c.asked.Add(1)
		c.responses <- &jsonrpc.Response{ID: r.ID, Result: json.RawMessage(`{"action":"accept"}`)}
	}
	return nil
}
