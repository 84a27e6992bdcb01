package everything_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// One revision with requests in both directions, and one with requests of the
// client only.
const (
	v2025 = "2025-11-25"
	v2026 = "2026-07-28"
)

// connect connects a new client to a server over an in-memory transport.
func connect(t *testing.T, server *mcp.Server, version string, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	clientEnd, serverEnd := mcp.NewInMemoryTransports()
	ss, err := server.Connect(t.Context(), serverEnd, nil)
	if err != nil {
		t.Fatal(err)
	}
	cs := connectClient(t, clientEnd, version, opts)
	t.Cleanup(func() { _ = ss.Wait() })
	t.Cleanup(func() { _ = cs.Close() })
	return cs
}

// connectHTTP connects a new client to a server over the SDK's HTTP handler: a
// stateful one for 2025 and a stateless one for 2026, as the SDK demands.
func connectHTTP(t *testing.T, server *mcp.Server, version string, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	endpoint := serveHTTP(t, server, version)
	cs := connectClient(t, &mcp.StreamableClientTransport{Endpoint: endpoint}, version, opts)
	t.Cleanup(func() { _ = cs.Close() })
	return cs
}

func serveHTTP(t *testing.T, server *mcp.Server, version string) (endpoint string) {
	t.Helper()
	handler := mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: version == v2026},
	)
	httpServer := httptest.NewServer(handler)
	t.Cleanup(httpServer.Close)
	return httpServer.URL
}

func connectClient(t *testing.T, transport mcp.Transport, version string, opts *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "0"}, opts)
	cs, err := client.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	if got := cs.InitializeResult().ProtocolVersion; got != version {
		t.Fatalf("negotiated %s, want %s", got, version)
	}
	return cs
}

// everyWay runs a test once for every revision and transport.
func everyWay(t *testing.T, test func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession)) {
	t.Helper()
	for _, version := range []string{v2025, v2026} {
		t.Run(version+"/memory", func(t *testing.T) {
			t.Parallel()
			test(t, func(opts *mcp.ClientOptions) *mcp.ClientSession {
				return connect(t, everything.New(nil), version, opts)
			})
		})
		t.Run(version+"/http", func(t *testing.T) {
			t.Parallel()
			test(t, func(opts *mcp.ClientOptions) *mcp.ClientSession {
				return connectHTTP(t, everything.New(nil), version, opts)
			})
		})
	}
}

// everyWayToAsk is everyWay for tools that ask the client: from 2026-07-28 on, they
// need package mcp of this module, behind which each request goes to another instance.
func everyWayToAsk(t *testing.T, test func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession)) {
	t.Helper()
	t.Run(v2025+"/memory", func(t *testing.T) {
		t.Parallel()
		test(t, func(opts *mcp.ClientOptions) *mcp.ClientSession {
			return connect(t, everything.New(nil), v2025, opts)
		})
	})
	t.Run(v2025+"/http", func(t *testing.T) {
		t.Parallel()
		test(t, func(opts *mcp.ClientOptions) *mcp.ClientSession {
			return connectHTTP(t, everything.New(nil), v2025, opts)
		})
	})
	t.Run(v2026+"/fleet", func(t *testing.T) {
		t.Parallel()
		fleet := startFleet(t)
		test(t, func(opts *mcp.ClientOptions) *mcp.ClientSession { return fleet.ConnectStateless(t, opts) })
	})
}

// startFleet runs a fleet of two instances, which get requests in turns and agree on
// what is switched on.
func startFleet(t *testing.T) *fleettest.Fleet {
	t.Helper()
	opts := &everything.Options{Switch: &sharedSwitch{}}
	return fleettest.Start(t, fleettest.Config{Server: func() *mcp.Server { return everything.New(opts) }})
}

// call calls a tool and fails the test on a protocol error.
func call(t *testing.T, cs *mcp.ClientSession, name string, args any) *mcp.CallToolResult {
	t.Helper()
	res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return res
}

// soleText returns the text of a result that must be one text block.
func soleText(t *testing.T, res *mcp.CallToolResult) string {
	t.Helper()
	if len(res.Content) != 1 {
		t.Fatalf("result has %d content blocks, want 1: %s", len(res.Content), encode(t, res))
	}
	text, ok := res.Content[0].(*mcp.TextContent)
	if !ok {
		t.Fatalf("result is a %T, want a text", res.Content[0])
	}
	return text.Text
}

