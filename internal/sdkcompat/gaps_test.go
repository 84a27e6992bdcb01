package sdkcompat

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

// The tests of this file use the SDK without mcpfleet. One that fails says that
// the SDK has closed a gap, or works in another way: then the file that names the
// test is to be deleted, or changed.

// A peer is the connection of an SDK session whose client is the test.
type peer struct {
	incoming chan jsonrpc.Message // what the client sends
	outgoing chan jsonrpc.Message // what the server sends; has room for all of it
	writeErr error                // what Write returns for notifications
	close    sync.Once
	closed   chan struct{}
}

func (p *peer) Connect(context.Context) (mcp.Connection, error) { return p, nil }
func (p *peer) SessionID() string                               { return "" }

func (p *peer) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case m := <-p.incoming:
		return m, nil
	case <-p.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *peer) Write(_ context.Context, m jsonrpc.Message) error {
	if r, ok := m.(*jsonrpc.Request); ok && !r.IsCall() && p.writeErr != nil {
		return p.writeErr
	}
	p.outgoing <- m
	return nil
}

func (p *peer) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func newPeer() *peer {
	return &peer{incoming: make(chan jsonrpc.Message), outgoing: make(chan jsonrpc.Message, 100), closed: make(chan struct{})}
}

// connect connects a peer to a server, in a session that has been initialized.
func connect(t *testing.T, server *mcp.Server, state *mcp.ServerSessionState) (*peer, *mcp.ServerSession) {
	t.Helper()
	p := newPeer()
	session, err := server.Connect(t.Context(), p, &mcp.ServerSessionOptions{State: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Close()
		_ = session.Wait()
	})
	return p, session
}

const sessionVersion = "2025-11-25"

func initialized() *mcp.ServerSessionState {
	return SessionState(&mcp.InitializeParams{ClientInfo: &mcp.Implementation{Name: "test"}, Capabilities: &mcp.ClientCapabilities{}}, sessionVersion)
}

// call sends a request and returns the response to it.
func (p *peer) call(t *testing.T, method, params string) *jsonrpc.Response {
	t.Helper()
	p.send(t, method, params)
	for {
		if resp, ok := (<-p.outgoing).(*jsonrpc.Response); ok {
			return resp
		}
	}
}

func (p *peer) send(t *testing.T, method, params string) {
	t.Helper()
	id, err := jsonrpc.MakeID("1")
	if err != nil {
		t.Fatal(err)
	}
	p.incoming <- &jsonrpc.Request{ID: id, Method: method, Params: json.RawMessage(params)}
}

func newServer(opts *mcp.ServerOptions) *mcp.Server {
	return mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, opts)
}

// addTool adds a tool "tool" whose schema has a default.
func addTool(server *mcp.Server, run func(context.Context, *mcp.CallToolRequest)) {
	schema := map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer", "default": 5}}}
	handler := func(ctx context.Context, req *mcp.CallToolRequest, _ struct{ N int }) (*mcp.CallToolResult, any, error) {
		run(ctx, req)
		return &mcp.CallToolResult{Content: []mcp.Content{}}, nil, nil
	}
	mcp.AddTool(server, &mcp.Tool{Name: "tool", InputSchema: schema}, handler)
}

func TestUndecodableParamsNameGoTypes(t *testing.T) {
	t.Parallel()
	server := newServer(nil)
	addTool(server, func(context.Context, *mcp.CallToolRequest) {})
	p, _ := connect(t, server, initialized())
	resp := p.call(t, "tools/call", `{"name":7}`)
	if resp.Error == nil || !strings.Contains(resp.Error.Error(), "*mcp.") {
		t.Fatalf("the SDK answers %v, without its types", resp.Error)
	}
	const want = `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"handling 'tools/call': invalid params: \"name\" has another type than it should"}}`
	if diff := cmp.Diff(want, string(EncodeResponse(json.RawMessage("1"), resp))); diff != "" {
		t.Error("the SDK's text has changed (-want +got)\n" + diff)
	}
	if diff := cmp.Diff(want, string(WithoutGoTypes(jsonrpcmsg.EncodeError(json.RawMessage("1"), resp.Error)))); diff != "" {
		t.Error("in an encoded message (-want +got)\n" + diff)
	}
}

func TestPlainErrorsHaveCodeZero(t *testing.T) {
	t.Parallel()
	server := newServer(nil)
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(context.Context, string, mcp.Request) (mcp.Result, error) { return nil, errors.New("plain") }
	})
	p, _ := connect(t, server, initialized())
	resp := p.call(t, "ping", `{}`)
	wire := new(jsonrpc.Error)
	if resp.Error == nil || errors.As(resp.Error, &wire) && wire.Code != 0 {
		t.Errorf("the SDK answers %v with code %d", resp.Error, wire.Code)
	}
}

