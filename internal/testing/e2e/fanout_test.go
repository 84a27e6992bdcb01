//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// What the server says that belongs to no call.
const (
	toolsChanged    = "notifications/tools/list_changed"
	resourceUpdated = "notifications/resources/updated"
)

// The switch was turned in one process. All say so, in both eras, also one that
// was started afterwards, and clients hear of it wherever they listen.
func TestToolSwitchedOnAnywhereIsListedEverywhere(t *testing.T) {
	t.Parallel()
	f := startFleet(t, everything, 3)
	client := begin(t, f.URL)
	var sessions, listeners []<-chan news
	for _, p := range f.processes {
		sessions = append(sessions, readNews(begin(t, p.URL).Get(t, "")))
		listeners = append(listeners, readNews(listen(t, stateless(t, p.URL), `{"toolsListChanged":true}`)))
	}
	if m := at(client, f.process(0)).CallTool(t, "toggleTool", `{"on":true}`); m.Error != nil {
		t.Fatalf("toggleTool: %s", m.Error)
	}
	switched := time.Now()
	for i, p := range append(slices.Clone(f.processes), f.add(t)) {
		started := time.Now() // the last one cannot do so earlier
		if i < 3 {
			started = switched
		}
		for era, tools := range map[string]func() string{
			"2025-11-25": func() string { return string(at(client, p).Call(t, "tools/list", "{}").Result) },
			"2026-07-28": func() string { return string(statelessList(t, p)) },
		} {
			soon(t, started, fmt.Sprintf("process %d lists the tool in %s", i, era), func() bool {
				return strings.Contains(tools(), `"secretHandshake"`)
			})
		}
	}
	for i := range sessions {
		if n := receive(t, sessions[i]); n.Method != toolsChanged {
			t.Errorf("the session at process %d hears of %+v", i, n)
		}
		if n := receive(t, listeners[i]); n.Method != toolsChanged {
			t.Errorf("the listener at process %d hears of %+v", i, n)
		}
	}
}

// The process that had the streams dies. What was published meanwhile, by a
// process that serves nothing, is not lost to a session, whether or not its
// client says what it had last; a listener, which is nothing but its connection,
// comes back and hears what is next.
func TestSubscribersSurviveTheDeathOfTheProcessThatHadTheirStreams(t *testing.T) {
	t.Parallel()
	f := startFleet(t, conformance, 3) // which updates nothing by itself
	victim, notifier := f.process(0), f.notifier(t)
	publish := func(uri string) {
		t.Helper()
		must(t, notifier.ResourceUpdated(t.Context(), uri))
	}
	const before, meanwhile, later = "test://before", "test://meanwhile", "test://later"
	subscriber := func() (*fleettest.Client, *fleettest.Stream) {
		c := begin(t, f.URL)
		for _, uri := range []string{before, meanwhile, later} {
			if m := c.Call(t, "resources/subscribe", fmt.Sprintf(`{"uri":%q}`, uri)); m.Error != nil {
				t.Fatalf("subscribe to %s: %s", uri, m.Error)
			}
		}
		return c, at(c, victim).Get(t, "")
	}
	remembers, remembered := subscriber()
	forgets, forgotten := subscriber()
	filter := fmt.Sprintf(`{"resourceSubscriptions":[%q,%q]}`, before, later)
	listener := listen(t, stateless(t, victim.URL), filter)

	publish(before)
	for who, s := range map[string]*fleettest.Stream{"one session": remembered, "the other": forgotten, "the listener": listener} {
		if n := nextNews(t, s); n != (news{resourceUpdated, before}) {
			t.Fatalf("%s hears of %+v", who, n)
		}
	}
	f.kill(victim)
	for _, s := range []*fleettest.Stream{remembered, forgotten, listener} {
		receive(t, collect(s)) // it ends
	}
	publish(meanwhile)

	again := map[string]*fleettest.Stream{
		"with Last-Event-ID":    at(remembers, f.process(1)).Get(t, remembered.Last),
		"without Last-Event-ID": at(forgets, f.process(2)).Get(t, ""),
	}
	for how, s := range again {
		hears(t, how, s, meanwhile)
	}
	again["the listener"] = listen(t, stateless(t, f.process(1).URL), filter)
	publish(later)
	for who, s := range again {
		hears(t, who, s, later)
	}
}