// wantText checks that a call succeeds with this text.
func wantText(t *testing.T, res *mcp.CallToolResult, want string) {
	t.Helper()
	if diff := cmp.Diff(want, soleText(t, res)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if res.IsError {
		t.Error("isError is set")
	}
}

// wantToolError checks that a call failed as a tool, with a text that contains want.
func wantToolError(t *testing.T, res *mcp.CallToolResult, want string) {
	t.Helper()
	text := soleText(t, res)
	if !res.IsError {
		t.Errorf("isError is not set, text %q", text)
	}
	if !strings.Contains(text, want) {
		t.Errorf("text is %q, want it to contain %q", text, want)
	}
}

// wantRPCError checks that err is a JSON-RPC error and returns it.
func wantRPCError(t *testing.T, err error, code int64, message string) *jsonrpc.Error {
	t.Helper()
	var rpcErr *jsonrpc.Error
	if !errors.As(err, &rpcErr) {
		t.Fatalf("error is %v, want JSON-RPC error %d", err, code)
	}
	if rpcErr.Code != code {
		t.Errorf("code is %d, want %d (%v)", rpcErr.Code, code, err)
	}
	if !strings.Contains(rpcErr.Message, message) {
		t.Errorf("message is %q, want it to contain %q", rpcErr.Message, message)
	}
	return rpcErr
}

// wantJSON checks that got encodes to the same JSON value as want.
func wantJSON(t *testing.T, got any, want string) {
	t.Helper()
	if diff := cmp.Diff(decode(t, []byte(want)), decode(t, encode(t, got))); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

// without returns the JSON value of v, a list of objects, without some members
// of each.
func without(t *testing.T, v any, members ...string) any {
	t.Helper()
	list := decode(t, encode(t, v)).([]any)
	for _, object := range list {
		maps.DeleteFunc(object.(map[string]any), func(name string, _ any) bool {
			return slices.Contains(members, name)
		})
	}
	return list
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// wire sends HTTP requests of 2025-11-25 without a client, to see which stream has
// which message.
type wire struct {
	endpoint, session string
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{endpoint: serveHTTP(t, everything.New(nil), v2025)}
	w.post(t, `{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"`+v2025+`",
		"capabilities":{},"clientInfo":{"name":"wire","version":"0"}}}`)
	w.post(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return w
}

// post sends one message and returns the messages on the stream of its response.
func (w *wire) post(t *testing.T, body string) []map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if w.session != "" {
		req.Header.Set("Mcp-Session-Id", w.session)
		req.Header.Set("Mcp-Protocol-Version", v2025)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" {
		w.session = id
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode/100 != 2 {
		t.Fatalf("status %s: %s", resp.Status, data)
	}
	return events(t, data)
}

func events(t *testing.T, stream []byte) []map[string]any {
	t.Helper()
	var messages []map[string]any
	for line := range bytes.Lines(stream) {
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok || len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		messages = append(messages, decode(t, data).(map[string]any))
	}
	return messages
}

// post2026 sends one request of 2026-07-28 without a client, with the given
// params, to which it adds what every request has, and returns the response.
func post2026(t *testing.T, endpoint, method, params string) map[string]any {
	t.Helper()
	with := decode(t, []byte(params)).(map[string]any)
	with["_meta"] = map[string]any{
		"io.modelcontextprotocol/protocolVersion": v2026,
		"io.modelcontextprotocol/clientCapabilities": map[string]any{
			"roots": map[string]any{}, "sampling": map[string]any{"tools": map[string]any{}},
			"elicitation": map[string]any{"form": map[string]any{}, "url": map[string]any{}},
		},
	}
	body := encode(t, map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": with})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Protocol-Version", v2026)
	req.Header.Set("Mcp-Method", method)
	if name, ok := with["name"].(string); ok {
		req.Header.Set("Mcp-Name", name)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	// The response is the body or the one event of a stream.
	_, response, _ := strings.Cut(string(data), "{")
	return decode(t, []byte("{"+response)).(map[string]any)
}

// answer2026 calls a tool that asks one question, and calls it again with the answer.
func answer2026(t *testing.T, endpoint, name, answer string) map[string]any {
	t.Helper()
	asked := post2026(t, endpoint, "tools/call", `{"name": "`+name+`"}`)["result"].(map[string]any)
	answers := map[string]any{}
	for key := range asked["inputRequests"].(map[string]any) {
		answers[key] = json.RawMessage(answer)
	}
	return post2026(t, endpoint, "tools/call", string(encode(t, map[string]any{
		"name": name, "requestState": asked["requestState"], "inputResponses": answers,
	})))
}

// wantQuestion checks that a tool that is called by a client of 2026-07-28 asks one
// question.
func wantQuestion(t *testing.T, tool, want string) {
	t.Helper()
	result := post2026(t, startFleet(t).URL, "tools/call", `{"name": "`+tool+`"}`)["result"].(map[string]any)
	if state, _ := result["requestState"].(string); result["resultType"] != "input_required" || state == "" {
		t.Errorf("result %v", result)
	}
	var asked []any
	for _, request := range result["inputRequests"].(map[string]any) {
		asked = append(asked, request)
	}
	wantJSON(t, asked, "["+want+"]")
}