// The panics are on the SDK's goroutines, so they are provoked in processes of
// their own.
func panics(t *testing.T, want string, provoke func()) {
	t.Helper()
	const child = "SDKCOMPAT_TEST_PANIC"
	if os.Getenv(child) == t.Name() {
		provoke()
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd.Env = append(os.Environ(), child+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "panic: "+want) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNullArgumentsPanic(t *testing.T) {
	t.Parallel()
	panics(t, "assignment to entry in nil map", func() {
		server := newServer(nil)
		addTool(server, func(context.Context, *mcp.CallToolRequest) {})
		p, _ := connect(t, server, initialized())
		p.call(t, "tools/call", `{"name":"tool","arguments":null}`)
	})
}

func TestAPanicEndsTheProcess(t *testing.T) {
	t.Parallel()
	t.Run("of_a_handler", func(t *testing.T) {
		t.Parallel()
		panics(t, "one tool", func() {
			server := newServer(nil)
			addTool(server, func(context.Context, *mcp.CallToolRequest) { panic("one tool") })
			p, _ := connect(t, server, initialized())
			p.call(t, "tools/call", `{"name":"tool","arguments":{}}`)
		})
	})
	t.Run("at_a_typed_nil", func(t *testing.T) {
		t.Parallel()
		panics(t, "runtime error: invalid memory address or nil pointer dereference", func() {
			server := newServer(nil)
			server.AddTool(&mcp.Tool{Name: "tool", InputSchema: json.RawMessage(`{"type":"object"}`)},
				func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return nil, nil })
			stateless(t, server, "tools/call", "tool", `,"name":"tool","arguments":{}`, func(*http.Request) {})
			time.Sleep(time.Minute) // the panic is on another goroutine
		})
	})
}

func TestAResultThatIsNotJSONGetsNoResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(nil)
		server.AddTool(&mcp.Tool{Name: "tool", InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return &mcp.CallToolResult{StructuredContent: json.RawMessage("")}, nil
			})
		p, _ := connect(t, server, initialized())
		p.send(t, "tools/call", `{"name":"tool","arguments":{}}`)
		synctest.Wait()
		if len(p.outgoing) > 0 {
			t.Errorf("the SDK answers: %v", <-p.outgoing)
		}
	})
}

// Not parallel: it looks for the SDK's goroutine among all.
func TestKeepAliveOutlivesTheConnection(t *testing.T) {
	pinging := func() bool {
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "mcp.startKeepalive")
	}
	synctest.Test(t, func(t *testing.T) {
		for _, every := range []time.Duration{0, time.Hour} {
			server := newServer(&mcp.ServerOptions{KeepAlive: every})
			if keepAlive.isSet(server) != (every > 0) {
				t.Errorf("KeepAlive %v: isSet says otherwise", every)
			}
			p, session := connect(t, server, initialized())
			done := make(chan struct{})
			StopKeepAlive(server, session, done)
			_ = p.Close()
			if pinging() != (every > 0) {
				t.Errorf("KeepAlive %v: after the end of the connection, there is a goroutine: %v", every, pinging())
			}
			close(done)
			if pinging() {
				t.Errorf("KeepAlive %v: StopKeepAlive has not stopped it", every)
			}
			if err := session.Ping(t.Context(), nil); !strings.Contains(err.Error(), "EOF") {
				t.Errorf("KeepAlive %v: the session no longer says why it has ended: %v", every, err)
			}
		}
	})
}

// stateless sends a request of protocol 2026-07-28 to the SDK's own handler.
func stateless(t *testing.T, server *mcp.Server, method, name, params string, change func(*http.Request)) (status int, body string) {
	t.Helper()
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"},` +
		`"io.modelcontextprotocol/clientCapabilities":{}}`
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+meta+params+`}}`))
	for header, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": name,
	} {
		if value != "" {
			r.Header.Set(header, value)
		}
	}
	change(r)
	w := httptest.NewRecorder()
	mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true}).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestResultsArePublicByDefault(t *testing.T) {
	t.Parallel()
	silent := newServer(nil)
	if DecidesCaching(silent) {
		t.Error("a server without SetCacheable decides")
	}
	if !DecidesCaching(newServer(&mcp.ServerOptions{SetCacheable: func(context.Context, mcp.Request, *mcp.Cacheable) {}})) {
		t.Error("a server with SetCacheable does not decide")
	}
	if status, body := stateless(t, silent, "tools/list", "", "", func(*http.Request) {}); status != http.StatusOK || !strings.Contains(body, `"cacheScope":"public"`) {
		t.Errorf("the SDK answers %d %s", status, body)
	}
}

