package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// A rig is what the servers of a fleet's instances share with their test.
type rig struct {
	opts *mcp.ServerOptions
	// entered gets the name of each call of the tool "wait" that has begun.
	entered chan string
	// running counts the running calls of the tool "wait".
	running atomic.Int64
	// counted is called when a call of the tool "count" has sent everything, if
	// it is not nil.
	counted func()
	// more adds features to each server, if it is not nil.
	more func(*mcp.Server)

	mu    sync.Mutex
	gates map[string]chan struct{}
}

func newRig(opts *mcp.ServerOptions) *rig {
	return &rig{opts: opts, entered: make(chan string, 1000), gates: map[string]chan struct{}{}}
}

// gate returns what the call of the tool "wait" with that name waits for.
func (r *rig) gate(name string) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gates[name] == nil {
		r.gates[name] = make(chan struct{})
	}
	return r.gates[name]
}

// open lets the call with that name go on.
func (r *rig) open(name string) { close(r.gate(name)) }

// runs returns when a call of the tool "wait" runs.
func (r *rig) runs(t testing.TB, name string) {
	t.Helper()
	if got := soon(t, r.entered); got != name {
		t.Fatalf("call %q runs, want %q", got, name)
	}
}

type toolArguments struct {
	Name string `json:"name"`
	Text string `json:"text"`
	N    int    `json:"n"`
	Size int    `json:"size"`
}

// server returns the server of one instance. Its tools:
//
//	echo   says text
//	wait   waits until the test opens the gate with that name
//	count  sends n numbered messages of a size, then says how many
//	aside  sends text on the session's standalone stream
//	ask    asks the client something, see ask
func (r *rig) server() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "rig", Version: "1"}, r.opts)
	tool(s, "echo", func(_ context.Context, _ *mcp.CallToolRequest, a toolArguments) (string, error) {
		return a.Text, nil
	})
	tool(s, "wait", func(ctx context.Context, _ *mcp.CallToolRequest, a toolArguments) (string, error) {
		r.running.Add(1)
		defer r.running.Add(-1)
		r.entered <- a.Name
		select {
		case <-r.gate(a.Name):
			return "went on", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	tool(s, "count", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
		for i := range a.N {
			if err := progress(ctx, req.Session, float64(i), strings.Repeat("x", a.Size)); err != nil {
				return "", err
			}
		}
		if r.counted != nil {
			r.counted()
		}
		return fmt.Sprint(a.N), nil
	})
	tool(s, "aside", func(_ context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
		return "said", progress(context.Background(), req.Session, 1, a.Text)
	})
	tool(s, "ask", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
		return ask(ctx, req.Session, a.Name)
	})
	if r.more != nil {
		r.more(s)
	}
	return s
}

func tool(s *mcp.Server, name string, f func(context.Context, *mcp.CallToolRequest, toolArguments) (string, error)) {
	s.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			var a toolArguments
			if err := json.Unmarshal(req.Params.Arguments, &a); err != nil {
				return nil, err
			}
			said, err := f(ctx, req, a)
			if err != nil {
				return nil, err
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: said}}}, nil
		})
}

func progress(ctx context.Context, ss *mcp.ServerSession, n float64, text string) error {
	return ss.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "server", Progress: n, Message: text})
}

// ask asks the client for what kind says and returns the gist of the response.
func ask(ctx context.Context, ss *mcp.ServerSession, kind string) (string, error) {
	switch kind {
	case "sampling":
		res, err := ss.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1})
		if err != nil {
			return "", err
		}
		return res.Content.(*mcp.TextContent).Text, nil
	case "roots":
		res, err := ss.ListRoots(ctx, nil)
		if err != nil {
			return "", err
		}
		return res.Roots[0].URI, nil
	}
	params := &mcp.ElicitParams{Message: "?", RequestedSchema: json.RawMessage(`{"type":"object","properties":{"answer":{"type":"string"}}}`)}
	if kind == "url" {
		params = &mcp.ElicitParams{Mode: "url", Message: "?", URL: "https://example.com/", ElicitationID: "e"}
	}
	res, err := ss.Elicit(ctx, params)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(res.Action, res.Content["answer"]), nil
}

