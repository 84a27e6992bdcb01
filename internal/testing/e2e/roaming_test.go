//go:build unix

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/session"
)

// A roaming client sends each request to any process, and comes back for the rest of
// its calls, whatever ends its connections.
type roaming struct {
	*fleettest.Client
	fleet *fleet
}

// roamingHTTP sends the requests of all such clients: there may be many.
var roamingHTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 10 * time.Second}}

// roam begins a session.
func roam(t testing.TB, f *fleet) roaming {
	t.Helper()
	c := fleettest.NewClient(t, f.URL)
	c.HTTP = roamingHTTP
	c.Initialize(t, "2025-11-25", `{"elicitation":{}}`)
	return roaming{c, f}
}

// anywhere returns a client of the same session whose requests go to some process.
func (c roaming) anywhere() *fleettest.Client { return at(c.Client, c.fleet.process(rand.IntN(3))) }

// errEnded is what a client learns when its session has ended.
var errEnded = errors.New("404: the session has ended")

// send sends a request, behind an event if last is not empty, and again if the
// process that gets it cannot serve it at the moment.
func (c roaming) send(ctx context.Context, method, body, last string) (*fleettest.Stream, error) {
	for {
		res, err := c.anywhere().Do(ctx, method, body, behind(last))
		if err != nil {
			return nil, err
		}
		switch res.StatusCode {
		case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
			s := fleettest.NewStream(res)
			s.Last = last
			return s, nil
		}
		said, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		switch res.StatusCode {
		case http.StatusNotFound:
			return nil, errEnded
		case http.StatusServiceUnavailable:
			pause(ctx, between(50*time.Millisecond, 300*time.Millisecond))
		default:
			return nil, fmt.Errorf("%s: %s: %s", method, res.Status, said)
		}
	}
}

// again does something until Redis takes it: on a busy machine Redis may not answer in
// time.
func again(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, session.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
	}
}

// behind has a GET resume a stream behind an event, if there is one.
func behind(last string) func(http.Header) {
	return func(h http.Header) {
		if last != "" {
			h.Set("Last-Event-ID", last)
		}
	}
}

// roamingCalls counts their calls: each has an id of its own, for one that its client
// has left may still run.
var roamingCalls atomic.Int64

// call calls a tool and follows the call to its response. It hands over the messages
// before that, unless hear is nil, and fails with what hear returns.
func (c roaming) call(ctx context.Context, params string, hear func(*jsonrpcmsg.Message) error) (*jsonrpcmsg.Message, error) {
	id := roamingCalls.Add(1)
	m, err := c.follow(ctx, fleettest.Request(id, "tools/call", params), hear)
	if err == nil && string(m.ID) != strconv.FormatInt(id, 10) {
		err = fmt.Errorf("the response to %d is to %s", id, m.ID)
	}
	return m, err
}

func (c roaming) follow(ctx context.Context, request string, hear func(*jsonrpcmsg.Message) error) (*jsonrpcmsg.Message, error) {
	s, err := c.send(ctx, http.MethodPost, request, "")
	if err == nil && strings.HasPrefix(s.Header.Get("Content-Type"), "application/json") {
		defer s.Close()
		body, err := io.ReadAll(s.Body)
		if err != nil {
			return nil, err
		}
		return jsonrpcmsg.Decode(bytes.TrimSpace(body))
	}
	for err == nil {
		response, heard := readCall(s, hear)
		s.Close()
		switch {
		case response != nil || heard != nil:
			return response, heard
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case s.StatusCode == http.StatusNoContent:
			return nil, errors.New("the call's stream has ended without a response")
		case s.Last == "":
			return nil, errors.New("the call's stream ended before its first event")
		}
		pause(ctx, between(0, 200*time.Millisecond))
		s, err = c.send(ctx, http.MethodGet, "", s.Last)
	}
	return nil, err
}

// readCall reads the stream of a call to the response, which is nil if the connection
// ends before that.
func readCall(s *fleettest.Stream, hear func(*jsonrpcmsg.Message) error) (response *jsonrpcmsg.Message, err error) {
	for {
		e, err := s.Next()
		if err != nil {
			return nil, nil
		}
		if len(e.Data) == 0 {
			continue
		}
		m, err := jsonrpcmsg.Decode(e.Data)
		if err != nil {
			return nil, err
		}
		if m.IsResponse() {
			return m, nil
		}
		if hear == nil {
			continue
		}
		if err := hear(m); err != nil {
			return nil, err
		}
	}
}

// operate calls a tool that takes a while and says how far it is, which must be in
// order. It tells of each step.
func (c roaming) operate(ctx context.Context, seconds float64, steps int, stepped func()) error {
	last := 0
	m, err := c.call(ctx, operationParams(seconds, steps), func(m *jsonrpcmsg.Message) error {
		step, err := stepOf(m)
		if err == nil && step <= last {
			err = fmt.Errorf("step %d came after step %d", step, last)
		}
		last = step
		stepped()
		return err
	})
	if err != nil {
		return fmt.Errorf("after step %d of %d: %w", last, steps, err)
	}
	if !strings.Contains(string(m.Result), "Long running operation completed.") {
		return fmt.Errorf("the operation ended after step %d of %d with %s%s", last, steps, m.Result, m.Error)
	}
	return nil
}
