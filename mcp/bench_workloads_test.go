package mcp_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// workloads are what the benchmarks measure beside a small call, each with the ways
// that can do it.
var workloads = []struct {
	name string
	load workload
	ways []way
}{
	{"list", calling("tools/list", "", "{}", `"tool-49"`), []way{fleet2025, fleet2026, sdkStateful, sdkStateless}},
	{"initialize", initializing, []way{fleet2025, sdkStateful}},
	{"elicitation", eliciting, []way{fleet2025, sdkStateful}},
	{"elicitation-2026", elicitingInRounds, []way{fleet2026}},
	{"progress", calling("tools/call", "steps", `{"_meta":{"progressToken":"p"},"name":"steps","arguments":{}}`, `"done"`),
		[]way{fleet2025, fleet2026, sdkStateful, sdkStateless}},
	{"resume", resuming, []way{fleet2025, {"SDK events", "sdk-events", 1, sessions}}},
	{"result-1MB", calling("tools/call", "large", `{"name":"large","arguments":{"bytes":1000000}}`, "xxxx"),
		[]way{fleet2025, fleet2026, sdkStateful, sdkStateless}},
	{"arguments-1MB", calling("tools/call", "length", `{"name":"length","arguments":{"message":"`+strings.Repeat("x", 1_000_000)+`"}}`, "Length: 1000000"),
		[]way{fleet2025, fleet2026, sdkStateful, sdkStateless}},
}

// BenchmarkWorkloads compares what else a server does:
//
//   - list: tools/list of 50 tools
//   - initialize: initialize at one instance, notifications/initialized at another
//   - elicitation: a call whose handler asks, and whose client answers at another instance
//   - progress: a call with 100 progress notifications
//   - resume: a stream of 100 notifications and a response, resumed at another instance
//   - result-1MB, arguments-1MB: calls with large results and arguments
//
// The SDK has one instance and all in memory.
//
//	go test ./mcp -run '^$' -bench '^BenchmarkWorkloads$' -benchtime 1000x
func BenchmarkWorkloads(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			forEachGOGC(b, w.load, w.ways...)
		})
	}
}

func initializing(b testing.TB, _ way, servers []*benchServer) operation {
	b.Helper()
	first, last := dialBench(b, servers[0]), dialBench(b, servers[len(servers)-1])
	return func() error {
		session, err := first.begin()
		if err == nil && session == "" {
			err = fmt.Errorf("there is no session")
		}
		if err != nil {
			return err
		}
		return last.initialized(session)
	}
}

func eliciting(b testing.TB, _ way, servers []*benchServer) operation {
	b.Helper()
	calls, answers := dialBench(b, servers[0]), dialBench(b, servers[len(servers)-1])
	session := benchSession(b, []*benchWire{calls, answers})
	request := sessions.request(session, "tools/call", "ask", `{"name":"ask","arguments":{}}`)
	return func() error {
		res, err := calls.send(request)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		events := bufio.NewReader(res.Body)
		question, err := benchMessage(events)
		if err != nil {
			return err
		}
		answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"name":"me"}}}`, question["id"])
		if err := answers.do(benchPOST("Mcp-Session-Id: "+session+"\r\nMcp-Protocol-Version: 2025-11-25\r\n", answer), ""); err != nil {
			return err
		}
		response, err := benchMessage(events)
		if err == nil {
			err = wantAnswer(response)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, events)
		}
		return err
	}
}

// benchMessage returns the next message of a stream.
func benchMessage(events *bufio.Reader) (m map[string]json.RawMessage, err error) {
	for {
		e, err := sse.Read(events)
		if err != nil {
			return nil, err
		}
		if len(e.Data) > 0 {
			return m, json.Unmarshal(e.Data, &m)
		}
	}
}

func wantAnswer(response map[string]json.RawMessage) error {
	if !bytes.Contains(response["result"], []byte("answer: me")) {
		return fmt.Errorf("the response is %s", response)
	}
	return nil
}

// elicitingInRounds is eliciting in the protocol without sessions: the answer comes
// with a second request.
func elicitingInRounds(b testing.TB, _ way, servers []*benchServer) operation {
	b.Helper()
	first, second := dialBench(b, servers[0]), dialBench(b, servers[len(servers)-1])
	request := stateless.request("", "tools/call", "ask", `{"name":"ask","arguments":{}}`)
	round := func(w *benchWire, request []byte) (response map[string]json.RawMessage, err error) {
		res, err := w.send(request)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
			events := bufio.NewReader(res.Body)
			if response, err = benchMessage(events); err == nil {
				_, err = io.Copy(io.Discard, events)
			}
			return response, err
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, err
		}
		return response, json.Unmarshal(body, &response)
	}
	return func() error {
		asked, err := round(first, request)
		if err != nil {
			return err
		}
		var result struct {
			InputRequests map[string]json.RawMessage
			RequestState  string
		}
		if err := json.Unmarshal(asked["result"], &result); err != nil || len(result.InputRequests) != 1 {
			return fmt.Errorf("the client is asked nothing: %s %w", asked, err)
		}
		for key := range result.InputRequests {
			answer := fmt.Sprintf(`{"name":"ask","arguments":{},"inputResponses":{%q:{"action":"accept","content":{"name":"me"}}},"requestState":%q}`, key, result.RequestState)
			response, err := round(second, stateless.request("", "tools/call", "ask", answer))
			if err != nil {
				return err
			}
			return wantAnswer(response)
		}
		return nil
	}
}

func resuming(b testing.TB, _ way, servers []*benchServer) operation {
	b.Helper()
	first, last := dialBench(b, servers[0]), dialBench(b, servers[len(servers)-1])
	session := benchSession(b, []*benchWire{first, last})
	res, err := first.send(sessions.request(session, "tools/call", "steps", `{"_meta":{"progressToken":"p"},"name":"steps","arguments":{}}`))
	must(b, err)
	body, err := io.ReadAll(res.Body)
	must(b, err)
	_, id, _ := strings.Cut(string(body), "id: ")
	id, _, _ = strings.Cut(id, "\n")
	if id == "" {
		b.Fatalf("no event has an id: %.300s", body)
	}
	request := []byte("GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nMcp-Session-Id: " + session +
		"\r\nMcp-Protocol-Version: 2025-11-25\r\nLast-Event-ID: " + id + "\r\n\r\n")
	return func() error {
		res, err := last.send(request)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if bytes.Contains(lines.Bytes(), []byte(`"done"`)) {
				_, err := io.Copy(io.Discard, res.Body)
				return err
			}
		}
		return fmt.Errorf("status %s: the stream has no response: %w", res.Status, lines.Err())
	}
}