// at returns the client's session with another URL: that of one instance.
func at(c *fleettest.Client, url string) *fleettest.Client {
	d := *c
	d.URL = url
	return &d
}

// text returns what a tool said; it fails the test if the call failed.
func text(t testing.TB, m *jsonrpcmsg.Message) string {
	t.Helper()
	var result mcp.CallToolResult
	if m.Error != nil {
		t.Fatalf("call failed: %s", m.Error)
	}
	if err := json.Unmarshal(m.Result, &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Content) == 0 {
		t.Fatalf("empty result: %s", m.Result)
	}
	return result.Content[0].(*mcp.TextContent).Text
}

// wantText fails the test unless the call's result is what a tool should say.
func wantText(t testing.TB, m *jsonrpcmsg.Message, want string) {
	t.Helper()
	if got := text(t, m); got != want {
		t.Errorf("the tool said %q, want %q", got, want)
	}
}

// A response is all of an HTTP response that a client acts upon.
type response struct {
	Status int
	Type   string
	Body   string
}

// read reads a response to its end.
func read(t testing.TB, res *http.Response) response {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	_ = res.Body.Close()
	return response{res.StatusCode, res.Header.Get("Content-Type"), string(body)}
}

// errorResponse is the response with a JSON-RPC error; id is raw JSON.
func errorResponse(status int, id string, code int, message string) response {
	quoted, err := json.Marshal(message)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return response{status, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s}}`, id, code, quoted)}
}

// set returns a change of one header; an empty value removes it.
func set(name, value string) func(http.Header) {
	return func(h http.Header) {
		if value == "" {
			h.Del(name)
		} else {
			h.Set(name, value)
		}
	}
}

// messages reads the stream to its end, as a client does that is well: a pipe
// has no buffer, so what nobody reads cannot be written.
func messages(stream *fleettest.Stream) <-chan sse.Event {
	read := make(chan sse.Event, 10_000)
	go func() {
		defer close(read)
		for {
			e, err := stream.Next()
			if err != nil {
				return
			}
			if len(e.Data) > 0 {
				read <- e
			}
		}
	}()
	return read
}

// soon returns what ch gives. In virtual time it is never too early to give up.
func soon[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatal("it does not come")
		panic("unreachable")
	}
}

// A bystander is a session on the same fleet with a running call, an open
// standalone stream and everything to lose.
type bystander struct {
	fleet    *simulation
	client   *fleettest.Client
	messages <-chan sse.Event
	response chan *jsonrpcmsg.Message
}

func newBystander(t testing.TB, s *simulation) *bystander {
	t.Helper()
	c := s.client(t)
	c.Header.Set("Authorization", "Bearer bystander")
	c.Initialize(t, "2025-11-25", everyCapability)
	b := &bystander{fleet: s, client: c, messages: messages(c.Get(t, "")), response: make(chan *jsonrpcmsg.Message, 1)}
	go func() { b.response <- c.CallTool(t, "wait", `{"name":"bystander"}`) }()
	s.runs(t, "bystander")
	return b
}

// undisturbed fails the test unless the bystander's call ends well, its stream
// still gets messages, and every instance serves it. It can be called once.
func (b *bystander) undisturbed(t testing.TB) {
	t.Helper()
	b.fleet.open("bystander")
	wantText(t, soon(t, b.response), "went on")
	for i, instance := range b.fleet.instances {
		said := fmt.Sprint("by instance ", i)
		wantText(t, at(b.client, instance.url).CallTool(t, "aside", fmt.Sprintf(`{"text":%q}`, said)), "said")
		if m := soon(t, b.messages); !strings.Contains(string(m.Data), said) {
			t.Errorf("the bystander's stream has %q, want %q", m.Data, said)
		}
	}
}