// The demo says something by itself, wherever a stream is: every 10 s that what
// its client is subscribed to was updated, every 20 s something to log.
func TestTimedNotificationsArrive(t *testing.T) {
	t.Parallel()
	const uri = "test://static/resource/7"
	f := startFleet(t, everything, 3)
	c := begin(t, f.URL)
	if m := c.Call(t, "resources/subscribe", fmt.Sprintf(`{"uri":%q}`, uri)); m.Error != nil {
		t.Fatalf("subscribe: %s", m.Error)
	}
	session := readNews(c.Get(t, ""))
	listener := readNews(listen(t, stateless(t, f.URL), fmt.Sprintf(`{"resourceSubscriptions":[%q]}`, uri)))
	for who, heard := range map[string]<-chan news{"the session": session, "the listener": listener} {
		if n := receive(t, heard); n != (news{resourceUpdated, uri}) {
			t.Errorf("%s hears first of %+v", who, n)
		}
	}
	for n := receive(t, session); n.Method != "notifications/message"; n = receive(t, session) {
		if n != (news{resourceUpdated, uri}) {
			t.Errorf("the session hears of %+v", n)
		}
	}
}

// News is a notification as tests tell them apart.
type news struct{ Method, URI string }

func newsOf(m *jsonrpcmsg.Message) news {
	var p struct{ URI string }
	_ = json.Unmarshal(m.Params, &p) // most have no URI
	return news{m.Method, p.URI}
}

func nextNews(t testing.TB, s *fleettest.Stream) news {
	t.Helper()
	return newsOf(s.Message(t))
}

// hears reads a stream up to the update of a resource. What was known before
// may be repeated.
func hears(t testing.TB, who string, s *fleettest.Stream, uri string) {
	t.Helper()
	for {
		n := nextNews(t, s)
		if n == (news{resourceUpdated, uri}) {
			return
		}
		t.Logf("%s: %+v once more", who, n)
	}
}

// readNews reads a stream until it ends.
func readNews(s *fleettest.Stream) <-chan news {
	ch := make(chan news, 1000)
	go func() {
		defer close(ch)
		for {
			e, err := s.Next()
			if err != nil {
				return
			}
			if m, err := jsonrpcmsg.Decode(e.Data); err == nil {
				ch <- newsOf(m)
			}
		}
	}()
	return ch
}

const statelessMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"e2e","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

// stateless returns a client of protocol 2026-07-28 that sends what it is told.
func stateless(t testing.TB, url string) *fleettest.Client {
	c := fleettest.NewClient(t, url)
	c.Version = "2026-07-28"
	return c
}

// listen opens a stream of news, and returns when it is acknowledged.
func listen(t testing.TB, c *fleettest.Client, filter string) *fleettest.Stream {
	t.Helper()
	const method = "subscriptions/listen"
	s := fleettest.NewStream(c.Post(t, fleettest.Request(1, method, fmt.Sprintf(`{%s,"notifications":%s}`, statelessMeta, filter)),
		func(h http.Header) { h.Set("Mcp-Method", method) }))
	if m := s.Message(t); m.Method != "notifications/subscriptions/acknowledged" {
		t.Fatalf("listen: %s %s%s", m.Method, m.Result, m.Error)
	}
	return s
}

func statelessList(t testing.TB, p *process) json.RawMessage {
	t.Helper()
	c := stateless(t, p.URL)
	c.HTTP.Timeout = patience
	return c.Message(t, c.Post(t, fleettest.Request(1, "tools/list", `{`+statelessMeta+`}`),
		func(h http.Header) { h.Set("Mcp-Method", "tools/list") })).Result
}

// soon waits until something is so that should be within a second of a time;
// it fails after ten.
func soon(t testing.TB, since time.Time, what string, done func() bool) {
	t.Helper()
	for !done() {
		if time.Since(since) > 10*time.Second {
			t.Fatalf("still not so after %v: %s", time.Since(since), what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("%v later: %s", time.Since(since).Round(time.Millisecond), what)
}
