package mcp_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		for _, test := range []struct {
			body    string
			id      string
			code    int
			message string
		}{
			{`{`, "null", -32700, "malformed JSON"},
			{` `, "null", -32700, "malformed JSON"},
			{`{"jsonrpc":"2.0"} {`, "null", -32700, "malformed JSON"},
			{`{"jsonrpc":"2.0","id":1,"method":"ping"`, "null", -32700, "malformed JSON"},
			{`"text"`, "null", -32600, "a JSON-RPC message is an object"},
			{`7`, "null", -32600, "a JSON-RPC message is an object"},
			{`null`, "null", -32600, "a JSON-RPC message is an object"},
			{`{}`, "null", -32600, `"jsonrpc" must be "2.0"`},
			{`{"id":1,"method":"ping"}`, "1", -32600, `"jsonrpc" must be "2.0"`},
			{`{"jsonrpc":"1.0","id":"a","method":"ping"}`, `"a"`, -32600, `"jsonrpc" must be "2.0"`},
			{`{"jsonrpc":2.0,"id":1,"method":"ping"}`, "1", -32600, `"jsonrpc" must be "2.0"`},
			{`{"jsonrpc":"2.0","id":1,"method":7}`, "1", -32600, `"method" must be a non-empty string`},
			{`{"jsonrpc":"2.0","id":1,"method":""}`, "1", -32600, `"method" must be a non-empty string`},
			{`{"jsonrpc":"2.0","id":1,"method":null}`, "1", -32600, `"method" must be a non-empty string`},
			{`{"jsonrpc":"2.0","id":1,"Method":"ping"}`, "1", -32600, "a response has either a result or an error"},
			{`{"jsonrpc":"2.0","id":null,"method":"ping"}`, "null", -32600, "an id is a string or an integer"},
			{`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, "null", -32600, "an id is a string or an integer"},
			{`{"jsonrpc":"2.0","id":1e3,"method":"ping"}`, "null", -32600, "an id is a string or an integer"},
			{`{"jsonrpc":"2.0","id":true,"method":"ping"}`, "null", -32600, "an id is a string or an integer"},
			{`{"jsonrpc":"2.0","id":{},"method":"ping"}`, "null", -32600, "an id is a string or an integer"},
			{`{"jsonrpc":"2.0","id":[1],"method":"ping"}`, "null", -32600, "an id is a string or an integer"},
			{`{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, "1", -32600, `"params" must be an object`},
			{`{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}`, "1", -32600, `"params" must be an object`},
			{`{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, "1", -32600, "a request has no result and no error"},
			{`{"jsonrpc":"2.0"}`, "null", -32600, "a message needs a method or an id"},
			{`{"jsonrpc":"2.0","id":1}`, "1", -32600, "a response has either a result or an error"},
			{`{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}`, "1", -32600, "a response has either a result or an error"},
			{`{"jsonrpc":"2.0","id":1,"error":"text"}`, "1", -32600, `"error" must have a code and a message`},
			{`[]`, "null", -32600, "JSON-RPC batches are not supported by this protocol version"},
			{` [{"jsonrpc":"2.0","id":1,"method":"ping"}]`, "null", -32600, "JSON-RPC batches are not supported by this protocol version"},
		} {
			for _, instance := range s.instances {
				got := read(t, at(c, instance.url).Post(t, test.body))
				if diff := cmp.Diff(errorResponse(400, test.id, test.code, test.message), got); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", test.body, diff)
				}
			}
		}
		b.undisturbed(t)
	})
}

// What only the method is wrong with is the server's to respond to, with HTTP 200.
func TestRequestsThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		for _, test := range []struct {
			method, params string
			code           int
			message        string // a part of it: most of these texts are the SDK's
		}{
			{"no/such", `{}`, -32601, `no/such`},
			{"tools/call", `null`, -32600, `missing required`},
			{"tools/call", `{"name":7}`, -32602, `invalid params`},
			{"tools/call", `{"name":"no-such"}`, -32602, `no-such`},
			{"prompts/get", `{"name":"no-such"}`, -32602, `no-such`},
			{"tools/list", `{"cursor":"?"}`, -32602, `invalid params`},
			{"logging/setLevel", `{"level":7}`, -32602, `invalid params`},
			{"logging/setLevel", `{"level":"loud"}`, -32602, `unknown log level`},
			{"logging/setLevel", `{"level":"` + strings.Repeat("x", 1000) + `"}`, -32602, `unknown log level`},
			{"mcpfleet/barrier", `{}`, -32601, `mcpfleet/barrier`},
		} {
			for _, instance := range s.instances {
				res := at(c, instance.url).Post(t, fleettest.Request(1, test.method, test.params))
				m := c.Message(t, res)
				var e jsonrpc.Error
				if err := json.Unmarshal(m.Error, &e); err != nil {
					t.Fatalf("%s: %v", test.params, err)
				}
				if res.StatusCode != 200 || string(m.ID) != "1" || int(e.Code) != test.code || !strings.Contains(e.Message, test.message) {
					t.Errorf("%s %s: status %d, id %s, error %s; want 200, 1, code %d and %q",
						test.method, test.params, res.StatusCode, m.ID, m.Error, test.code, test.message)
				}
			}
		}
		b.undisturbed(t)
	})
}

// The SDK's own words would name its Go types, and quote all that was sent.
func TestParamsOfTheWrongTypeAreNamed(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c, fresh, stateless := s.session(t), s.client(t), s.stateless(t)
		const cursor = `handling 'tools/list': invalid params: "cursor" has another type than it should`
		for name, test := range map[string]struct {
			client  *fleettest.Client
			body    string
			change  func(http.Header)
			status  int
			message string
		}{
			"in a session":                {c, fleettest.Request(1, "tools/list", `{"cursor":7}`), nil, 200, cursor},
			"without sessions":            {stateless, statelessBody(1, "tools/list", `{"cursor":7}`), named("tools/list", ""), 400, cursor},
			"of a listener":               {stateless, statelessBody(1, "subscriptions/listen", `{"notifications":[]}`), named("subscriptions/listen", ""), 400, `handling 'subscriptions/listen': invalid params: "notifications" has another type than it should`},
			"of initialize":               {fresh, fleettest.Request(1, "initialize", `{"protocolVersion":7}`), nil, 200, `handling 'initialize': invalid params: "protocolVersion" has another type than it should`},
			"deeper than the SDK's limit": {c, fleettest.Request(1, "tools/list", `{"_meta":{"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`}}`), nil, 200, `handling 'tools/list': invalid params`},
		} {
			var changes []func(http.Header)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			got := read(t, test.client.Post(t, test.body, changes...))
			if diff := cmp.Diff(errorResponse(test.status, "1", -32602, test.message), got); diff != "" {
				t.Errorf("params %s: (-want +got)\n%s", name, diff)
			}
		}
	})
}

// Else its connection, and as much of the body as was sent, would be held for
// ever.
func TestABodyThatStopsIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b := newBystander(t, s)
		for name, test := range map[string]struct {
			method, header string
			want           response
		}{
			"that is read":                  {"POST", "Content-Type: application/json", errorResponse(400, "null", -32000, "request body could not be read")},
			"of a request that is refused":  {"POST", "Origin: https://evil.example", errorResponse(403, "null", -32000, `origin "https://evil.example" is not allowed`)},
			"of a type that is not served":  {"POST", "Content-Type: text/plain", errorResponse(415, "null", -32000, "Content-Type must be application/json")},
			"of a method that needs none":   {"DELETE", "Accept: */*", errorResponse(400, "null", -32600, "Mcp-Session-Id header is required, except to initialize")},
			"of a method that is not known": {"PUT", "Accept: */*", errorResponse(405, "null", -32000, "method PUT is not allowed")},
		} {
			conn, err := s.instances[0].listener.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			must(t, conn.SetDeadline(time.Now().Add(time.Hour)))
			_, err = fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: 0.test\r\nAccept: application/json, text/event-stream\r\n%s\r\nContent-Length: 100\r\n\r\n{", test.method, test.header)
			must(t, err)
			begun := time.Now()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("a body %s: no response: %v", name, err)
				continue
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("a body %s: answered after %v", name, took)
			}
			if diff := cmp.Diff(test.want, read(t, res)); diff != "" {
				t.Errorf("a body %s: (-want +got)\n%s", name, diff)
			}
			_ = conn.Close()
		}
		b.undisturbed(t)
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	const (
		sessionNeeded = "Mcp-Session-Id header is required, except to initialize"
		post          = "Accept must contain application/json and text/event-stream"
		versions      = `unsupported protocol version %q (supported: 2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05)`
		noMeta        = `missing or invalid _meta field "io.modelcontextprotocol/protocolVersion"`
	)
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		for _, test := range []struct {
			method, header, value string
			want                  response
		}{
			{"POST", "Content-Type", "", errorResponse(415, "null", -32000, "Content-Type must be application/json")},
			{"POST", "Content-Type", "text/plain", errorResponse(415, "null", -32000, "Content-Type must be application/json")},
			{"POST", "Content-Type", "application/json;;", errorResponse(415, "null", -32000, "Content-Type must be application/json")},
			{"POST", "Content-Type", "application/json; charset=utf-8", pong},
			{"POST", "Accept", "", errorResponse(406, "null", -32000, post)},
			{"POST", "Accept", "application/json", errorResponse(406, "null", -32000, post)},
			{"POST", "Accept", "text/event-stream", errorResponse(406, "null", -32000, post)},
			{"POST", "Accept", "text/html, application/jsonp, text/event-stream", errorResponse(406, "null", -32000, post)},
			{"POST", "Accept", "Application/JSON;q=1.0 , TEXT/event-stream", pong},
			{"POST", "Accept", "application/*, text/*", pong},
			{"POST", "Accept", "*/*", pong},
			{"POST", "Mcp-Protocol-Version", "", pong},
			{"POST", "Mcp-Protocol-Version", "2025-06-18", pong}, // supported: the session's version counts
			{"POST", "Mcp-Protocol-Version", "1999-01-01", errorResponse(400, "1", -32000, fmt.Sprintf(versions, "1999-01-01"))},
			{"POST", "Mcp-Protocol-Version", "1999-01-01 \"quoted\"", errorResponse(400, "1", -32000, fmt.Sprintf(versions, "1999-01-01 \"quoted\""))},
			{"POST", "Mcp-Protocol-Version", "2026-07-28", errorResponse(400, "1", -32602, noMeta)}, // a stateless request: TestStatelessRequestsThatAreRefused
			{"POST", "Mcp-Session-Id", "", errorResponse(400, "1", -32600, sessionNeeded)},
			{"GET", "Accept", "", errorResponse(406, "null", -32000, "Accept must contain text/event-stream")},
			{"GET", "Accept", "application/json", errorResponse(406, "null", -32000, "Accept must contain text/event-stream")},
			{"GET", "Mcp-Protocol-Version", "1999-01-01", errorResponse(400, "null", -32000, fmt.Sprintf(versions, "1999-01-01"))},
			{"GET", "Mcp-Protocol-Version", "2026-07-28", errorResponse(405, "null", -32000, "method GET is not allowed")},
			{"GET", "Mcp-Session-Id", "", errorResponse(400, "null", -32600, sessionNeeded)},
			{"DELETE", "Mcp-Protocol-Version", "1999-01-01", errorResponse(400, "null", -32000, fmt.Sprintf(versions, "1999-01-01"))},
			{"DELETE", "Mcp-Protocol-Version", "2026-07-28", errorResponse(405, "null", -32000, "method DELETE is not allowed")},
			{"DELETE", "Mcp-Session-Id", "", errorResponse(400, "null", -32600, sessionNeeded)},
		} {
			for _, instance := range s.instances {
				body := ""
				if test.method == "POST" {
					body = fleettest.Request(1, "ping", "{}")
				}
				res, err := at(c, instance.url).Do(t.Context(), test.method, body, set(test.header, test.value))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, read(t, res)); diff != "" {
					t.Errorf("%s with %s %q: (-want +got)\n%s", test.method, test.header, test.value, diff)
				}
			}
		}
		b.undisturbed(t)
	})
}

