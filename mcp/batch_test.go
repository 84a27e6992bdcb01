package mcp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// batching returns a client with a session of the protocol that has batches.
func (s *simulation) batching(t testing.TB) *fleettest.Client {
	t.Helper()
	c := s.client(t)
	c.Initialize(t, "2025-03-26", everyCapability)
	return c
}

// toolCall is a call of a tool of the rig; arguments are JSON.
func toolCall(id any, tool, arguments string) string {
	return fleettest.Request(id, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, arguments))
}

func array(members ...string) string { return "[" + strings.Join(members, ",") + "]" }

const notification = `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`

// wantBatch fails the test unless the response is one JSON array of what the tools
// said, by raw id, in order.
func wantBatch(t testing.TB, res *http.Response, want ...[2]string) {
	t.Helper()
	got := read(t, res)
	var members []json.RawMessage
	if err := json.Unmarshal([]byte(got.Body), &members); err != nil || got.Status != 200 || got.Type != "application/json" {
		t.Fatalf("the response to a batch is %+v", got)
	}
	var said [][2]string
	for _, member := range members {
		m, err := jsonrpcmsg.Decode(member)
		if err != nil {
			t.Fatalf("%s: %v", member, err)
		}
		said = append(said, [2]string{string(m.ID), text(t, m)})
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("responses (-want +got):\n%s", diff)
	}
}

func TestTheResponseToABatchIsOneArray(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		for _, version := range []string{"2025-03-26", "", "2025-06-18"} { // the session's counts
			for _, instance := range s.instances {
				c := at(c, instance.url)
				res := c.Post(t, array(toolCall(1, "echo", `{"text":"a"}`), notification, toolCall("1", "echo", `{"text":"b"}`), toolCall(2, "echo", `{"text":"c"}`)),
					set("Mcp-Protocol-Version", version))
				wantBatch(t, res, [2]string{"1", "a"}, [2]string{`"1"`, "b"}, [2]string{"2", "c"})
				wantBatch(t, c.Post(t, " "+array(toolCall(1, "echo", `{"text":"one is an array, too"}`))), [2]string{"1", "one is an array, too"})
			}
		}
	})
}

func TestABatchRunsItsCallsSomeAtATime(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		var calls []string
		var want [][2]string
		for i := range 100 {
			calls = append(calls, toolCall(i, "wait", `{"name":"batch"}`))
			want = append(want, [2]string{fmt.Sprint(i), "went on"})
		}
		replied := make(chan *http.Response, 1)
		go func() {
			res, err := c.Do(t.Context(), http.MethodPost, array(calls...))
			if err != nil {
				t.Error(err)
			}
			replied <- res
		}()
		synctest.Wait()
		if n := s.running.Load(); n != 8 {
			t.Errorf("%d calls run at once", n)
		}
		s.open("batch")
		wantBatch(t, soon(t, replied), want...)
	})
}

