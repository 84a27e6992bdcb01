package fleettest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// A Client sends raw requests, for what no SDK client would send and for
// looking at what no SDK client shows. It is safe for concurrent use once it
// has been initialized.
type Client struct {
	URL     string
	Session string
	Version string
	// Header is added to each request.
	Header http.Header
	// HTTP sends the requests.
	HTTP *http.Client
}

// NewClient returns a client of url without a session.
func NewClient(t testing.TB, url string) *Client {
	c := &Client{URL: url, Header: http.Header{}, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

// Initialized returns a client of url with a session of protocol 2025-11-25
// whose client has every capability.
func Initialized(t testing.TB, url string) *Client {
	t.Helper()
	c := NewClient(t, url)
	c.Initialize(t, "2025-11-25", `{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}`)
	return c
}

// Initialize begins a session, and sends notifications/initialized.
func (c *Client) Initialize(t testing.TB, version, capabilities string) json.RawMessage {
	t.Helper()
	res := c.Post(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":%q,"capabilities":%s,"clientInfo":{"name":"raw","version":"1"}}}`, version, capabilities))
	m := c.Message(t, res)
	c.Session = res.Header.Get("Mcp-Session-Id")
	if c.Session == "" || m.Result == nil {
		t.Fatalf("initialize: status %s, error %s", res.Status, m.Error)
	}
	var result struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	if err := json.Unmarshal(m.Result, &result); err != nil {
		t.Fatal(err)
	}
	c.Version = result.ProtocolVersion
	c.Notify(t, "notifications/initialized", "{}")
	return m.Result
}

// Do sends a request with the headers that a well-behaved client would send.
func (c *Client) Do(ctx context.Context, method, body string, change ...func(http.Header)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header = c.Header.Clone()
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodGet {
		req.Header.Set("Accept", "text/event-stream")
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Session != "" {
		req.Header.Set("Mcp-Session-Id", c.Session)
	}
	if c.Version != "" {
		req.Header.Set("Mcp-Protocol-Version", c.Version)
	}
	for _, f := range change {
		f(req.Header)
	}
	return c.HTTP.Do(req)
}

// Post sends a body; the response's body is closed when the test ends.
func (c *Client) Post(t testing.TB, body string, change ...func(http.Header)) *http.Response {
	t.Helper()
	return c.send(t, http.MethodPost, body, change)
}

// Get opens a stream, behind an event if last is not empty.
func (c *Client) Get(t testing.TB, last string) *Stream {
	t.Helper()
	res := c.send(t, http.MethodGet, "", []func(http.Header){func(h http.Header) {
		if last != "" {
			h.Set("Last-Event-ID", last)
		}
	}})
	return NewStream(res)
}

// Delete ends the session and returns the response's status.
func (c *Client) Delete(t testing.TB) int {
	t.Helper()
	return c.send(t, http.MethodDelete, "", nil).StatusCode
}

func (c *Client) send(t testing.TB, method, body string, change []func(http.Header)) *http.Response {
	t.Helper()
	res, err := c.Do(t.Context(), method, body, change...)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// Notify sends a notification, which must be accepted.
func (c *Client) Notify(t testing.TB, method, params string) {
	t.Helper()
	res := c.Post(t, fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params))
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: status %s: %s", method, res.Status, body(t, res))
	}
	_ = res.Body.Close()
}

// Call sends a request with the id 1 and returns its response, whether that is a
// JSON body or on a stream. Messages before it are passed over.
func (c *Client) Call(t testing.TB, method, params string) *jsonrpcmsg.Message {
	t.Helper()
	return c.Message(t, c.Post(t, Request(1, method, params)))
}

// CallTool is Call for tools/call; arguments are JSON.
func (c *Client) CallTool(t testing.TB, name, arguments string) *jsonrpcmsg.Message {
	t.Helper()
	return c.Call(t, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, name, arguments))
}

// Request returns the body of a request; the id may be a number or a raw
// message.
func Request(id any, method, params string) string {
	raw, err := json.Marshal(id)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, raw, method, params)
}

// Message returns the JSON-RPC response in an HTTP response.
func (c *Client) Message(t testing.TB, res *http.Response) *jsonrpcmsg.Message {
	t.Helper()
	if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media == "text/event-stream" {
		s := NewStream(res)
		for {
			m := s.Message(t)
			if m.IsResponse() {
				return m
			}
		}
	}
	data := body(t, res)
	m, err := decode(data)
	if err != nil {
		t.Fatalf("status %s, body %q: %v", res.Status, data, err)
	}
	return m
}

// decode decodes a message of the server. Unlike [jsonrpcmsg.Decode] it accepts an
// error whose id is null.
func decode(data []byte) (*jsonrpcmsg.Message, error) {
	var m struct {
		ID            json.RawMessage
		Method        string
		Params        json.RawMessage
		Result, Error json.RawMessage
	}
	err := json.Unmarshal(data, &m)
	return (*jsonrpcmsg.Message)(&m), err
}

func body(t testing.TB, res *http.Response) []byte {
	t.Helper()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	_ = res.Body.Close()
	return data
}

// A Stream is an event stream as the client reads it.
type Stream struct {
	*http.Response
	// Last is the id of the last event that had one.
	Last string
	r    *bufio.Reader
}

// NewStream reads the events of a response.
func NewStream(res *http.Response) *Stream {
	return &Stream{Response: res, r: bufio.NewReader(res.Body)}
}

// Next returns the next event, or the error that ended the stream.
func (s *Stream) Next() (sse.Event, error) {
	e, err := sse.Read(s.r)
	if e.ID != "" {
		s.Last = e.ID
	}
	return e, err
}

// Message returns the next event that is a message.
func (s *Stream) Message(t testing.TB) *jsonrpcmsg.Message {
	t.Helper()
	for {
		e, err := s.Next()
		if err != nil {
			t.Fatalf("stream (status %s): %v", s.Status, err)
		}
		if len(e.Data) == 0 {
			continue
		}
		m, err := decode(e.Data)
		if err != nil {
			t.Fatalf("event %q: %v", e.Data, err)
		}
		return m
	}
}

// Rest returns what follows the last event that was read.
func (s *Stream) Rest() io.Reader { return s.r }

// Close ends the connection, as a client does that leaves.
func (s *Stream) Close() { _ = s.Body.Close() }
