package mcp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

const (
	initializeBody  = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"n","version":"1"}}}`
	initializedBody = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	setLevelBody    = `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}`
)

// away is the response to what needs Redis while Redis is away; id is raw.
func away(id string) response {
	return errorResponse(503, id, -32000, "the session store is unavailable")
}

// outages are the ways in which Redis is away: it does not respond, or its
// connections break.
var outages = map[string]func(*simulation){
	"frozen": func(s *simulation) { s.eachLink((*redistest.Link).Freeze) },
	"cut":    func(s *simulation) { s.eachLink((*redistest.Link).Cut) },
}

func (s *simulation) eachLink(f func(*redistest.Link)) {
	for _, i := range s.instances {
		f(i.link)
	}
}

func (s *simulation) heal() { s.eachLink((*redistest.Link).Heal) }

// eachOutage runs f in a simulation for each kind of outage, which begins when
// f calls begin.
func eachOutage(t *testing.T, c simulated, f func(t *testing.T, s *simulation, begin func())) {
	for name, begin := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, c, func(t *testing.T, s *simulation) { f(t, s, func() { begin(s) }) })
		})
	}
}

// withinOutage is how soon a request fails while Redis is away.
const withinOutage = 2 * time.Second

// rueidis lets a call wait for the connection that another one makes, with the other's
// time. However many clients call, and whenever, none waits for longer.
func TestManyRequestsFailAsSoonAsOne(t *testing.T) {
	t.Parallel()
	users := func(o *fleet.Options) { o.SessionsPerUser = 5 }
	eachOutage(t, simulated{options: users}, func(t *testing.T, s *simulation, begin func()) {
		c := s.session(t)
		q := asked(t, s.session(t), "form")
		begin()
		var wg sync.WaitGroup
		for i := range 30 {
			for _, request := range []struct{ method, body, session string }{
				{"POST", initializeBody, ""},
				{"POST", fleettest.Request(2, "ping", "{}"), c.Session},
				{"POST", setLevelBody, c.Session},
				{"POST", fleettest.Request(2, "resources/subscribe", `{"uri":"a:b"}`), c.Session},
				{"POST", initializedBody, c.Session},
				{"POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, c.Session},
				{"POST", responseTo(q.ID, "x"), c.Session},
				{"DELETE", "", c.Session},
			} {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 700 * time.Millisecond)
					for _, instance := range s.instances {
						began := time.Now()
						res, err := at(c, instance.url).Do(t.Context(), request.method, request.body, set("Mcp-Session-Id", request.session))
						if err != nil {
							t.Error(err)
							return
						}
						got := read(t, res)
						if took := time.Since(began); took > withinOutage {
							t.Errorf("%s %s after %v of the outage: %d, after %v", request.method, request.body, time.Duration(i)*700*time.Millisecond, got.Status, took)
						}
					}
				})
			}
		}
		wg.Wait()
		s.heal()
		recovered(t, s, s.session(t))
		q.stream.Close()
	})
}

func TestRequestsFailSoonWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
		c, busy := s.session(t), s.session(t)
		q := asked(t, busy, "form")
		responses := messages(q.stream)
		begin()
		for _, request := range []struct{ method, body, session, id string }{
			{"POST", initializeBody, "", "1"},
			{"POST", fleettest.Request(2, "ping", "{}"), c.Session, "2"},
			{"POST", fleettest.Request("three", "tools/call", `{"name":"echo","arguments":{}}`), c.Session, `"three"`},
			{"POST", setLevelBody, c.Session, "1"},
			{"POST", initializedBody, c.Session, "null"},
			{"POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, c.Session, "null"},
			{"POST", `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`, c.Session, "null"},
			{"POST", responseTo(q.ID, "x"), busy.Session, "null"},
			{"DELETE", "", c.Session, "null"},
		} {
			for _, instance := range s.instances {
				began := time.Now()
				res, err := at(c, instance.url).Do(t.Context(), request.method, request.body, set("Mcp-Session-Id", request.session))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(away(request.id), read(t, res)); diff != "" {
					t.Errorf("%s %s: (-want +got)\n%s", request.method, request.body, diff)
				}
				if got := res.Header.Get("Retry-After"); got != "1" {
					t.Errorf("%s %s: Retry-After is %q", request.method, request.body, got)
				}
				if took := time.Since(began); took > withinOutage {
					t.Errorf("%s %s: answered after %v", request.method, request.body, took)
				}
			}
		}
		s.heal()
		recovered(t, s, c)
		accepts(t, busy, responseTo(q.ID, " at last"))
		if m := soon(t, responses); !strings.Contains(string(m.Data), "accept at last") {
			t.Errorf("the call that asked ended with %s", m.Data)
		}
	})
}

// recovered fails the test unless every instance serves the session again,
// within what a client waits that obeys Retry-After.
func recovered(t *testing.T, s *simulation, c *fleettest.Client) {
	t.Helper()
	time.Sleep(time.Second)
	for _, instance := range s.instances {
		wantText(t, at(c, instance.url).CallTool(t, "echo", `{"text":"recovered"}`), "recovered")
		s.client(t).Initialize(t, "2025-11-25", "{}")
	}
}

func TestOpenStreamsOutliveAnOutage(t *testing.T) {
	t.Parallel()
	eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
		b := newBystander(t, s)
		time.Sleep(2 * time.Second) // its response is a stream by now
		begin()
		time.Sleep(time.Minute)
		s.heal()
		time.Sleep(5 * time.Second)
		b.undisturbed(t)
	})
}

// What was said on the standalone stream while its reader could not hear of it
// is in the log, and the reader looks.
func TestReaderCutOffFromRedisMissesNothing(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		stream := messages(at(c, s.instances[0].url).Get(t, ""))
		s.instances[0].link.Freeze()
		wantText(t, at(c, s.instances[1].url).CallTool(t, "aside", `{"text":"unheard"}`), "said")
		time.Sleep(5 * time.Second)
		s.heal()
		wantText(t, at(c, s.instances[1].url).CallTool(t, "aside", `{"text":"received"}`), "said")
		for _, want := range []string{"unheard", "received"} {
			if m := soon(t, stream); !strings.Contains(string(m.Data), `"`+want+`"`) {
				t.Errorf("got %s, want %s", m.Data, want)
			}
		}
	})
}

// Any error to a GET would end a client's whole session, so it waits.
func TestGetDuringAnOutageIsHeld(t *testing.T) {
	t.Parallel()
	eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
		c := s.session(t)
		stream := c.Get(t, "")
		wantText(t, c.CallTool(t, "aside", `{"text":"before"}`), "said")
		stream.Message(t)
		last := stream.Last
		stream.Close()
		time.Sleep(time.Second)
		begin()
		held := at(c, s.instances[0].url).Get(t, last)
		if held.StatusCode != http.StatusOK {
			t.Fatalf("status %d", held.StatusCode)
		}
		if e, err := held.Next(); err != nil || e.ID != last {
			t.Errorf("a held stream begins with %+v, %v; want the id %s", e, err, last)
		}
		got := messages(held)
		time.Sleep(20 * time.Second)
		s.heal()
		time.Sleep(5 * time.Second)
		// The bound of the wait is not one of the stream.
		for i := range 5 {
			time.Sleep(20 * time.Second)
			said := fmt.Sprint("after ", i)
			wantText(t, c.CallTool(t, "aside", fmt.Sprintf(`{"text":%q}`, said)), "said")
			if m := soon(t, got); !strings.Contains(string(m.Data), said) {
				t.Errorf("got %q, want %q", m.Data, said)
			}
		}
	})
}

func TestHeldGetEndsAfterAWhileAndKeepsItsPlace(t *testing.T) {
	t.Parallel()
	eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
		c := s.session(t)
		begin()
		began := time.Now()
		held := c.Get(t, "g.7.ABCDEF")
		var retry time.Duration
		for {
			e, err := held.Next()
			if err != nil {
				break
			}
			retry = max(retry, e.Retry)
		}
		if took := time.Since(began); took < 30*time.Second || took > 40*time.Second {
			t.Errorf("held for %v, want about 30 s", took)
		}
		if held.Last != "g.7.ABCDEF" || retry != time.Second {
			t.Errorf("the client comes back after %q and %v, want its own id and 1 s", held.Last, retry)
		}
	})
}

func TestOnlySoManyGetsAreHeld(t *testing.T) {
	t.Parallel()
	const most = 256
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		var clients []*fleettest.Client // of one session there is but one stream
		for range most {
			clients = append(clients, at(s.session(t), s.instances[0].url))
		}
		hold := func(clients []*fleettest.Client) {
			t.Helper()
			var held sync.WaitGroup
			for _, c := range clients {
				held.Go(func() {
					stream := c.Get(t, "")
					if stream.StatusCode != http.StatusOK {
						t.Errorf("status %d", stream.StatusCode)
					}
					go func() { _, _ = io.Copy(io.Discard, stream.Body) }()
				})
			}
			held.Wait()
		}
		s.eachLink((*redistest.Link).Cut)
		hold(clients)
		res, err := clients[0].Do(t.Context(), "GET", "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(away("null"), read(t, res)); diff != "" {
			t.Errorf("one too many: (-want +got)\n%s", diff)
		}
		s.heal()
		time.Sleep(10 * time.Second)
		// Who was held and is served now takes no place in the next outage.
		s.eachLink((*redistest.Link).Cut)
		hold(clients[:10])
		s.heal()
		time.Sleep(10 * time.Second)
	})
}

func TestResponseComputedDuringAnOutage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		streams bool
		outage  time.Duration
		wantID  bool
		arrives time.Duration // at the latest, after the outage's begin
	}{
		{name: "as JSON it needs no Redis", outage: time.Minute, arrives: 0},
		{name: "in a stream it waits for Redis", streams: true, outage: 20 * time.Second, wantID: true, arrives: 25 * time.Second},
		{name: "after 30 s it goes without", streams: true, outage: 2 * time.Minute, arrives: 40 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
				c := s.session(t)
				response := make(chan *fleettest.Stream, 1)
				go func() {
					response <- fleettest.NewStream(c.Post(t, fleettest.Request(1, "tools/call", `{"name":"wait","arguments":{"name":"w"}}`)))
				}()
				s.runs(t, "w")
				if test.streams {
					time.Sleep(5 * time.Second)
				}
				begin()
				began := time.Now()
				time.AfterFunc(test.outage, s.heal)
				s.open("w")
				stream := soon(t, response)
				if !test.streams {
					wantText(t, c.Message(t, stream.Response), "went on")
				} else {
					wantText(t, stream.Message(t), "went on")
					if hasID := stream.Last != "" && !strings.Contains(stream.Last, ".0."); hasID != test.wantID {
						t.Errorf("the response's id is %q", stream.Last)
					}
				}
				if took := time.Since(began); took > test.arrives {
					t.Errorf("arrived after %v, want %v at the latest", took, test.arrives)
				}
				time.Sleep(test.outage)
				recovered(t, s, c)
			})
		})
	}
}

func health(h http.Handler) response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return response{w.Code, w.Header().Get("Content-Type"), w.Body.String()}
}

var (
	healthy   = response{200, "text/plain; charset=utf-8", "ok\n"}
	unhealthy = response{503, "text/plain; charset=utf-8", "not ready\n"}
)

// Restarting an instance does not bring Redis back, but sending it no requests helps.
func TestHealthDuringAnOutage(t *testing.T) {
	t.Parallel()
	eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
		check := func(when string, ready response) {
			t.Helper()
			for _, i := range s.instances {
				began := time.Now()
				if diff := cmp.Diff(ready, health(i.handler.Readyz())); diff != "" {
					t.Errorf("%s, readyz: (-want +got)\n%s", when, diff)
				}
				if took := time.Since(began); took > 4*time.Second { // as above
					t.Errorf("%s, readyz took %v", when, took)
				}
				if diff := cmp.Diff(healthy, health(i.handler.Livez())); diff != "" {
					t.Errorf("%s, livez: (-want +got)\n%s", when, diff)
				}
			}
		}
		check("before", healthy)
		begin()
		check("during", unhealthy)
		time.Sleep(time.Minute)
		check("after a minute", unhealthy)
		s.heal()
		time.Sleep(3 * time.Second)
		check("after", healthy)
	})
}

// A real Redis, with client-side caching: a process that is stopped, killed and
// started again, under instances that stay.
func TestRealRedisFreezesAndRestarts(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--appendonly", "yes")
	r := newRig(nil)
	f := fleettest.Start(t, fleettest.Config{Redis: &redis.Server, Server: r.server})
	c := fleettest.Initialized(t, f.URL)
	stream := c.Get(t, "")
	down := func() {
		t.Helper()
		var done sync.WaitGroup
		for _, i := range f.Instances {
			for _, request := range []struct{ method, body, session string }{
				{"POST", initializeBody, ""}, {"POST", setLevelBody, c.Session}, {"POST", initializedBody, c.Session}, {"DELETE", "", c.Session},
			} {
				done.Go(func() {
					res, err := at(c, i.URL).Do(t.Context(), request.method, request.body, set("Mcp-Session-Id", request.session))
					if err != nil {
						t.Error(err)
						return
					}
					if got := read(t, res); got.Status != http.StatusServiceUnavailable {
						t.Errorf("%s %s: %+v", request.method, request.body, got)
					}
				})
			}
		}
		done.Wait()
	}
	up := func() {
		t.Helper()
		for _, i := range f.Instances {
			redistest.Until(t, "the instance is ready", func() bool { return i.Handler.Ready(t.Context()) == nil })
			wantText(t, at(c, i.URL).CallTool(t, "aside", `{"text":"recovered"}`), "said")
			if m := stream.Message(t); !strings.Contains(string(m.Params), "recovered") {
				t.Errorf("the stream has %s", m.Params)
			}
		}
	}
	up()
	redis.Freeze(t)
	down()
	redis.Thaw(t)
	up()
	redis.Stop()
	down()
	redis.Restart(t)
	up()
}

// A Redis that is full refuses what would write. What only reads goes on, and a
// session can always be ended.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--maxmemory-policy", "noeviction")
	admin := redis.Client(t)
	limit := func(bytes string) {
		t.Helper()
		if err := admin.Do(t.Context(), admin.B().ConfigSet().ParameterValue().ParameterValue("maxmemory", bytes).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(nil)
	f := fleettest.Start(t, fleettest.Config{Redis: &redis.Server, Server: r.server})
	c, ends := fleettest.Initialized(t, f.URL), fleettest.Initialized(t, f.URL)
	limit("1")
	for _, i := range f.Instances {
		for _, test := range []struct{ body, session, id string }{
			{initializeBody, "", "1"}, {setLevelBody, c.Session, "1"},
		} {
			if diff := cmp.Diff(away(test.id), read(t, at(c, i.URL).Post(t, test.body, set("Mcp-Session-Id", test.session)))); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", test.body, diff)
			}
		}
		wantText(t, at(c, i.URL).CallTool(t, "echo", `{"text":"reads go on"}`), "reads go on")
		m := at(c, i.URL).CallTool(t, "count", `{"n":1}`)
		if got := string(m.Error); !strings.Contains(got, "unavailable") || strings.Contains(got, "OOM") {
			t.Errorf("a call that cannot stream ends with %s; want an error without Redis's own words", got)
		}
	}
	if status := ends.Delete(t); status != http.StatusNoContent {
		t.Errorf("DELETE: status %d", status)
	}
	limit("0")
	for _, i := range f.Instances {
		wantText(t, at(c, i.URL).CallTool(t, "count", `{"n":1}`), "1")
		fleettest.Initialized(t, i.URL)
	}
}