func TestServerNamesAreNotTold(t *testing.T) {
	t.Parallel()
	if name := ServerName(mcp.NewServer(&mcp.Implementation{Name: "greeter", Version: "1"}, nil)); name != "greeter" {
		t.Errorf("it is read as %q", name)
	}
	if name := ServerName(nil); name != "" {
		t.Errorf("without a server there is the name %q", name)
	}
	for method := range reflect.TypeFor[*mcp.Server]().Methods() {
		if method.Type.NumOut() == 1 && method.Type.Out(0) == reflect.TypeFor[*mcp.Implementation]() {
			t.Errorf("%s tells it", method.Name)
		}
	}
}

func TestRootsAreNotDecoded(t *testing.T) {
	t.Parallel()
	raw := json.RawMessage(`{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true}},"clientInfo":{"name":"test","version":"1"}}`)
	var plain mcp.InitializeParams
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatal(err)
	}
	if plain.Capabilities.RootsV2 != nil {
		t.Error("the SDK decodes RootsV2")
	}
	if p, err := DecodeInitialize(raw); err != nil || p.Capabilities.RootsV2 == nil || !p.Capabilities.RootsV2.ListChanged {
		t.Errorf("decoded: %+v, %v", p, err)
	}
}

func TestListenIsServedInSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(nil)
		addTool(server, func(context.Context, *mcp.CallToolRequest) {})
		p, _ := connect(t, server, initialized())
		m := &jsonrpcmsg.Message{Method: "subscriptions/listen", Params: json.RawMessage(`{"notifications":{"toolsListChanged":true}}`)}
		resp := p.call(t, WithoutListen(m).Method, string(m.Params))
		if wire := new(jsonrpc.Error); !errors.As(resp.Error, &wire) || wire.Code != jsonrpc.CodeMethodNotFound {
			t.Errorf("under another name: %v", resp.Error)
		}
		p.send(t, m.Method, string(m.Params))
		synctest.Wait()
		for len(p.outgoing) > 0 {
			if resp, ok := (<-p.outgoing).(*jsonrpc.Response); ok {
				t.Errorf("the SDK answers: %s %v", resp.Result, resp.Error)
			}
		}
	})
}

func TestSessionStateDecidesWhatIsSent(t *testing.T) {
	t.Parallel()
	server := newServer(nil)
	// A client that asked for 2026-07-28, and agreed on a version with sessions.
	asked := initialized()
	asked.InitializeParams.ProtocolVersion = "2026-07-28"
	_, session := connect(t, server, asked)
	if err := session.Ping(canceled(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ping: %v", err)
	}
	if _, err := session.ListRoots(canceled(t), nil); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the SDK asks the client by the version agreed on: %v", err)
	}
	_, session = connect(t, server, SessionState(asked.InitializeParams, sessionVersion))
	if _, err := session.ListRoots(canceled(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with the version agreed on in the parameters: %v", err)
	}

	// A way to change the level of a session would be one of these.
	var names []string
	for m := range reflect.TypeFor[*mcp.ServerSession]().Methods() {
		names = append(names, m.Name)
	}
	for f := range reflect.TypeFor[mcp.ServerSessionState]().Fields() {
		names = append(names, f.Name)
	}
	want := []string{
		"Close", "CreateMessage", "CreateMessageWithTools", "Elicit", "ID", "InitializeParams", "ListRoots", "Log",
		"NotifyElicitationComplete", "NotifyProgress", "Ping", "Wait",
		"InitializeParams", "InitializedParams", "NegotiatedProtocolVersion", "LogLevel",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error("sessions of the SDK have other methods or another state (-want +got)\n" + diff)
	}
}

func TestElicitationThatIsRefusedHasNoCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		can  *mcp.ElicitationCapabilities
		asks *mcp.ElicitParams
		mode string
	}{
		{nil, &mcp.ElicitParams{Message: "?"}, ""},
		{&mcp.ElicitationCapabilities{}, &mcp.ElicitParams{URL: "https://example.com/", ElicitationID: "e"}, "url"},
		{&mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}, &mcp.ElicitParams{Message: "?"}, "form"},
	} {
		client := &mcp.InitializeParams{Capabilities: &mcp.ClientCapabilities{Elicitation: test.can}}
		_, session := connect(t, newServer(nil), SessionState(client, sessionVersion))
		_, err := session.Elicit(canceled(t), test.asks)
		if err == nil || errors.As(err, new(*jsonrpc.Error)) {
			t.Errorf("the SDK's error is %#v", err)
		} else if mode, ok := CannotElicit(err); !ok || mode != test.mode {
			t.Errorf("%v is known as %q, %t", err, mode, ok)
		}
	}
	for _, other := range []error{context.Canceled, errors.New("client does not support sampling"), errors.New("elicitation")} {
		if _, ok := CannotElicit(other); ok {
			t.Errorf("%q is taken for a refusal", other)
		}
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestAWriteErrorBreaksTheConnection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		err    error
		breaks bool
	}{
		{"plain", errors.New("one message cannot be sent"), true},
		{"rejected", Rejected(errors.New("one message cannot be sent")), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				broken := make(chan bool, 1)
				server := newServer(nil)
				addTool(server, func(ctx context.Context, req *mcp.CallToolRequest) {
					_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{})
					synctest.Wait()
					broken <- ctx.Err() != nil
				})
				p, _ := connect(t, server, initialized())
				p.writeErr = test.err
				p.send(t, "tools/call", `{"name":"tool","arguments":{}}`)
				if got := <-broken; got != test.breaks {
					t.Errorf("the handler's context has ended: %v", got)
				}
				synctest.Wait()
				if responded := len(p.outgoing) > 0; responded == test.breaks {
					t.Errorf("there is a response: %v", responded)
				}
			})
		})
	}
}

