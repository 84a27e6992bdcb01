package mcp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// All calls run on one instance and all responses come in at the others, in no
// order, each after a forged one from another session.
func TestTwoHundredConcurrentElicitationsGetTheirResponsesElsewhere(t *testing.T) {
	t.Parallel()
	const sessions, calls = 20, 10 // a session may have 16 streams
	f := fleettest.Start(t, fleettest.Config{
		Redis: redistest.Real(t), Instances: 3, Server: func() *mcp.Server { return everything.New(nil) },
	})

	var requests []*elicitation
	for range sessions {
		c := fleettest.Initialized(t, f.Instances[0].URL)
		for n := range calls {
			requests = append(requests, &elicitation{client: c, call: fmt.Sprintf("call %d", n)})
		}
	}
	concurrently(t, requests, func(q *elicitation) error { return q.ask(t) })
	rand.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	concurrently(t, requests, func(q *elicitation) error {
		stranger := requests[rand.IntN(len(requests))].client
		if stranger != q.client {
			if err := q.respond(t, onInstance(stranger, elsewhere(f)), "forged"); err != nil {
				return err
			}
		}
		return q.respond(t, onInstance(q.client, elsewhere(f)), q.value())
	})
	concurrently(t, requests, func(q *elicitation) error { return q.check() })
}

// elsewhere returns an instance other than the first.
func elsewhere(f *fleettest.Fleet) *fleettest.Instance { return f.Instances[1+rand.IntN(2)] }

// onInstance returns a client of the same session that calls one instance.
func onInstance(c *fleettest.Client, i *fleettest.Instance) *fleettest.Client {
	other := *c
	other.URL = i.URL
	return &other
}

// An elicitation is one request of a tool to its client.
type elicitation struct {
	client *fleettest.Client
	call   string // the id of the tool's call
	stream *fleettest.Stream
	id     json.RawMessage // of the request
}

// value is a response that no other call gets.
func (e *elicitation) value() string { return e.client.Session + " " + e.call }

// ask calls the tool and waits for its request.
func (e *elicitation) ask(t *testing.T) error {
	res, err := e.client.Do(t.Context(), http.MethodPost, fleettest.Request(e.call, "tools/call", `{"name":"elicitInputs","arguments":{}}`))
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	e.stream = fleettest.NewStream(res)
	var m struct {
		ID     json.RawMessage
		Method string
	}
	if err := e.next(&m); err != nil {
		return err
	}
	if m.Method != "elicitation/create" {
		return fmt.Errorf("%s got %q instead of a server request", e.value(), m.Method)
	}
	e.id = m.ID
	return nil
}

// next decodes the stream's next message.
func (e *elicitation) next(m any) error {
	for {
		event, err := e.stream.Next()
		if err != nil {
			return fmt.Errorf("stream of %s (%s): %w", e.value(), e.stream.Status, err)
		}
		if len(event.Data) > 0 {
			return json.Unmarshal(event.Data, m)
		}
	}
}

// respond sends a response to the request, as client.
func (e *elicitation) respond(t *testing.T, client *fleettest.Client, value string) error {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"name":%q}}}`, e.id, value)
	res, err := client.Do(t.Context(), http.MethodPost, body)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("response to %s: %s", e.value(), res.Status)
	}
	return nil
}

// check fails unless the call ends with the response to its own request.
func (e *elicitation) check() error {
	var m struct {
		ID     string
		Result struct{ Content []struct{ Text string } }
		Error  json.RawMessage
	}
	if err := e.next(&m); err != nil {
		return err
	}
	want := fmt.Sprintf(`"name": %q`, e.value())
	if m.ID != e.call || len(m.Result.Content) != 1 || !strings.Contains(m.Result.Content[0].Text, want) {
		return fmt.Errorf("%s was answered: id %q, %v, error %s", e.value(), m.ID, m.Result.Content, m.Error)
	}
	if event, err := e.stream.Next(); err == nil {
		return fmt.Errorf("%s got %s behind its response", e.value(), event.Data)
	}
	return nil
}

// concurrently runs f for all at the same time, and fails the test with their errors.
func concurrently[T any](t *testing.T, all []T, f func(T) error) {
	t.Helper()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() { errs[i] = f(one) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
