package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/auth"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// within is the bound of how long a stream outlives the revocation of its token:
// RecheckEvery and a second.
const within = 6 * time.Second

// open are streams of every kind that came with one token, each on an instance
// of its own as far as there are enough.
type open struct {
	streams   map[string]<-chan sse.Event
	client    *fleettest.Client // of the session that has a call
	last      string            // event of that call's stream to resume from
	sse       *sseClient
	call      string // name of the call with a session
	stateless string // name of the call without one
}

func openAll(t testing.TB, s *simulation, token, name string) *open {
	t.Helper()
	n := 0
	next := func() string { n++; return s.instances[n%len(s.instances)].url }
	o := &open{streams: map[string]<-chan sse.Event{}, call: name + "'s call", stateless: name + "'s stateless call"}
	o.client = s.begun(t, token)
	o.streams["standalone stream"] = messages(at(o.client, next()).Get(t, ""))

	call := fleettest.NewStream(at(o.client, next()).Post(t, toolCall(7, "wait", fmt.Sprintf(`{"name":%q}`, o.call))))
	first, err := call.Next()
	must(t, err)
	o.last = first.ID
	o.streams["stream of a call"] = messages(call)
	s.runs(t, o.call)

	asking := s.begun(t, token)
	q := asked(t, asking, "form")
	q.stream.Close()
	o.streams["resumed stream of a call"] = messages(at(asking, next()).Get(t, q.stream.Last))

	streamOwner := at(s.client(t), next())
	o.sse = openSSE(t, streamOwner, token).at(balancer)
	o.sse.initialize(t)
	o.streams["SSE stream"] = o.sse.events

	stateless := at(s.guest(t, token), next())
	stateless.Version = statelessVersion
	o.streams["listener"] = acknowledged(t, stateless, `1`, `{"toolsListChanged":true}`)

	stateless = at(stateless, next())
	o.streams["stream of a stateless call"] = messages(fleettest.NewStream(statelessCall(t, stateless, "wait", fmt.Sprintf(`{"name":%q}`, o.stateless))))
	s.runs(t, o.stateless)
	return o
}

// goOn fails the test if any of the streams has ended, or has said anything.
func (o *open) goOn(t testing.TB) {
	t.Helper()
	synctest.Wait()
	for name, events := range o.streams {
		goesOn(t, name, events)
	}
}

// Within the bound every stream of a revoked token is over, on whatever instance
// it is; nobody else's is, nor those of the user's other tokens. With sessions
// the call goes on, and its response waits for her.
func TestSessionOwnershipEndsWithRevocation(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		token := a.token("alice")
		hers := openAll(t, s, token, "alice")
		others := []*open{openAll(t, s, a.token("alice"), "her other client"), openAll(t, s, a.token("bob"), "bob")}
		time.Sleep(time.Minute)
		hers.goOn(t)

		a.revoke(token)
		for name, events := range hers.streams {
			left := rest(t, name, events, within)
			if name == "stream of a stateless call" { // nobody can resume it
				if len(left) != 1 || !strings.HasPrefix(left[0], `{"jsonrpc":"2.0","id":1,"error":`) {
					t.Errorf("%s ends with %q", name, left)
				}
			} else if len(left) != 0 {
				t.Errorf("%s ends with %q", name, left)
			}
		}
		synctest.Wait()
		if n := s.running.Load(); n != 5 {
			t.Errorf("%d calls run, want all but the one that nobody can resume", n)
		}
		for i, instance := range s.instances {
			if res := read(t, at(hers.client, instance.url).Post(t, fleettest.Request(1, "ping", "{}"))); res.Status != http.StatusUnauthorized {
				t.Errorf("the token on instance %d: %+v", i, res)
			}
		}
		hers.sse.Client = as(hers.sse.Client, a.token("alice"))
		s.wantNone(t, hers.sse)
		time.Sleep(time.Minute)
		for _, o := range others {
			o.goOn(t)
		}

		s.open(hers.call)
		if res := read(t, as(hers.client, token).Get(t, hers.last).Response); res.Status != http.StatusUnauthorized {
			t.Errorf("the revoked token gets the rest: %+v", res)
		}
		if res := read(t, as(hers.client, a.token("bob")).Get(t, hers.last).Response); res.Status != http.StatusNotFound {
			t.Errorf("bob gets the rest: %+v", res)
		}
		wantText(t, as(hers.client, a.token("alice")).Get(t, hers.last).Message(t), "went on")
	})
}

// That nobody can tell whether a token is still valid ends nothing.
func TestSessionOwnershipOutlivesAnOutageOfTheVerifier(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		token := a.token("alice")
		hers := openAll(t, s, token, "alice")
		a.fail(fmt.Errorf("%w: no route to host", auth.ErrUnavailable))
		time.Sleep(time.Minute)
		hers.goOn(t)
		res := hers.client.Post(t, fleettest.Request(1, "ping", "{}"))
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || res.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("a request meanwhile: %s %v", res.Status, res.Header)
		}
		a.revoke(token)
		a.fail(nil)
		for name, events := range hers.streams {
			rest(t, name, events, within)
		}
	})
}