func TestListChangesReachEverySession(t *testing.T) {
	t.Parallel()
	server := newServer(nil)
	addTool(server, func(context.Context, *mcp.CallToolRequest) {})
	p, _ := connect(t, server, initialized())
	mcp.AddTool(server, &mcp.Tool{Name: "another"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return nil, nil, nil
	})
	m, ok := (<-p.outgoing).(*jsonrpc.Request)
	if !ok || m.Method != "notifications/tools/list_changed" || !IsBroadcast(m.Method) {
		t.Errorf("the SDK sends %v", m)
	}
}

func TestProgressTokensAreReadAsFloats(t *testing.T) {
	t.Parallel()
	server := newServer(nil)
	tokens := make(chan any, 1)
	addTool(server, func(_ context.Context, req *mcp.CallToolRequest) { tokens <- req.Params.GetProgressToken() })
	p, _ := connect(t, server, initialized())
	p.call(t, "tools/call", `{"name":"tool","arguments":{},"_meta":{"progressToken":9007199254740993}}`)
	if got, err := json.Marshal(<-tokens); err != nil || string(got) != "9007199254740992" {
		t.Errorf("the SDK reads the token as %s, %v", got, err)
	}
}

// Large arguments of typed tools are rounded on their way to the handler: when the
// schema is applied they are decoded into floats.
func TestInt64ArgumentsAreRounded(t *testing.T) {
	t.Parallel()
	server := newServer(nil)
	got := make(chan int64, 1)
	mcp.AddTool(server, &mcp.Tool{Name: "tool"}, func(_ context.Context, _ *mcp.CallToolRequest, in struct{ N int64 }) (*mcp.CallToolResult, any, error) {
		got <- in.N
		return &mcp.CallToolResult{Content: []mcp.Content{}}, nil, nil
	})
	p, _ := connect(t, server, initialized())
	if resp := p.call(t, "tools/call", `{"name":"tool","arguments":{"N":9007199254740993}}`); resp.Error != nil {
		t.Fatal(resp.Error)
	}
	if n := <-got; n != 9007199254740992 {
		t.Errorf("the handler gets %d", n)
	}
}

func TestSupportedVersionsAreThoseOfTheOption(t *testing.T) {
	t.Parallel()
	all := mcp.SupportedProtocolVersions()
	if diff := cmp.Diff(all, SupportedVersions(newServer(nil))); diff != "" {
		t.Error("without the option (-want +got)\n" + diff)
	}
	server := newServer(&mcp.ServerOptions{SupportedProtocolVersions: []string{"2025-06-18", "2026-07-28"}})
	want := []string{"2026-07-28", "2025-06-18"}
	if diff := cmp.Diff(want, SupportedVersions(server)); diff != "" {
		t.Error("with the option (-want +got)\n" + diff)
	}
	// A server says so to server/discover, which a message of every request would cost.
	p, _ := connect(t, server, nil)
	p.send(t, "server/discover", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}`)
	var said mcp.DiscoverResult
	if err := json.Unmarshal((<-p.outgoing).(*jsonrpc.Response).Result, &said); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, said.SupportedVersions); diff != "" {
		t.Error("the server says otherwise (-want +got)\n" + diff)
	}
}