func TestABatchWithoutCallsIsAccepted(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		accepts(t, c, array(notification))
		accepts(t, c, array(notification, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`))
		accepts(t, c, array(`{"jsonrpc":"2.0","id":"x","result":{}}`, `{"jsonrpc":"2.0","id":"y","error":{"code":1,"message":"m"}}`, notification))

		// A response in a batch is one.
		q := asked(t, c, "form")
		accepts(t, c, array(notification, responseTo(q.ID, "yes")))
		m := q.stream.Message(t)
		wantText(t, m, "acceptyes")
	})
}

// A session whose calls take long gets a stream, on which each response is sent
// when it is there.
func TestABatchThatTakesLongIsAStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		began := time.Now()
		stream := fleettest.NewStream(c.Post(t, array(
			toolCall(1, "wait", `{"name":"first"}`), toolCall(2, "wait", `{"name":"second"}`), toolCall(3, "echo", `{"text":"at once"}`))))
		if took := time.Since(began); stream.StatusCode != 200 || stream.Header.Get("Content-Type") != "text/event-stream" || took != time.Second {
			t.Fatalf("status %s, %s after %v", stream.Status, stream.Header.Get("Content-Type"), took)
		}
		next := func(id, want string) {
			t.Helper()
			event, err := stream.Next()
			if err != nil {
				t.Fatal(err)
			}
			m, err := jsonrpcmsg.Decode(event.Data)
			if err != nil || event.ID != "" || string(m.ID) != id {
				t.Fatalf("event %+v %s: %v", event, event.Data, err)
			}
			wantText(t, m, want)
		}
		next("3", "at once")
		s.open("second")
		next("2", "went on")
		go func() {
			time.Sleep(time.Minute) // of keep-alive comments
			s.open("first")
		}()
		next("1", "went on")
		if event, err := stream.Next(); err == nil {
			t.Errorf("after the last response: %s", event.Data)
		}
	})
}

func TestAStreamOfABatchIsKeptAlive(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		res := c.Post(t, array(toolCall(1, "wait", `{"name":"w"}`)))
		began := time.Now()
		buf := make([]byte, 100)
		for i, want := range []string{": open\n\n", ": keep-alive\n\n", ": keep-alive\n\n", ": keep-alive\n\n"} {
			n, err := res.Body.Read(buf)
			if err != nil || string(buf[:n]) != want {
				t.Fatalf("read %q, %v", buf[:n], err)
			}
			if quiet := time.Since(began); quiet != time.Duration(i)*15*time.Second {
				t.Errorf("comment %d after %v", i, quiet)
			}
		}
		s.open("w")
		_ = res.Body.Close()
	})
}

// What the calls of a batch say besides their responses has no place in the
// response.
func TestWhatABatchSaysBesidesIsOnTheStandaloneStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		said := messages(at(c, s.instances[1].url).Get(t, ""))
		synctest.Wait()
		replied := make(chan *http.Response, 1)
		go func() {
			replied <- at(c, s.instances[0].url).Post(t, array(toolCall(1, "count", `{"n":2}`), toolCall(2, "ask", `{"name":"form"}`)))
		}()
		progress, requests := 0, 0
		for range 3 {
			m, err := jsonrpcmsg.Decode(soon(t, said).Data)
			if err != nil {
				t.Fatal(err)
			}
			switch m.Method {
			case "notifications/progress":
				progress++
			case "elicitation/create":
				requests++
				accepts(t, at(c, s.instances[1].url), responseTo(m.ID, "yes"))
			}
		}
		if progress != 2 || requests != 1 {
			t.Errorf("%d notifications and %d requests", progress, requests)
		}
		wantBatch(t, soon(t, replied), [2]string{"1", "2"}, [2]string{"2", "acceptyes"})
	})
}

// A broken connection does not cancel, but nobody waits for ever either.
func TestABatchGoesOnWhenItsClientHasGone(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: func(o *fleet.Options) { o.RunDetached = time.Minute }}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		var calls []string
		for i := range 10 { // more than run at once
			calls = append(calls, toolCall(i, "wait", fmt.Sprintf(`{"name":"%d"}`, i)))
		}
		res := c.Post(t, array(calls...))
		_ = res.Body.Close()
		synctest.Wait()
		if n := s.running.Load(); n != 8 {
			t.Errorf("%d calls run when the client has gone", n)
		}
		for i := range 8 {
			s.open(fmt.Sprint(i))
		}
		synctest.Wait()
		if n := s.running.Load(); n != 2 {
			t.Errorf("%d calls run after the first have ended", n)
		}
		time.Sleep(time.Minute + 10*time.Second)
		synctest.Wait()
		if n := s.running.Load(); n != 0 {
			t.Errorf("%d calls run after RunDetached", n)
		}
	})
}

func TestACallOfABatchCanBeCancelled(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.batching(t)
		replied := make(chan *http.Response, 1)
		go func() {
			replied <- c.Post(t, array(toolCall(1, "wait", `{"name":"w"}`), toolCall(2, "echo", `{"text":"e"}`)))
		}()
		s.runs(t, "w")
		c.Notify(t, "notifications/cancelled", `{"requestId":1}`)
		got := read(t, soon(t, replied))
		if !strings.HasPrefix(got.Body, `[{"jsonrpc":"2.0","id":1,"error":{"code":-32800,`) || !strings.Contains(got.Body, `"text":"e"`) {
			t.Errorf("the response is %s", got.Body)
		}
	})
}

func TestACallOfABatchFailsAlone(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := at(s.batching(t), s.instances[0].url)
		replied := make(chan *http.Response, 1)
		go func() { replied <- c.Post(t, toolCall(1, "wait", `{"name":"w"}`)) }()
		s.runs(t, "w")
		got := read(t, c.Post(t, array(toolCall(1, "echo", `{}`), fleettest.Request(2, "no/such", "{}"), fleettest.Request(3, "ping", "{}"))))
		want := `[{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"a request with this id is in progress"}},`
		if !strings.HasPrefix(got.Body, want) || !strings.Contains(got.Body, `"id":2,"error":{"code":-32601`) ||
			!strings.HasSuffix(got.Body, `{"jsonrpc":"2.0","id":3,"result":{}}]`) || got.Status != 200 {
			t.Errorf("the response is %+v", got)
		}
		s.open("w")
		soon(t, replied)
	})
}

func TestShutdownWaitsForABatch(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := at(s.batching(t), s.instances[0].url)
		var calls []string
		var want [][2]string
		for i := range 10 {
			calls = append(calls, toolCall(i, "wait", `{"name":"w"}`))
			want = append(want, [2]string{fmt.Sprint(i), "went on"})
		}
		replied := make(chan *http.Response, 1)
		go func() { replied <- c.Post(t, array(calls...)) }()
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- s.instances[0].handler.Shutdown(t.Context()) }()
		synctest.Wait()
		if got := read(t, c.Post(t, array(toolCall("late", "echo", "{}")))); got.Status != http.StatusServiceUnavailable {
			t.Errorf("a batch during Shutdown: %+v", got)
		}
		s.open("w")
		wantBatch(t, soon(t, replied), want...)
		if err := soon(t, ended); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestBadBatches(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.batching(t)
		echo := toolCall(1, "echo", `{"text":"e"}`)
		for name, test := range map[string]struct {
			body    string
			status  int
			code    int
			message string
		}{
			"empty":                   {`[]`, 400, -32600, "a batch has at least one message"},
			"of nothing":              {`[ ]`, 400, -32600, "a batch has at least one message"},
			"cut short":               {`[` + echo, 400, -32700, "malformed JSON"},
			"with something after it": {array(echo) + "[]", 400, -32700, "malformed JSON"},
			"with a comma too many":   {`[` + echo + `,]`, 400, -32700, "malformed JSON"},
			"of numbers":              {`[1,2,3]`, 400, -32600, "message 1 of the batch: a JSON-RPC message is an object"},
			"of batches":              {array(array(echo)), 400, -32600, "message 1 of the batch: a JSON-RPC message is an object"},
			"with a malformed member": {array(echo, `{"id":2,"method":"ping"}`), 400, -32600, `message 2 of the batch: "jsonrpc" must be "2.0"`},
			"with an id twice":        {array(echo, notification, toolCall(1, "wait", `{"name":"no"}`)), 400, -32600, "message 3 of the batch: a request before it has the same id"},
			"with an id in disguise":  {array(toolCall("a", "wait", "{}"), strings.Replace(toolCall("x", "wait", "{}"), "x", `\u0061`, 1)), 400, -32600, "message 2 of the batch: a request before it has the same id"},
			"with initialize":         {array(echo, fleettest.Request(2, "initialize", "{}")), 400, -32600, "initialize must not be part of a batch"},
			"with a call of 2026-07-28": {array(echo, fleettest.Request(2, "tools/list", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}`)),
				400, -32600, "tools/list must not be part of a batch"},
			"of 101":               {array(strings.Split(strings.Repeat(notification+"\n", 100)+notification, "\n")...), 413, -32600, "too many messages in a JSON-RPC batch: 100 are allowed"},
			"of 10,000":            {array(strings.Split(strings.Repeat(notification+"\n", 9_999)+notification, "\n")...), 413, -32600, "too many messages in a JSON-RPC batch: 100 are allowed"},
			"of two million zeros": {"[" + strings.Repeat("0,", 2_000_000) + "0]", 413, -32600, "too many messages in a JSON-RPC batch: 100 are allowed"},
		} {
			for _, instance := range s.instances {
				got := read(t, at(c, instance.url).Post(t, test.body))
				if diff := cmp.Diff(errorResponse(test.status, "null", test.code, test.message), got); diff != "" {
					t.Errorf("a batch %s: (-want +got)\n%s", name, diff)
				}
			}
		}
		if n := s.running.Load(); n != 1 { // the bystander's
			t.Errorf("%d calls run: something of a bad batch was done", n)
		}
		b.undisturbed(t)
	})
}

