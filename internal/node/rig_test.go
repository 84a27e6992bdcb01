package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A rig is a Redis with a session store and the logs of its streams, without
// any instance.
type rig struct {
	client rueidis.Client
	prefix string
	keys   rediskeys.Space
	rdb    redisx.Client
	store  *sessionstore.Store
	log    *eventlog.Log
}

// testTTL is a short life of sessions: an hour of a bubble is not for nothing,
// its instances look around.
const testTTL = 30 * time.Second

func newRig(t testing.TB, client rueidis.Client, opts eventlog.Options, ttl ...time.Duration) *rig {
	t.Helper()
	prefix := redistest.NewPrefix()
	store, err := sessionstore.NewStore(&sessionstore.Options{Redis: client, Prefix: prefix, SessionTTL: append(ttl, testTTL)[0]})
	if err != nil {
		t.Fatal(err)
	}
	space, err := rediskeys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redisx.New(client, 0)
	return &rig{client, prefix, space, rdb, store, eventlog.New(rdb, space, opts)}
}

// testParams are the initialize parameters of a client that can everything.
const testParams = `{"protocolVersion":"2025-11-25","capabilities":{"sampling":{},"elicitation":{},"roots":{}},"clientInfo":{"name":"test","version":"1"}}`

func beginSession(t testing.TB, store *sessionstore.Store) string {
	t.Helper()
	r, err := store.Create(t.Context(), sessionstore.Record{
		InitializeParams: json.RawMessage(testParams), ProtocolVersion: "2025-11-25", Initialized: true, LogLevel: "info",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// open begins a stream written by "w" and read by "r/1".
func (r *rig) open(t testing.TB, session string) eventlog.StreamID {
	t.Helper()
	id := eventlog.StreamID{Session: session, Stream: eventlog.NewCallStream(json.RawMessage(`1`))}
	if _, err := r.log.Open(t.Context(), eventlog.Opening{Stream: id, Nonce: eventlog.NewNonce(), Writer: "w", Reader: "r/1", Call: json.RawMessage(`1`)}); err != nil {
		t.Fatal(err)
	}
	return id
}

// append adds an event to a stream of "w", or to the standalone one.
func (r *rig) append(t testing.TB, id eventlog.StreamID, data string) eventlog.ID {
	t.Helper()
	a := eventlog.Append{Nonce: eventlog.NewNonce(), Data: []byte(data)}
	if !eventlog.IsStandalone(id.Stream) {
		a.Writer = "w"
	}
	e, _, err := r.log.Append(t.Context(), id, a)
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// do runs one command, past everything.
func (r *rig) do(t testing.TB, args ...string) rueidis.RedisResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// The key is the second word of all commands that tests use.
	return r.client.Do(ctx, r.client.B().Arbitrary(args[0]).Keys(args[1]).Args(args[2:]...).Build())
}

func datas(events []eventlog.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = string(e.Data)
	}
	return out
}

// A fleet is some instances on one Redis.
type fleet struct {
	*rig
	nodes []*Node
	links []*redistest.Link // of the instances, in a bubble

	keepAlive bool // the servers have KeepAlive
}

// newFleet starts two instances.
func newFleet(t testing.TB, s *redistest.Server, opts Options) *fleet {
	t.Helper()
	f := &fleet{rig: newRig(t, s.Client(t), opts.Log)}
	for range 2 {
		f.join(t, s.Client(t), opts)
	}
	return f
}

// newBubbleFleet starts two instances, each with a link of its own.
func newBubbleFleet(t testing.TB, opts Options, ttl ...time.Duration) *fleet {
	t.Helper()
	b := redistest.NewBubble(t)
	f := &fleet{rig: newRig(t, b.Client(t), opts.Log, ttl...)}
	for range 2 {
		link := b.Link()
		f.links = append(f.links, link)
		f.join(t, link.Client(t), opts)
	}
	return f
}

func (f *fleet) join(t testing.TB, client rueidis.Client, opts Options) *Node {
	t.Helper()
	store, err := sessionstore.NewStore(&sessionstore.Options{Redis: client, Prefix: f.prefix, SessionTTL: f.store.TTL()})
	if err != nil {
		t.Fatal(err)
	}
	opts.Redis, opts.Store, opts.Prefix = client, store, f.prefix
	if os.Getenv("TEST_LOG") != "" {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", len(f.nodes))
	}
	n, err := NewNode(t.Context(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.WithoutCancel(t.Context())) })
	f.nodes = append(f.nodes, n)
	return n
}

// looseReader returns a reader of no stream, on an instance that does nothing.
func looseReader(opts Options) *Reader {
	opts = opts.withDefaults()
	return &Reader{node: &Node{opts: opts}, wake: make(chan struct{}, 1), queue: newLogQueue(opts)}
}

// A viewer is the client's end of an open stream.
type viewer struct {
	header http.Header
	w      *io.PipeWriter
	r      *io.PipeReader
	events chan sse.Event
	over   chan struct{} // closed when the response has ended
	err    error         // why, for who reads after over

	mu   sync.Mutex
	last string // id of the last event that came
}

func newViewer(t testing.TB) *viewer {
	v := &viewer{header: http.Header{}, events: make(chan sse.Event, 4096), over: make(chan struct{})}
	v.r, v.w = io.Pipe()
	t.Cleanup(func() { _ = v.w.Close() })
	go func() {
		defer close(v.events)
		for r := bufio.NewReader(v.r); ; {
			e, err := sse.Read(r)
			if err != nil {
				return
			}
			if e.ID != "" {
				v.mu.Lock()
				v.last = e.ID
				v.mu.Unlock()
			}
			v.events <- e
		}
	}()
	return v
}

func (v *viewer) Header() http.Header         { return v.header }
func (v *viewer) WriteHeader(int)             {}
func (v *viewer) Write(b []byte) (int, error) { return v.w.Write(b) }
func (v *viewer) Flush()                      {}

// hangUp is what a client does that loses its connection.
func (v *viewer) hangUp() { _ = v.r.CloseWithError(errHungUp) }

var errHungUp = errors.New("the client has gone")

// finish is called when the response has been written.
func (v *viewer) finish(err error) {
	v.err = err
	_ = v.w.Close()
	close(v.over)
}

// next returns the stream's next event; false at the end.
func (v *viewer) next(t testing.TB) (sse.Event, bool) {
	t.Helper()
	select {
	case e, ok := <-v.events:
		return e, ok
	case <-time.After(time.Hour): // in a bubble, where an hour passes in seconds; elsewhere the test times out before
		t.Fatal("the stream neither goes on nor ends")
		panic("not reached")
	}
}

// message returns the next event that is a message.
func (v *viewer) message(t testing.TB) *jsonrpcmsg.Message {
	t.Helper()
	for {
		e, ok := v.next(t)
		if !ok {
			<-v.over
			t.Fatalf("the stream has ended: %v", v.err)
		}
		if len(e.Data) > 0 {
			return decode(t, e.Data)
		}
	}
}

// rest returns the messages up to the end.
func (v *viewer) rest(t testing.TB) (messages []*jsonrpcmsg.Message) {
	t.Helper()
	for {
		e, ok := v.next(t)
		if !ok {
			<-v.over
			return messages
		}
		if len(e.Data) > 0 {
			messages = append(messages, decode(t, e.Data))
		}
	}
}

// wantEnd fails unless the stream ends without another message.
func (v *viewer) wantEnd(t testing.TB) {
	t.Helper()
	if more := v.rest(t); len(more) > 0 {
		t.Fatalf("another message came: %+v", more[0])
	}
}

func (v *viewer) lastID(t testing.TB) *eventlog.ID {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	id, err := eventlog.ParseID(v.last)
	if err != nil {
		t.Fatal(err)
	}
	return &id
}

func decode(t testing.TB, data []byte) *jsonrpcmsg.Message {
	t.Helper()
	m, err := jsonrpcmsg.Decode(data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return m
}

var serveOptions = ServeOptions{Priming: true, KeepAlive: 15 * time.Second}

// serve sends a stream to a viewer, as an HTTP handler does.
func serve(ctx context.Context, r *Reader, v *viewer) error {
	sse := sse.NewWriter(v, pace.Limits{Timeout: 10 * time.Second})
	err := sse.Start()
	if err == nil {
		err = r.Serve(ctx, sse, serveOptions)
	}
	r.Release(ctx)
	return err
}

// resume follows a stream through an instance.
func (f *fleet) resume(t testing.TB, n *Node, sid string, after *eventlog.ID) *viewer {
	t.Helper()
	r, err := n.Resume(t.Context(), sessionstore.Record{ID: sid}, after)
	if err != nil {
		t.Fatal(err)
	}
	v := newViewer(t)
	go func() { v.finish(serve(t.Context(), r.Reader, v)) }()
	return v
}

// A callResponse is what a client gets to a call: one body, or a stream.
type callResponse struct {
	*viewer
	conn     *Conn
	answered chan Response
	streamed chan struct{} // closed when the response becomes a stream
}

// testState is what the SDK knows of a session.
func testState(t testing.TB) *mcp.ServerSessionState {
	t.Helper()
	p := &mcp.InitializeParams{}
	if err := json.Unmarshal([]byte(testParams), p); err != nil {
		t.Fatal(err)
	}
	p.Capabilities.RootsV2 = &mcp.RootCapabilities{}
	return &mcp.ServerSessionState{InitializeParams: p, InitializedParams: &mcp.InitializedParams{}, NegotiatedProtocolVersion: p.ProtocolVersion, LogLevel: "debug"}
}

// accept has an instance run a message of a client on a server.
func (f *fleet) accept(t testing.TB, n *Node, server *mcp.Server, session, message string, change ...func(*Request)) *callResponse {
	t.Helper()
	state := testState(t)
	req := Request{Session: session, Message: decode(t, []byte(message)), Extra: &mcp.RequestExtra{Header: http.Header{}}, Client: state.InitializeParams.Capabilities, Resumable: true}
	for _, c := range change {
		c(&req)
	}
	conn, err := n.Accept(req)
	if err != nil {
		t.Fatal(err)
	}
	ss, err := server.Connect(conn.Context(t.Context()), conn, &mcp.ServerSessionOptions{State: state})
	if err != nil {
		t.Fatal(err)
	}
	if f.keepAlive {
		go func() { // as package mcp does
			<-conn.Done()
			_ = ss.Close()
		}()
	}
	return &callResponse{viewer: newViewer(t), conn: conn, answered: make(chan Response, 1), streamed: make(chan struct{})}
}

// call is accept for a call, which is answered.
func (f *fleet) call(t testing.TB, n *Node, server *mcp.Server, session, message string, change ...func(*Request)) *callResponse {
	t.Helper()
	r := f.accept(t, n, server, session, message, change...)
	go func() {
		ctx := context.WithoutCancel(t.Context())
		select {
		case a := <-r.conn.Response():
			r.answered <- a
			r.finish(nil)
		case stream := <-r.conn.stream:
			close(r.streamed)
			err := serve(ctx, stream.(*Reader), r.viewer)
			if err != nil {
				r.conn.Leave(ctx)
			}
			r.finish(err)
		}
	}()
	return r
}

// response returns the response that is one body.
func (r *callResponse) response(t testing.TB) Response {
	t.Helper()
	select {
	case a := <-r.answered:
		return a
	case <-r.streamed:
		t.Fatal("the response is a stream")
	case <-time.After(time.Hour):
		t.Fatal("there is no response")
	}
	panic("not reached")
}

// toolCall is a call of the tool of [oneTool].
func toolCall(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"tool","arguments":{},"_meta":{"progressToken":"p"}}}`
}

// oneTool is a server with one tool.
func oneTool(h mcp.ToolHandler, opts *mcp.ServerOptions) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, opts)
	s.AddTool(&mcp.Tool{Name: "tool", InputSchema: json.RawMessage(`{"type":"object"}`)}, h)
	return s
}

func text(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}

// textOf returns the text of a tool's result.
func textOf(t testing.TB, m *jsonrpcmsg.Message) string {
	t.Helper()
	var result struct{ Content []struct{ Text string } }
	if m.Result == nil || json.Unmarshal(m.Result, &result) != nil || len(result.Content) != 1 {
		t.Fatalf("not a tool's result: %s %s %s", m.Method, m.Result, m.Error)
	}
	return result.Content[0].Text
}

// A transcript is a response of which only the text counts.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Header() http.Header { return http.Header{} }
func (l *transcript) WriteHeader(int)     {}
func (l *transcript) Flush()              {}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) comments() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), ": keep-alive\n")
}

func echo() *mcp.Server {
	return oneTool(func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("echo"), nil }, nil)
}

// respond answers a server request of the server through an instance.
func (f *fleet) respond(t testing.TB, n *Node, session string, request *jsonrpcmsg.Message, result string) {
	t.Helper()
	if request.ID == nil || request.Method == "" {
		t.Fatalf("not a server request: %+v", request)
	}
	m := &jsonrpcmsg.Message{ID: request.ID, Result: json.RawMessage(result)}
	if err := n.ForwardResponse(t.Context(), session, m); err != nil {
		t.Fatal(err)
	}
}
