package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

const (
	numbers        = 1000
	disconnections = 50
)

func TestCallStreamThroughFiftyDisconnections(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := startNumbers(t, s)
		c := fleettest.Initialized(t, f.URL)
		c.HTTP.Timeout = time.Minute // a number that never comes fails the test
		first := fleettest.NewStream(onInstance(c, anywhere(f)).Post(t,
			fleettest.Request("count", "tools/call", fmt.Sprintf(`{"name":"count","arguments":{"to":%d}}`, numbers))))
		last := readNumbers(t, f, c, first)
		m := last.Message(t)
		if string(m.ID) != `"count"` {
			t.Fatalf("behind the numbers: %s %s", m.Method, m.ID)
		}
		if m.Error != nil {
			t.Fatalf("the call failed: %s", m.Error)
		}
	})
}

// The numbers come from calls on any instance, while the client reads them.
func TestStandaloneStreamThroughFiftyDisconnections(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := startNumbers(t, s)
		c := fleettest.Initialized(t, f.URL)
		c.HTTP.Timeout = time.Minute // a number that never comes fails the test
		stream := onInstance(c, anywhere(f)).Get(t, "")
		said := make(chan struct{})
		go func() {
			defer close(said)
			if err := sendNumbers(t, f, c); err != nil {
				t.Error(err)
			}
		}()
		t.Cleanup(func() { <-said }) // also when a number is missing
		readNumbers(t, f, c, stream)
		<-said // the last call has yet to be answered
	})
}

// sendNumbers has all numbers sent on the session's standalone stream, by calls
// on random instances, one after the other.
func sendNumbers(t *testing.T, f *fleettest.Fleet, c *fleettest.Client) error {
	const each = 20
	for from := 0; from < numbers; from += each {
		body := fleettest.Request(from, "tools/call", fmt.Sprintf(`{"name":"count","arguments":{"from":%d,"to":%d,"aside":true}}`, from, from+each))
		res, err := onInstance(c, anywhere(f)).Do(t.Context(), http.MethodPost, body)
		if err != nil {
			return err
		}
		response, err := io.ReadAll(res.Body) // the call is over when it has been read
		_ = res.Body.Close()
		if err != nil || !bytes.Contains(response, []byte(`"result"`)) || bytes.Contains(response, []byte(`"isError"`)) {
			return fmt.Errorf("call from %d: %s %s, error %v", from, res.Status, response, err)
		}
	}
	return nil
}

// startNumbers runs a fleet whose tool "count" says the numbers from..to-1: on
// the stream of its call, or aside on the session's standalone stream.
func startNumbers(t *testing.T, s *redistest.Server) *fleettest.Fleet {
	t.Helper()
	type arguments struct {
		From       int  `json:"from,omitempty"`
		To         int  `json:"to"`
		Standalone bool `json:"aside,omitempty"`
	}
	count := func(ctx context.Context, req *mcp.CallToolRequest, a arguments) (*mcp.CallToolResult, any, error) {
		if a.Standalone {
			ctx = context.Background() // what is not said in a call's context is not on its stream
		}
		for i := a.From; i < a.To; i++ {
			params := &mcp.ProgressNotificationParams{ProgressToken: "count", Progress: float64(i)}
			if err := req.Session.NotifyProgress(ctx, params); err != nil {
				return nil, nil, err
			}
		}
		return &mcp.CallToolResult{}, nil, nil
	}
	return fleettest.Start(t, fleettest.Config{Redis: s, Instances: 3, Server: func() *mcp.Server {
		server := mcp.NewServer(&mcp.Implementation{Name: "numbers", Version: "1"}, nil)
		mcp.AddTool(server, &mcp.Tool{Name: "count"}, count)
		return server
	}})
}

func anywhere(f *fleettest.Fleet) *fleettest.Instance {
	return f.Instances[rand.IntN(len(f.Instances))]
}

// readNumbers reads all numbers from a stream, breaks the connection fifty times
// on the way, at random, and resumes on a random instance. It fails the test
// unless each number comes once and in order, and returns the last connection.
func readNumbers(t *testing.T, f *fleettest.Fleet, c *fleettest.Client, stream *fleettest.Stream) *fleettest.Stream {
	t.Helper()
	const between = numbers / disconnections
	// Not before the first number: without an event id there is no way back.
	for n, breakAt := 0, 1+rand.IntN(between-1); n < numbers; n++ {
		if n == breakAt {
			stream.Close()
			stream = onInstance(c, anywhere(f)).Get(t, stream.Last)
			breakAt = (n/between+1)*between + rand.IntN(between)
		}
		if got := number(t, stream.Message(t)); got != n {
			t.Fatalf("got number %d, want %d", got, n)
		}
	}
	return stream
}

func number(t testing.TB, m *jsonrpcmsg.Message) int {
	t.Helper()
	var p struct{ Progress int }
	if err := json.Unmarshal(m.Params, &p); err != nil || m.Method != "notifications/progress" {
		t.Fatalf("not a number: %s %s%s", m.Method, m.Params, m.Error)
	}
	return p.Progress
}
