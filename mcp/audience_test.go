package mcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// An audience is a crowd of subscribers without sockets: each is a request to a
// handler with a ResponseWriter that counts. So thousands of them cost little
// but what the handlers do.
type audience struct {
	handlers []http.Handler
	ctx      context.Context
	received atomic.Int64 // updates, by all of them

	mu    sync.Mutex
	sinks []*sink
}

// newAudience returns an audience of instances; it leaves when the test ends.
func newAudience(t testing.TB, handlers ...http.Handler) *audience {
	ctx, leave := context.WithCancel(context.WithoutCancel(t.Context()))
	a := &audience{handlers: handlers, ctx: ctx}
	t.Cleanup(func() {
		leave()
		for _, s := range a.sinks {
			<-s.done
		}
	})
	return a
}

func handlersOf(f *fleettest.Fleet) (handlers []http.Handler) {
	for _, i := range f.Instances {
		handlers = append(handlers, i.Handler)
	}
	return handlers
}

// A sink is one subscriber's response.
type sink struct {
	audience *audience
	header   http.Header
	begun    chan struct{} // closed with the first byte: the stream is open
	once     sync.Once
	updates  atomic.Int64
	done     chan struct{}
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) Flush()                           {}
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Write(p []byte) (int, error) {
	n := int64(bytes.Count(p, []byte(`"notifications/resources/updated"`)))
	s.updates.Add(n)
	s.audience.received.Add(n)
	s.once.Do(func() { close(s.begun) })
	return len(p), nil
}

// inProcess is a network without sockets to one handler. It is for exchanges,
// not for streams.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func (a *audience) client(instance int) fleettest.Client {
	h := a.handlers[instance%len(a.handlers)]
	return fleettest.Client{URL: "http://fleet.test/", Header: http.Header{}, HTTP: &http.Client{Transport: inProcess{h}}}
}

// join adds n subscribers with sessions: each begins on one instance, subscribes
// on the next, and has its stream on the one after that.
func (a *audience) join(t testing.TB, n int, uris ...string) {
	t.Helper()
	a.each(t, n, func(i int) error {
		id, err := beginSession(a.ctx, a.client(i))
		if err != nil {
			return err
		}
		for _, uri := range uris {
			c := a.client(i + 1)
			c.Session, c.Version = id, "2025-11-25"
			res, err := c.Do(a.ctx, http.MethodPost, fleettest.Request(1, "resources/subscribe", fmt.Sprintf(`{"uri":%q}`, uri)))
			if err != nil || res.StatusCode != http.StatusOK {
				return fmt.Errorf("subscribe: %v %v", res.Status, err)
			}
		}
		req, err := http.NewRequestWithContext(a.ctx, http.MethodGet, "http://fleet.test/", nil)
		if err != nil {
			return err
		}
		req.Header = http.Header{"Accept": {eventStream}, "Mcp-Session-Id": {id}, "Mcp-Protocol-Version": {"2025-11-25"}}
		a.open(i+2, req)
		return nil
	})
}

const eventStream = "text/event-stream"

// listen adds n listeners.
func (a *audience) listen(t testing.TB, n int, uris ...string) {
	t.Helper()
	quoted, err := json.Marshal(uris)
	must(t, err)
	a.each(t, n, func(i int) error {
		body := statelessBody(i, "subscriptions/listen", `{"notifications":{"resourceSubscriptions":`+string(quoted)+`}}`)
		req, err := http.NewRequestWithContext(a.ctx, http.MethodPost, "http://fleet.test/", bytes.NewReader([]byte(body)))
		if err != nil {
			return err
		}
		req.Header = http.Header{
			"Accept": {"application/json, " + eventStream}, "Content-Type": {"application/json"},
			"Mcp-Protocol-Version": {statelessVersion}, "Mcp-Method": {"subscriptions/listen"},
		}
		a.open(i, req)
		return nil
	})
}

func (a *audience) open(instance int, req *http.Request) {
	s := &sink{audience: a, header: http.Header{}, begun: make(chan struct{}), done: make(chan struct{})}
	a.mu.Lock()
	a.sinks = append(a.sinks, s)
	a.mu.Unlock()
	go func() {
		defer close(s.done)
		a.handlers[instance%len(a.handlers)].ServeHTTP(s, req)
	}()
	select {
	case <-s.begun:
	case <-s.done:
	}
}

func (a *audience) each(t testing.TB, n int, do func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
}

// receive waits until n updates have been received by each.
func (a *audience) receive(t testing.TB, n int) {
	t.Helper()
	want := int64(n) * int64(len(a.sinks))
	redistest.Until(t, fmt.Sprintf("%d subscribers have received %d updates", len(a.sinks), n), func() bool { return a.received.Load() >= want })
}

// exactly fails the test unless each has received n updates.
func (a *audience) exactly(t testing.TB, n int) {
	t.Helper()
	wrong := 0
	for i, s := range a.sinks {
		if got := s.updates.Load(); got != int64(n) {
			if wrong++; wrong < 5 {
				t.Errorf("subscriber %d has received %d updates, want %d", i, got, n)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d have not received each update once", wrong, len(a.sinks))
	}
}