// pong is the response to a ping with the id 1.
var pong = response{200, "application/json", `{"jsonrpc":"2.0","id":1,"result":{}}`}

// Which of these it is must not show: another user's session is none.
func TestSessionsThatAreNone(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: bearer}, func(t *testing.T, s *simulation) {
		alice, bob := s.user(t, "alice"), s.user(t, "bob")
		ended := s.user(t, "alice")
		if status := ended.Delete(t); status != 204 {
			t.Fatalf("DELETE: status %d", status)
		}
		ids := map[string]string{
			"foreign":           bob.Session,
			"ended":             ended.Session,
			"unknown":           sessionstore.NewID(),
			"malformed":         "x",
			"a key":             "{x}:session",
			"in capitals":       strings.ToUpper(alice.Session),
			"too long":          strings.Repeat("a", 5000),
			"with a prefix":     " " + alice.Session[1:],
			"with a star in it": strings.Repeat("*", 36),
		}
		want := errorResponse(404, "null", -32001, "session not found")
		for name, id := range ids {
			for _, instance := range s.instances {
				for _, request := range []struct{ method, body, last string }{
					{"POST", fleettest.Request(1, "ping", "{}"), ""},
					{"POST", fleettest.Request(1, "no/such", "{}"), ""},
					{"POST", initializeBody, ""},
					{"POST", `{"jsonrpc":"2.0","method":"initialize"}`, ""},
					{"POST", "[" + initializeBody + "]", ""},
					{"GET", "", "an id of another server"},
					{"POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, ""},
					{"POST", `{"jsonrpc":"2.0","method":"no/such"}`, ""},
					{"POST", `{"jsonrpc":"2.0","id":"aaaaaaaaaaaaaaaa.1.1","result":{}}`, ""},
					{"GET", "", ""},
					{"GET", "", "g.1.ABCDEF"},
					{"GET", "", "cABCDEFGHIJKLMNOP.1.ABCDEF"},
					{"GET", "", "cABCDEFGHIJKLMNOP.end."},
					{"DELETE", "", ""},
				} {
					res, err := at(alice, instance.url).Do(t.Context(), request.method, request.body,
						set("Mcp-Session-Id", id), set("Last-Event-ID", request.last))
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, read(t, res)); diff != "" {
						t.Errorf("%s with a session id that is %s: %s %s: (-want +got)\n%s", request.method, name, request.body, request.last, diff)
					}
				}
			}
		}
		for _, c := range []*fleettest.Client{alice, bob} {
			wantText(t, c.CallTool(t, "echo", `{"text":"still here"}`), "still here")
		}
	})
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	simulate(t, simulated{options: func(o *fleet.Options) { o.MaxBody = limit }}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		padded := func(size int) string {
			body := fleettest.Request(1, "ping", "{}")
			return body + strings.Repeat(" ", size-len(body))
		}
		for _, test := range []struct {
			size int
			want response
		}{
			{limit, pong},
			{limit + 1, errorResponse(413, "null", -32600, "request body exceeds 65536 bytes")},
			{3 * limit, errorResponse(413, "null", -32600, "request body exceeds 65536 bytes")},
		} {
			for _, instance := range s.instances {
				for _, chunked := range []bool{false, true} {
					var body io.Reader = strings.NewReader(padded(test.size))
					if chunked {
						body = io.MultiReader(body) // its length is not known
					}
					req, err := http.NewRequestWithContext(t.Context(), "POST", instance.url, body)
					if err != nil {
						t.Fatal(err)
					}
					req.Header = http.Header{
						"Accept": {"*/*"}, "Content-Type": {"application/json"}, "Mcp-Session-Id": {c.Session},
					}
					res, err := c.HTTP.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(test.want, read(t, res)); diff != "" {
						t.Errorf("%d bytes, chunked %v: (-want +got)\n%s", test.size, chunked, diff)
					}
				}
			}
		}
		b.undisturbed(t)
	})
}