// Streams end when their token expires, to the second. The one call that would
// be lost by it goes on: it was allowed when it began.
func TestSessionOwnershipEndsWithTheToken(t *testing.T) {
	t.Parallel()
	eachSize(t, func(t *testing.T, s *simulation, a *authority) {
		until := time.Now().Add(3 * time.Minute)
		hers := openAll(t, s, a.issue(ourIssuer, "alice", time.Until(until)), "alice")
		time.Sleep(time.Until(until) - time.Second)
		hers.goOn(t)
		stateless := hers.streams["stream of a stateless call"]
		delete(hers.streams, "stream of a stateless call")
		for name, events := range hers.streams {
			left := rest(t, name, events, 2*time.Second)
			if name == "listener" {
				if diff := cmp.Diff([]string{completionOf(`1`)}, left); diff != "" {
					t.Errorf("%s (-want +got)\n%s", name, diff)
				}
			} else if len(left) != 0 {
				t.Errorf("%s ends with %q", name, left)
			}
		}
		time.Sleep(time.Minute)
		goesOn(t, "the stateless call", stateless)
		s.open(hers.stateless)
		contains(t, stateless, "went on")
		s.open(hers.call)
		wantText(t, as(hers.client, a.token("alice")).Get(t, hers.last).Message(t), "went on")
	})
}

// A call that is revoked before its response has begun is answered, not with an
// empty response.
func TestRevokedBeforeTheResponseBegan(t *testing.T) {
	t.Parallel()
	a := &authority{}
	patient := func(o *fleet.Options) { o.StreamAfter = time.Hour }
	simulate(t, simulated{rig: statelessRig(), wrap: a.protect, options: patient}, func(t *testing.T, s *simulation) {
		token := a.token("alice")
		old := s.begun(t, token)
		stateless := s.guest(t, token)
		stateless.Version = statelessVersion
		batched := s.guest(t, token)
		batched.Initialize(t, "2025-03-26", everyCapability)
		responses := make(chan response, 3)
		go func() { responses <- read(t, old.Post(t, toolCall(1, "wait", `{"name":"w"}`))) }()
		s.runs(t, "w")
		go func() { responses <- read(t, statelessCall(t, stateless, "stubborn", `{"name":"w"}`)) }()
		s.runs(t, "w")
		go func() { responses <- read(t, batched.Post(t, "["+toolCall(1, "wait", `{"name":"w"}`)+"]")) }()
		s.runs(t, "w")
		a.revoke(token)
		bodies := map[string]int{}
		for range 3 {
			bodies[fmt.Sprint(soon(t, responses))]++
		}
		said := "the request was ended; its outcome is unknown"
		if bodies[fmt.Sprint(errorResponse(503, "1", -32000, said))] != 2 || bodies[fmt.Sprint(errorResponse(503, "null", -32000, said))] != 1 {
			t.Errorf("responses %v", bodies)
		}
		s.open("w")
	})
}

// However soon a handler heeds its cancellation, its client has the error first.
func TestEveryRevokedStatelessCallHasAResponse(t *testing.T) {
	t.Parallel()
	a := &authority{}
	simulate(t, simulated{rig: statelessRig(), wrap: a.protect}, func(t *testing.T, s *simulation) {
		token := a.token("alice")
		streams := make([]<-chan sse.Event, 64)
		for i := range streams {
			client := s.guest(t, token)
			client.Version = statelessVersion
			streams[i] = messages(fleettest.NewStream(statelessCall(t, client, "wait", `{"name":"w"}`)))
			s.runs(t, "w")
		}
		a.revoke(token)
		for _, events := range streams {
			left := rest(t, "call", events, within)
			if len(left) != 1 || !strings.HasPrefix(left[0], `{"jsonrpc":"2.0","id":1,"error":`) {
				t.Errorf("a call ends with %q", left)
			}
		}
	})
}

// So is a request to listen that is revoked before it is acknowledged.
func TestRevokedBeforeTheAcknowledgement(t *testing.T) {
	t.Parallel()
	a, r := &authority{}, newsRig()
	r.opts.SubscribeHandler = func(ctx context.Context, _ *mcp.SubscribeRequest) error {
		<-ctx.Done()
		return ctx.Err()
	}
	simulate(t, simulated{rig: r, wrap: a.protect}, func(t *testing.T, s *simulation) {
		token := a.token("alice")
		listener := s.guest(t, token)
		listener.Version = statelessVersion
		const asking = 16
		responses := make(chan response, asking)
		for range asking {
			go func() {
				responses <- read(t, listener.Post(t, statelessBody(1, "subscriptions/listen", `{"notifications":`+allNews+`}`), named("subscriptions/listen", "")))
			}()
		}
		synctest.Wait()
		a.revoke(token)
		want := errorResponse(503, "1", -32000, "the request was ended; its outcome is unknown")
		for range asking {
			if diff := cmp.Diff(want, soon(t, responses)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
	})
}
