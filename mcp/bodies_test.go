package mcp_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

const bodySize = 1 << 20

func withSmallBodies(o *fleet.Options) { o.MaxBody, o.MaxBodies = bodySize, 2*bodySize }

// hugeBody is a call of the tool whose body has bodySize bytes.
func hugeBody(name string) string {
	body := toolCall(1, name, `{"name":"w","text":"%"}`)
	return strings.Replace(body, "%", strings.Repeat("x", bodySize-len(body)+1), 1)
}

// A halfSent is a request whose body has arrived but for its last byte.
type halfSent struct {
	w    *io.PipeWriter
	last string
	res  chan *http.Response
}

func sendHalf(t testing.TB, c *fleettest.Client, body string, change ...func(http.Header)) *halfSent {
	t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.URL, r)
	must(t, err)
	req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	set("Mcp-Session-Id", c.Session)(req.Header)
	set("Mcp-Protocol-Version", c.Version)(req.Header)
	for _, f := range change {
		f(req.Header)
	}
	h := &halfSent{w, body[len(body)-1:], make(chan *http.Response, 1)}
	go func() {
		res, err := c.HTTP.Do(req)
		if err == nil {
			h.res <- res
		}
	}()
	_, err = io.WriteString(w, body[:len(body)-1])
	must(t, err)
	synctest.Wait()
	return h
}

func (h *halfSent) finish(t testing.TB) *http.Response {
	t.Helper()
	_, err := io.WriteString(h.w, h.last)
	must(t, err)
	must(t, h.w.Close())
	return soon(t, h.res)
}

// bodyEndpoints send a message of the given size in each way that there is.
var bodyEndpoints = map[string]func(t *testing.T, s *simulation) (c *fleettest.Client, body string, change []func(http.Header)){
	"a session": func(t *testing.T, s *simulation) (*fleettest.Client, string, []func(http.Header)) {
		return s.session(t), hugeBody("echo"), nil
	},
	"a batch": func(t *testing.T, s *simulation) (*fleettest.Client, string, []func(http.Header)) {
		return s.batching(t), strings.Replace(array(hugeBody("echo")), "xx", "", 1), nil
	},
	"HTTP+SSE": func(t *testing.T, s *simulation) (*fleettest.Client, string, []func(http.Header)) {
		return s.sse(t, 0, "").Client, hugeBody("echo"), nil
	},
	"2026-07-28": func(t *testing.T, s *simulation) (*fleettest.Client, string, []func(http.Header)) {
		body := statelessBody(1, "tools/call", `{"name":"echo","arguments":{"text":"%"}}`)
		return s.stateless(t), strings.Replace(body, "%", strings.Repeat("x", bodySize-len(body)+1), 1), []func(http.Header){named("tools/call", "echo")}
	},
}

func TestBodiesUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	for name, endpoint := range bodyEndpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{wrap: withSSE, options: withSmallBodies}, func(t *testing.T, s *simulation) {
				c, body, change := endpoint(t, s)
				if path := strings.Index(c.URL, "/message"); path >= 0 {
					c = at(c, s.instances[1].url+c.URL[path+1:])
				} else {
					c = at(c, s.instances[1].url)
				}
				one, two := sendHalf(t, c, body, change...), sendHalf(t, c, body, change...)
				want := errorResponse(503, "null", -32000, "too many request bodies are under way")
				res := c.Post(t, body[:100], change...)
				if after := res.Header.Get("Retry-After"); after != "1" {
					t.Errorf("Retry-After %q", after)
				}
				if diff := cmp.Diff(want, read(t, res)); diff != "" {
					t.Errorf("one too many: (-want +got)\n%s", diff)
				}
				if got := read(t, one.finish(t)); got.Status/100 != 2 {
					t.Errorf("the first: %d %.200s", got.Status, got.Body)
				}
				must(t, two.w.CloseWithError(io.ErrUnexpectedEOF)) // its client has gone
				time.Sleep(2 * time.Second)
				for i := range 3 { // what is over does not count
					next := strings.Replace(body, `"id":1`, fmt.Sprint(`"id":`, i+2), 1)
					if got := read(t, c.Post(t, next, change...)); got.Status/100 != 2 {
						t.Errorf("afterwards: %d %.200s", got.Status, got.Body)
					}
				}
			})
		})
	}
}

// What a handler keeps is the handler's: calls may take hours.
func TestBodiesOfRunningCallsDoNotCount(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{options: withSmallBodies}, func(t *testing.T, s *simulation) {
		c, stateless := at(s.session(t), s.instances[0].url), at(s.stateless(t), s.instances[0].url)
		for i := range 5 {
			name := fmt.Sprint("w", i)
			body := strings.Replace(hugeBody("wait"), `"w"`, fmt.Sprintf("%q", name), 1)
			body = strings.Replace(body, `"id":1`, fmt.Sprintf(`"id":%d`, i), 1)
			body = strings.Replace(body, "xx", "", 1)
			go c.Post(t, body)
			s.runs(t, name)
			time.Sleep(2 * time.Second)
		}
		if got := read(t, c.Post(t, fleettest.Request("another", "ping", "{}"))); got.Status != 200 {
			t.Errorf("%+v", got)
		}
		if got := statelessCall(t, stateless, "echo", fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", bodySize/2))); got.StatusCode != 200 {
			t.Errorf("%+v", read(t, got))
		}
		for i := range 5 {
			s.open(fmt.Sprint("w", i))
		}
	})
}