func TestOtherProtocolVersionsHaveNoBatches(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		body := array(toolCall(1, "echo", `{"text":"e"}`))
		want := errorResponse(400, "null", -32600, "JSON-RPC batches are not supported by this protocol version")
		for _, version := range []string{"2024-11-05", "2025-06-18", "2025-11-25"} {
			c := s.client(t)
			c.Initialize(t, version, everyCapability)
			for _, header := range []string{version, "", "2025-03-26"} {
				if diff := cmp.Diff(want, read(t, c.Post(t, body, set("Mcp-Protocol-Version", header)))); diff != "" {
					t.Errorf("%s with header %q: (-want +got)\n%s", version, header, diff)
				}
			}
		}
		c := s.batching(t)
		if diff := cmp.Diff(want, read(t, c.Post(t, body, set("Mcp-Protocol-Version", "2026-07-28")))); diff != "" {
			t.Errorf("with header 2026-07-28: (-want +got)\n%s", diff)
		}
	})
}

func TestBatchesOfAnotherUsersSessionAreNone(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{wrap: bearer}, func(t *testing.T, s *simulation) {
		alice := s.client(t)
		alice.Header.Set("Authorization", "Bearer alice")
		alice.Initialize(t, "2025-03-26", everyCapability)
		bob := at(alice, alice.URL)
		bob.Header = http.Header{"Authorization": {"Bearer bob"}}
		for _, body := range []string{array(toolCall(1, "echo", "{}")), array(notification), "[]"} {
			if diff := cmp.Diff(errorResponse(404, "null", -32001, "session not found"), read(t, bob.Post(t, body))); diff != "" {
				t.Errorf("%s (-want +got)\n%s", body, diff)
			}
		}
	})
}

func TestGoClientOf20250326ThroughTheBalancer(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t, fleettest.Config{Instances: 3, Server: newRig(nil).server})
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: acceptAll,
	})
	cs, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: f.URL}, &mcp.ClientSessionOptions{ProtocolVersion: "2025-03-26"})
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	if got := cs.InitializeResult().ProtocolVersion; got != "2025-03-26" {
		t.Errorf("negotiated %s", got)
	}
	for range 6 {
		res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "ask", Arguments: map[string]any{"name": "form"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Content[0].(*mcp.TextContent).Text; got != "acceptyes" {
			t.Errorf("the tool said %q", got)
		}
	}
}