func TestInitializeThatIsRefused(t *testing.T) {
	t.Parallel()
	params := func(name string) string {
		return `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"` + name + `","version":"1"}}`
	}
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.client(t)
		known := len(redistest.Keys(t, s.redis.Client(t), s.prefix))
		for _, test := range []struct {
			body, session string
			want          response
		}{
			{
				fleettest.Request(1, "initialize", params(strings.Repeat("n", 64<<10))), "",
				errorResponse(413, "1", -32602, "the parameters of initialize are too large"),
			},
			{fleettest.Request(1, "initialize", params("n")), b.client.Session, errorResponse(400, "1", -32600, "the session has been initialized")},
			{fleettest.Request(1, "initialize", params("n")), sessionstore.NewID(), errorResponse(404, "null", -32001, "session not found")},
			{`{"jsonrpc":"2.0","method":"initialize","params":` + params("n") + `}`, "", errorResponse(400, "null", -32600, "initialize needs an id")},
			{`[` + fleettest.Request(1, "initialize", params("n")) + `]`, "", errorResponse(400, "null", -32600, "JSON-RPC batches are not supported by this protocol version")},
			{fleettest.Request(1, "initialize", "null"), "", errorResponse(200, "1", -32600, `invalid request: missing required "params"`)},
		} {
			for _, instance := range s.instances {
				res := at(c, instance.url).Post(t, test.body, set("Mcp-Session-Id", test.session))
				if id := res.Header.Get("Mcp-Session-Id"); id != "" {
					t.Errorf("%.80s: got a session", test.body)
				}
				if diff := cmp.Diff(test.want, read(t, res)); diff != "" {
					t.Errorf("%.80s: (-want +got)\n%s", test.body, diff)
				}
			}
		}
		if now := len(redistest.Keys(t, s.redis.Client(t), s.prefix)); now != known {
			t.Errorf("refused requests left %d keys", now-known)
		}
		b.undisturbed(t)
	})
}

