package mcp_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// withSSE serves the HTTP+SSE transport beside the endpoint.
func withSSE(h http.Handler) http.Handler {
	f := h.(*fleet.Handler)
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("/sse", f.SSE("/message"))
	mux.Handle("/message", f.Messages())
	return mux
}

// An sseClient is a raw client of the HTTP+SSE transport. Its URL is where it
// POSTs its messages.
type sseClient struct {
	*fleettest.Client
	id     string
	stream *fleettest.Stream
	events <-chan sse.Event // the messages that came
}

// openSSE opens a stream whose GET c sends to where URL says, as a user if the
// name is not empty. The session is not initialized.
func openSSE(t testing.TB, c *fleettest.Client, user string) *sseClient {
	t.Helper()
	at, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.Path = "/sse"
	d := *c
	d.URL, d.Header = at.String(), http.Header{}
	if user != "" {
		d.Header.Set("Authorization", "Bearer "+user)
	}
	stream := d.Get(t, "")
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("GET: %s", stream.Status)
	}
	event, err := stream.Next()
	if err != nil || event.Name != "endpoint" || event.ID != "" {
		t.Fatalf("the first event is %+v, %v", event, err)
	}
	endpoint, err := at.Parse(string(event.Data))
	if err != nil {
		t.Fatal(err)
	}
	d.URL = endpoint.String()
	return &sseClient{&d, endpoint.Query().Get("sessionId"), stream, messages(stream)}
}

// sse returns an initialized session of the HTTP+SSE transport, whose stream is
// on one instance and whose messages go to each in turn.
func (s *simulation) sse(t testing.TB, streamOwner int, user string) *sseClient {
	t.Helper()
	c := openSSE(t, at(s.client(t), s.instances[streamOwner].url), user).at(balancer)
	c.initialize(t)
	return c
}

// at returns the client with its messages going to the instance with that URL.
func (c *sseClient) at(instance string) *sseClient {
	base, err := url.Parse(instance)
	if err != nil {
		panic(err) // a mistake in the test
	}
	to, err := url.Parse(c.URL)
	if err != nil {
		panic(err) // as above
	}
	to.Scheme, to.Host = base.Scheme, base.Host
	d := *c
	d.Client = at(c.Client, to.String())
	return &d
}

func (c *sseClient) initialize(t testing.TB) {
	t.Helper()
	m := c.call(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":%s,"clientInfo":{"name":"raw","version":"1"}}}`, everyCapability))
	if m.Result == nil || string(m.ID) != `"init"` {
		t.Fatalf("initialize: %s %s", m.ID, m.Error)
	}
	accepts(t, c.Client, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

// next returns the next message of the stream.
func (c *sseClient) next(t testing.TB) *jsonrpcmsg.Message {
	t.Helper()
	event := soon(t, c.events)
	if event.Data == nil {
		t.Fatal("the stream has ended")
	}
	if event.Name != "message" || event.ID != "" {
		t.Errorf("event %+v", event)
	}
	m, err := jsonrpcmsg.Decode(event.Data)
	if err != nil {
		t.Fatalf("event %q: %v", event.Data, err)
	}
	return m
}

// call sends a request, which must be accepted, and returns the next message.
func (c *sseClient) call(t testing.TB, body string) *jsonrpcmsg.Message {
	t.Helper()
	accepts(t, c.Client, body)
	return c.next(t)
}

// ended waits for the end of the stream.
func (c *sseClient) ended(t testing.TB) {
	t.Helper()
	for event := range c.events {
		t.Errorf("on a stream that is to end: %s", event.Data)
	}
}

// wantNone fails the test unless no instance knows the session any more.
func (s *simulation) wantNone(t testing.TB, c *sseClient) {
	t.Helper()
	for _, instance := range s.instances {
		if !instance.alive() {
			continue
		}
		for _, body := range []string{fleettest.Request(1, "ping", "{}"), initializeBody} {
			got := read(t, c.at(instance.url).Post(t, body))
			if diff := cmp.Diff(errorResponse(404, "null", -32001, "session not found"), got); diff != "" {
				t.Errorf("a session that has ended: (-want +got)\n%s", diff)
			}
		}
	}
}

func (i *simulatedInstance) alive() bool {
	select {
	case <-i.listener.closed:
		return false
	default:
		return true
	}
}
