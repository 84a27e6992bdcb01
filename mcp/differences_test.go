package mcp_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// The tests of this file compare our handler with the SDK's, whose own tests were
// read for what users of it may rely on. docs/migrating.md has what differs.

// An answer is what tells one HTTP response from another.
type answer struct {
	status int
	media  string // the media type, or the beginning of it
	body   string // the body has this
}

// fits reads no more of the response than it needs, which may be an open stream.
func (a answer) fits(t *testing.T, who string, res *http.Response) {
	t.Helper()
	media := res.Header.Get("Content-Type")
	if res.StatusCode != a.status || !strings.HasPrefix(media, a.media) || a.media == "" && media != "" {
		t.Errorf("%s: %s %q, want %d %q", who, res.Status, media, a.status, a.media)
	}
	var read bytes.Buffer
	for chunk := make([]byte, 1000); !strings.Contains(read.String(), a.body); {
		n, err := res.Body.Read(chunk)
		read.Write(chunk[:n])
		if err != nil && !strings.Contains(read.String(), a.body) {
			t.Errorf("%s: %q has no %q", who, read.String(), a.body)
			return
		}
	}
}

// valueKey is the context key of what middleware knows of a request.
type valueKey struct{}

func withValue(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), valueKey{}, r.Header.Get("Value"))))
	})
}

func comparedServer() *mcp.Server {
	s := newRig(nil).server()
	tool(s, "value", func(ctx context.Context, _ *mcp.CallToolRequest, _ toolArguments) (string, error) {
		return fmt.Sprintf("value %v", ctx.Value(valueKey{})), nil
	})
	tool(s, "break", func(_ context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
		req.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: time.Millisecond})
		return "closed", nil
	})
	return s
}