// A version that the server does not know is answered with one it does
// (specification, "Version Negotiation").
func TestInitializeWithUnknownVersions(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for version, want := range map[string]string{
			"2025-11-25": "2025-11-25", "2025-06-18": "2025-06-18", "2024-11-05": "2024-11-05",
			"1.0": "2025-11-25", "": "2025-11-25", "2026-07-28": "2025-11-25", "9999-01-01": "2025-11-25",
		} {
			c := s.client(t)
			c.Initialize(t, version, "{}")
			if c.Version != want {
				t.Errorf("version %q is answered with %s, want %s", version, c.Version, want)
			}
			wantText(t, c.CallTool(t, "echo", `{"text":"hi"}`), "hi")
		}
	})
}

func TestMethodsThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		for _, method := range []string{"HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			res, err := c.Do(t.Context(), method, "")
			if err != nil {
				t.Fatal(err)
			}
			want := errorResponse(405, "null", -32000, "method "+method+" is not allowed")
			if method == "HEAD" {
				want.Body = ""
			}
			if diff := cmp.Diff(want, read(t, res)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", method, diff)
			}
			if got := res.Header.Get("Allow"); got != "GET, POST, DELETE" {
				t.Errorf("%s: Allow is %q", method, got)
			}
		}
	})
}

func TestGetServerReturningNil(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		none := s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server { return nil })
		for _, test := range []struct{ body, id, session string }{
			{fleettest.Request(1, "ping", "{}"), "1", c.Session},
			{`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`, "null", c.Session},
			{fleettest.Request("i", "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"n","version":"1"}}`), `"i"`, ""},
		} {
			got := read(t, at(c, none.url).Post(t, test.body, set("Mcp-Session-Id", test.session)))
			if diff := cmp.Diff(errorResponse(400, test.id, -32000, "no server available"), got); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", test.body, diff)
			}
		}
	})
}

// A middleware that hides http.Flusher would hold every stream back to its end:
// that has to show with the first request, not with the first long call.
func TestResponseWriterThatCannotFlush(t *testing.T) {
	t.Parallel()
	hide := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(struct{ http.ResponseWriter }{w}, r) })
	}
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		bad := s.join(t, simulated{wrap: hide})
		const message = "the http.ResponseWriter cannot flush: a middleware hides http.Flusher"
		for _, test := range []struct{ method, body, session, id string }{
			{"POST", fleettest.Request(1, "initialize", `{}`), "", "1"},
			{"POST", fleettest.Request(1, "ping", "{}"), c.Session, "1"},
			{"GET", "", c.Session, "null"},
		} {
			res, err := at(c, bad.url).Do(t.Context(), test.method, test.body, set("Mcp-Session-Id", test.session))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(errorResponse(500, test.id, -32603, message), read(t, res)); diff != "" {
				t.Errorf("%s %s: (-want +got)\n%s", test.method, test.body, diff)
			}
		}
		if status := at(c, bad.url).Delete(t); status != 204 {
			t.Errorf("DELETE, which has nothing to flush: status %d", status)
		}
	})
}