func TestHTTPBesideTheSDKsHandler(t *testing.T) {
	t.Parallel()
	const events, body, text = "text/event-stream", "application/json", "text/plain"
	begun := func(version string, then func(*testing.T, *fleettest.Client) *http.Response) func(*testing.T, *fleettest.Client) *http.Response {
		return func(t *testing.T, c *fleettest.Client) *http.Response {
			c.Header.Set("Value", "initialize")
			c.Initialize(t, version, "{}")
			return then(t, c)
		}
	}
	get := func(t *testing.T, c *fleettest.Client, change ...func(http.Header)) *http.Response {
		res, err := c.Do(t.Context(), "GET", "", change...)
		must(t, err)
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	post := func(message string, change ...func(http.Header)) func(*testing.T, *fleettest.Client) *http.Response {
		return func(t *testing.T, c *fleettest.Client) *http.Response { return c.Post(t, message, change...) }
	}
	initialize := func(version string) string {
		return fleettest.Request(1, "initialize", fmt.Sprintf(`{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"raw","version":"1"}}`, version))
	}
	echo := toolCall(1, "echo", `{"text":"hi"}`)
	for name, test := range map[string]struct {
		do        func(*testing.T, *fleettest.Client) *http.Response
		sdk, ours answer
	}{
		"a call that sends nothing else": {begun("2025-06-18", post(echo)),
			answer{200, events, `"text":"hi"`}, answer{200, body, `"text":"hi"`}},
		"a call without a session": {post(echo),
			answer{200, events, "invalid during session initialization"}, answer{400, body, "Mcp-Session-Id header is required"}},
		"a ping without a session": {post(fleettest.Request(1, "ping", "{}")),
			answer{200, events, `"result":{}`}, answer{400, body, "Mcp-Session-Id header is required"}},
		"a notification without a session": {post(notification),
			answer{202, "", ""}, answer{400, body, "Mcp-Session-Id header is required"}},
		"a method that is unknown": {begun("2025-06-18", post(fleettest.Request(1, "unknown", "{}"))),
			answer{400, text, "unsupported"}, answer{200, body, `"code":-32601`}},
		"a notification that is unknown": {begun("2025-06-18", post(`{"jsonrpc":"2.0","method":"notifications/unknown"}`)),
			answer{400, text, "unsupported"}, answer{202, "", ""}},
		"a call without an id": {begun("2025-06-18", post(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}`)),
			answer{400, text, "missing id"}, answer{202, "", ""}},
		"a call without params": {begun("2025-06-18", post(`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`)),
			answer{400, text, "missing required"}, answer{200, body, `"code":-32600`}},
		"a notification with an id": {begun("2025-06-18", post(`{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}`)),
			answer{400, text, "unexpected id"}, answer{200, body, `"code":-32600`}},
		"initialize again": {begun("2025-06-18", post(initialize("2025-06-18"))),
			answer{200, events, "duplicate"}, answer{400, body, "has been initialized"}},
		"a refusal": {begun("2025-06-18", post(echo, set("Content-Type", "text/html"))),
			answer{415, text, "Content-Type must be"}, answer{415, body, `"error":{"code":-32000`}},
		"a client that accepts JSON only": {begun("2025-06-18", post(echo, set("Accept", "application/json"))),
			answer{400, text, "Accept must contain"}, answer{406, body, "Accept must contain"}},
		"a GET that accepts JSON only": {begun("2025-06-18", func(t *testing.T, c *fleettest.Client) *http.Response {
			return get(t, c, set("Accept", "application/json"))
		}),
			answer{400, text, "Accept must contain"}, answer{406, body, "Accept must contain"}},
		"a second GET": {begun("2025-11-25", func(t *testing.T, c *fleettest.Client) *http.Response { get(t, c); return get(t, c) }),
			answer{409, text, "conflicts"}, answer{200, events, ""}},
		"resuming what there is no more": {begun("2025-11-25", func(t *testing.T, c *fleettest.Client) *http.Response {
			return get(t, c, set("Last-Event-ID", "g.0.AAAAAA"))
		}),
			answer{400, text, "Last-Event-ID"}, answer{200, events, "notifications/tools/list_changed"}},
		"a POST with Last-Event-ID": {begun("2025-06-18", post(echo, set("Last-Event-ID", "x"))),
			answer{400, text, "Last-Event-ID"}, answer{200, body, `"text":"hi"`}},
		"a batch by the session's version": {begun("2025-03-26", post(array(echo), set("Mcp-Protocol-Version", "2025-06-18"))),
			answer{400, text, "batch"}, answer{200, body, `[{"jsonrpc":"2.0"`}},
		"a batch by the header": {begun("2025-06-18", post(array(echo), set("Mcp-Protocol-Version", "2025-03-26"))),
			answer{200, events, `"text":"hi"`}, answer{400, body, "batches"}},
		"initialize in a batch": {post(array(initialize("2025-03-26"))),
			answer{200, events, `"protocolVersion"`}, answer{400, body, "batches"}},
		"a closed stream": {begun("2025-11-25", post(toolCall(1, "break", "{}"))),
			answer{200, events, "event: close"}, answer{200, events, "retry: 1"}},
		"values of the context": {begun("2025-06-18", post(toolCall(1, "value", "{}"), set("Value", "call"))),
			answer{200, events, "value initialize"}, answer{200, body, "value call"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := comparedServer()
			sdk := httptest.NewServer(withValue(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)))
			defer sdk.Close()
			defer sdk.CloseClientConnections()
			test.sdk.fits(t, "the SDK's", test.do(t, fleettest.NewClient(t, sdk.URL)))
			ours := fleettest.Start(t, fleettest.Config{Server: comparedServer, Wrap: withValue})
			test.ours.fits(t, "ours", test.do(t, fleettest.NewClient(t, ours.URL)))
		})
	}
}

// The SDK's stateless handler needs no initialize, whatever the protocol.
func TestStatelessHandlerOfTheSDKServesCallsWithoutASession(t *testing.T) {
	t.Parallel()
	server := comparedServer()
	sdk := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true}))
	defer sdk.Close()
	call := toolCall(1, "echo", `{"text":"hi"}`)
	answer{200, "text/event-stream", `"text":"hi"`}.fits(t, "the SDK's", fleettest.NewClient(t, sdk.URL).Post(t, call))
	ours := fleettest.NewClient(t, fleettest.Start(t, fleettest.Config{Server: comparedServer}).URL)
	answer{400, "application/json", "Mcp-Session-Id header is required"}.fits(t, "ours", ours.Post(t, call))
	ours.Version = statelessVersion
	answer{200, "application/json", `"text":"hi"`}.fits(t, "ours, 2026-07-28", statelessCall(t, ours, "echo", `{"text":"hi"}`))
}

// The SDK's handler for HTTP+SSE is one, and its sessions live in it.
func TestHTTPSSEBesideTheSDKsHandler(t *testing.T) {
	t.Parallel()
	server := comparedServer()
	sdk := httptest.NewServer(mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return server }, nil))
	defer sdk.Close()
	defer sdk.CloseClientConnections()
	c := fleettest.NewClient(t, sdk.URL)
	stream := c.Get(t, "")
	event, err := stream.Next()
	must(t, err)
	if event.Name != "endpoint" || !strings.HasPrefix(string(event.Data), "/?sessionid=") {
		t.Fatalf("the SDK's endpoint: %+v", event)
	}
	c.URL += string(event.Data)
	answer{400, "text/plain", "unsupported"}.fits(t, "the SDK's", c.Post(t, fleettest.Request(1, "unknown", "{}")))

	simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
		c := s.sse(t, 0, "")
		if !strings.Contains(c.URL, "/message?sessionId=") {
			t.Errorf("our endpoint: %s", c.URL)
		}
		if m := c.call(t, fleettest.Request(1, "unknown", "{}")); !strings.Contains(string(m.Error), `"code":-32601`) {
			t.Errorf("an unknown method: %s", m.Error)
		}
	})
}

// A server asks only what its client has declared; the SDK asks whatever a handler
// asks.
func TestClientsAreAskedOnlyWhatTheyDeclare(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.client(t)
		c.Initialize(t, "2025-11-25", "{}")
		for _, kind := range []string{"roots", "sampling", "form", "url"} {
			began := time.Now()
			if m := c.CallTool(t, "ask", fmt.Sprintf(`{"name":%q}`, kind)); m.Error == nil || !strings.Contains(string(m.Error), "client does not support") {
				t.Errorf("%s: %s%s", kind, m.Result, m.Error)
			}
			if took := time.Since(began); took > atOnce {
				t.Errorf("%s: answered after %v", kind, took)
			}
		}
	})
}

// With the SDK's handler, Close ends the client's session.
func TestClosingAServerSessionEndsItsRequestOnly(t *testing.T) {
	t.Parallel()
	var kept *mcp.ServerSession
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "keep", func(_ context.Context, req *mcp.CallToolRequest, _ toolArguments) (string, error) {
			kept = req.Session
			return kept.ID(), nil
		})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		wantText(t, c.CallTool(t, "keep", "{}"), c.Session)
		synctest.Wait()
		must(t, kept.Close())
		if err := kept.Wait(); err == nil || !strings.Contains(err.Error(), "the request this session was connected for has ended") {
			t.Errorf("Wait: %v", err)
		}
		wantText(t, c.CallTool(t, "keep", "{}"), c.Session)
		must(t, s.instances[0].handler.Sessions().Delete(t.Context(), c.Session))
		if got := read(t, c.Post(t, toolCall(1, "keep", "{}"))); got.Status != http.StatusNotFound {
			t.Errorf("after Delete: %+v", got)
		}
	})
}

// With the SDK's handler a notification's handler has returned before the next
// message is looked at.
func TestMessagesOfASessionAreNotHandledInOrder(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		entered, leave := make(chan struct{}, 1), make(chan struct{})
		server := mcp.NewServer(&mcp.Implementation{Name: "rig", Version: "1"}, &mcp.ServerOptions{
			RootsListChangedHandler: func(context.Context, *mcp.RootsListChangedRequest) {
				entered <- struct{}{}
				<-leave
			},
		})
		tool(server, "echo", func(_ context.Context, _ *mcp.CallToolRequest, a toolArguments) (string, error) { return a.Text, nil })
		c := at(s.session(t), s.joinWith(t, server).url)
		c.Notify(t, "notifications/roots/list_changed", "{}")
		soon(t, entered)
		wantText(t, c.CallTool(t, "echo", `{"text":"meanwhile"}`), "meanwhile")
		close(leave)
	})
}
