package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// newsRig is a rig whose servers have something of everything that can change,
// and resources to subscribe to: all but news://refused.
func newsRig() *rig {
	r := newRig(&mcp.ServerOptions{
		SubscribeHandler: func(_ context.Context, req *mcp.SubscribeRequest) error {
			if req.Params.URI == "news://refused" {
				return mcp.ResourceNotFoundError(req.Params.URI)
			}
			return nil
		},
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	r.more = func(s *mcp.Server) {
		s.AddResource(&mcp.Resource{URI: "news://a", Name: "a"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "news://a", Text: "news"}}}, nil
		})
		s.AddPrompt(&mcp.Prompt{Name: "p"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{}, nil
		})
	}
	return r
}

const allNews = `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["news://a","news://b"]}`

// listen sends subscriptions/listen; id is raw JSON.
func listen(t testing.TB, c *fleettest.Client, id, filter string) *fleettest.Stream {
	t.Helper()
	return fleettest.NewStream(c.Post(t, statelessBody(json.RawMessage(id), "subscriptions/listen", `{"notifications":`+filter+`}`), named("subscriptions/listen", "")))
}

// receives fails the test unless the next event is this message.
func receives(t testing.TB, events <-chan sse.Event, want string) {
	t.Helper()
	e := soon(t, events) // of an ended stream it is empty
	if diff := cmp.Diff(want, string(e.Data)); diff != "" {
		t.Fatalf("message (-want +got)\n%s", diff)
	}
}

// acknowledged opens a listener, whose acknowledgement is all of its filter.
func acknowledged(t testing.TB, c *fleettest.Client, id, filter string) <-chan sse.Event {
	t.Helper()
	events := messages(listen(t, c, id, filter))
	receives(t, events, acknowledgement(id, filter))
	return events
}

func acknowledgement(id, filter string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s},"notifications":%s}}`, id, filter)
}

func updatedFor(id, uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s},"uri":%q}}`, id, uri)
}

func changedFor(id, list string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/%s/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, list, id)
}

func completionOf(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, id, id)
}

// ends fails the test unless the stream ends now.
func ends(t testing.TB, events <-chan sse.Event) {
	t.Helper()
	if e := soon(t, events); e.Data != nil {
		t.Fatalf("the stream goes on: %s", e.Data)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// From the acknowledgement to the completion, every message has the
// subscription's id, whatever JSON it is.
func TestListenerFromAcknowledgementToShutdown(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig(), instances: 3}, func(t *testing.T, s *simulation) {
		ids := []string{`0`, `7`, `-7`, `"seven"`, `"7"`, `12345678901234567890123`, `9007199254740993`, `"` + strings.Repeat("é", 3000) + `"`}
		streamOwner := s.instances[0]
		var listeners []<-chan sse.Event
		for _, id := range ids {
			listeners = append(listeners, acknowledged(t, at(s.stateless(t), streamOwner.url), id, allNews))
		}
		for _, i := range s.instances {
			must(t, i.handler.ResourceUpdated(t.Context(), "news://a"))
			must(t, i.handler.ResourceUpdated(t.Context(), "news://nobody"))
			must(t, i.handler.ResourceUpdated(t.Context(), "news://b"))
			must(t, i.handler.ToolsChanged(t.Context()))
			must(t, i.handler.PromptsChanged(t.Context()))
			must(t, i.handler.ResourcesChanged(t.Context()))
		}
		for n, events := range listeners {
			for range s.instances {
				receives(t, events, updatedFor(ids[n], "news://a"))
				receives(t, events, updatedFor(ids[n], "news://b"))
				receives(t, events, changedFor(ids[n], "tools"))
				receives(t, events, changedFor(ids[n], "prompts"))
				receives(t, events, changedFor(ids[n], "resources"))
			}
		}
		must(t, streamOwner.handler.Shutdown(t.Context()))
		for n, events := range listeners {
			receives(t, events, completionOf(ids[n]))
			ends(t, events)
		}
	})
}

func TestListenerHearsOnlyWhatItAskedFor(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		for filter, want := range map[string]string{
			`{"toolsListChanged":true}`:                         changedFor(`1`, "tools"),
			`{"promptsListChanged":true}`:                       changedFor(`1`, "prompts"),
			`{"resourcesListChanged":true}`:                     changedFor(`1`, "resources"),
			`{"resourceSubscriptions":["news://a"]}`:            updatedFor(`1`, "news://a"),
			`{"resourceSubscriptions":["news://b","news://b"]}`: updatedFor(`1`, "news://b"),
			`{"resourceSubscriptions":["news://<and>\""]}`:      "",
		} {
			events := acknowledged(t, s.stateless(t), `1`, filter)
			h := s.instances[0].handler
			must(t, h.ToolsChanged(t.Context()))
			must(t, h.PromptsChanged(t.Context()))
			must(t, h.ResourcesChanged(t.Context()))
			must(t, h.ResourceUpdated(t.Context(), "news://a"))
			must(t, h.ResourceUpdated(t.Context(), "news://b"))
			if want != "" {
				receives(t, events, want)
			}
			time.Sleep(5 * time.Second)
			select {
			case e := <-events:
				t.Errorf("%s: also received %s", filter, e.Data)
			default:
			}
		}
	})
}

// The acknowledgement says what of the filter the server supports. A listener
// that hears of nothing is over at once, as with the SDK's handler.
func TestListenerIsToldWhatTheServerSupports(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		capabilities *mcp.ServerCapabilities
		filter, want string
	}{
		"all": {nil, allNews, allNews},
		"no lists": {
			&mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}, Prompts: &mcp.PromptCapabilities{}, Resources: &mcp.ResourceCapabilities{}},
			allNews, `{"resourceSubscriptions":["news://a","news://b"]}`,
		},
		"one list":        {&mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{ListChanged: true}, Prompts: &mcp.PromptCapabilities{}}, `{"toolsListChanged":true,"promptsListChanged":true}`, `{"toolsListChanged":true}`},
		"nothing asked":   {nil, `{}`, `{}`},
		"false is false":  {nil, `{"toolsListChanged":false,"resourceSubscriptions":[]}`, `{}`},
		"nothing of that": {&mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}, `{"toolsListChanged":true}`, `{}`},
		"unknown fields":  {nil, `{"toolsListChanged":true,"weatherChanged":true}`, `{"toolsListChanged":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newsRig()
			r.opts.Capabilities = test.capabilities
			simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
				events := messages(listen(t, s.stateless(t), `1`, test.filter))
				receives(t, events, acknowledgement(`1`, test.want))
				if test.want == `{}` {
					receives(t, events, completionOf(`1`))
					ends(t, events)
				}
			})
		})
	}
}

func TestListenRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 5000 {
		many = append(many, fmt.Sprintf(`"news://%d"`, i))
	}
	body := func(filter string) string {
		return statelessBody(json.RawMessage(`12345678901234567890`), "subscriptions/listen", `{"notifications":`+filter+`}`)
	}
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.stateless(t)
		for name, test := range map[string]struct {
			body    string
			change  func(http.Header)
			status  int
			code    int
			message string
		}{
			"without a filter":           {statelessBody(json.RawMessage(`12345678901234567890`), "subscriptions/listen", `{}`), nil, 400, -32602, "notifications"},
			"with null for a filter":     {body(`null`), nil, 400, -32602, "notifications"},
			"with a text for a filter":   {body(`"all"`), nil, 400, -32602, "invalid params"},
			"with a list for a filter":   {body(`[]`), nil, 400, -32602, "invalid params"},
			"with a text for a flag":     {body(`{"toolsListChanged":"yes"}`), nil, 400, -32602, "invalid params"},
			"with a number for a flag":   {body(`{"promptsListChanged":1}`), nil, 400, -32602, "invalid params"},
			"with a text for the URIs":   {body(`{"resourceSubscriptions":"news://a"}`), nil, 400, -32602, "invalid params"},
			"with a number for a URI":    {body(`{"resourceSubscriptions":["news://a",7]}`), nil, 400, -32602, "invalid params"},
			"with an object for URIs":    {body(`{"resourceSubscriptions":{"news://a":true}}`), nil, 400, -32602, "invalid params"},
			"for an unknown resource":    {body(`{"resourceSubscriptions":["news://a","news://refused"]}`), nil, 400, -32602, "esource not found"},
			"for 1,001 resources":        {body(`{"resourceSubscriptions":[` + strings.Join(many[:1001], ",") + `]}`), nil, 400, -32602, "more than 1000"},
			"for 5,000 resources":        {body(`{"resourceSubscriptions":[` + strings.Join(many, ",") + `]}`), nil, 400, -32602, "more than 1000"},
			"without the version header": {body(allNews), set("Mcp-Protocol-Version", ""), 400, -32020, "header is required"},
			"without the method header":  {body(allNews), set("Mcp-Method", ""), 400, -32020, "Mcp-Method"},
			"without _meta":              {fleettest.Request(json.RawMessage(`12345678901234567890`), "subscriptions/listen", `{"notifications":{}}`), nil, 400, -32602, "_meta"},
			"of a future version":        {strings.ReplaceAll(body(allNews), statelessVersion, "2099-01-01"), set("Mcp-Protocol-Version", "2099-01-01"), 400, -32022, "unsupported"},
			"with Last-Event-ID":         {body(allNews), set("Last-Event-ID", "g.1.ABCDEF"), 400, -32000, "Last-Event-ID"},
			"of a protocol without listeners": {fleettest.Request(json.RawMessage(`12345678901234567890`), "subscriptions/listen", `{"notifications":{}}`), func(h http.Header) {
				h.Set("Mcp-Protocol-Version", "2025-11-25")
				h.Set("Mcp-Session-Id", b.client.Session)
			}, 200, -32601, "subscriptions/listen"},
		} {
			for _, instance := range s.instances {
				changes := []func(http.Header){named("subscriptions/listen", "")}
				if test.change != nil {
					changes = append(changes, test.change)
				}
				res := at(c, instance.url).Post(t, test.body, changes...)
				got := read(t, res)
				var m struct {
					ID    json.RawMessage
					Error *jsonrpc.Error
				}
				if err := json.Unmarshal([]byte(got.Body), &m); err != nil || m.Error == nil {
					t.Errorf("a listener %s: %+v", name, got)
					continue
				}
				if got.Status != test.status || got.Type != "application/json" || string(m.ID) != `12345678901234567890` ||
					int(m.Error.Code) != test.code || !strings.Contains(m.Error.Message, test.message) {
					t.Errorf("a listener %s: %+v; want status %d, code %d and %q", name, got, test.status, test.code, test.message)
				}
			}
		}
		// A thousand is not too many.
		acknowledged(t, c, `1`, `{"resourceSubscriptions":[`+strings.Join(many[:1000], ",")+`]}`)
		b.undisturbed(t)
	})
}

func TestListenersWithTheSameID(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		var listeners []<-chan sse.Event
		for i := range 6 {
			listeners = append(listeners, acknowledged(t, at(c, s.instances[i%2].url), `1`, fmt.Sprintf(`{"resourceSubscriptions":["news://%d"]}`, i)))
		}
		for i := range listeners {
			must(t, s.instances[0].handler.ResourceUpdated(t.Context(), fmt.Sprint("news://", i)))
		}
		for i, events := range listeners {
			receives(t, events, updatedFor(`1`, fmt.Sprint("news://", i)))
		}
		must(t, s.instances[0].handler.Shutdown(t.Context()))
		must(t, s.instances[1].handler.Shutdown(t.Context()))
		for _, events := range listeners {
			receives(t, events, completionOf(`1`))
			ends(t, events)
		}
	})
}

func TestMiddlewareSeesListenRequests(t *testing.T) {
	t.Parallel()
	r := newsRig()
	more := r.more
	r.more = func(s *mcp.Server) {
		more(s)
		s.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				if p, ok := req.GetParams().(*mcp.SubscriptionsListenParams); ok && slices.Contains(p.Notifications.ResourceSubscriptions, "news://secret") {
					return nil, &jsonrpc.Error{Code: -32003, Message: "not for " + req.GetExtra().TokenInfo.UserID}
				}
				return next(ctx, method, req)
			}
		})
	}
	simulate(t, simulated{rig: r, wrap: bearer}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		c.Header.Set("Authorization", "Bearer alice")
		got := read(t, listen(t, c, `"l"`, `{"resourceSubscriptions":["news://secret"]}`).Response)
		if diff := cmp.Diff(errorResponse(200, `"l"`, -32003, "not for alice"), got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		acknowledged(t, c, `2`, allNews)
	})
}

// What a SubscribeHandler says would come before the acknowledgement, which has
// to be the first message.
func TestNothingIsSaidBeforeTheAcknowledgement(t *testing.T) {
	t.Parallel()
	r := newsRig()
	r.opts.SubscribeHandler = func(ctx context.Context, req *mcp.SubscribeRequest) error {
		return req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "error", Data: "subscribing"})
	}
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		events := acknowledged(t, s.stateless(t), `1`, allNews)
		must(t, s.instances[0].handler.ToolsChanged(t.Context()))
		receives(t, events, changedFor(`1`, "tools"))
	})
}

// The SDK's part in a listener ends with the acknowledgement, and with it the
// subscription as the SDK sees it.
func TestUnsubscribeHandlerOfAListenerIsCalledAtOnce(t *testing.T) {
	t.Parallel()
	r := newsRig()
	var mu sync.Mutex
	var calls []string
	note := func(what, uri string) error {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, what+" "+uri)
		return nil
	}
	r.opts.SubscribeHandler = func(_ context.Context, req *mcp.SubscribeRequest) error { return note("subscribe", req.Params.URI) }
	r.opts.UnsubscribeHandler = func(_ context.Context, req *mcp.UnsubscribeRequest) error { return note("unsubscribe", req.Params.URI) }
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		events := acknowledged(t, s.stateless(t), `1`, allNews)
		mu.Lock()
		slices.Sort(calls)
		want := []string{"subscribe news://a", "subscribe news://b", "unsubscribe news://a", "unsubscribe news://b"}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("calls (-want +got)\n%s", diff)
		}
		mu.Unlock()
		must(t, s.instances[0].handler.ResourceUpdated(t.Context(), "news://a"))
		receives(t, events, updatedFor(`1`, "news://a"))
	})
}

// The server ends it, so the client is told: it comes back with a new token.
func TestListenerIsCompletedWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig(), wrap: bearer}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		expires := time.Now().Add(3 * time.Minute)
		c.Header.Set("Authorization", "Bearer alice/"+expires.Format(time.RFC3339))
		events := acknowledged(t, c, `1`, allNews)
		time.Sleep(2*time.Minute + 30*time.Second)
		must(t, s.instances[0].handler.ResourceUpdated(t.Context(), "news://a"))
		receives(t, events, updatedFor(`1`, "news://a"))
		receives(t, events, completionOf(`1`))
		ends(t, events)
		if late := time.Since(expires); late < -time.Second || late > time.Second {
			t.Errorf("the listener ended %v after its token", late)
		}
	})
}

func TestQuietListenerIsKeptAlive(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		stream := listen(t, s.stateless(t), `1`, allNews)
		if buffering := stream.Header.Get("X-Accel-Buffering"); buffering != "no" {
			t.Errorf("X-Accel-Buffering is %q", buffering)
		}
		got := make(chan response, 1)
		go func() { got <- read(t, stream.Response) }()
		time.Sleep(2*time.Minute + time.Second)
		for _, i := range s.instances {
			must(t, i.handler.Shutdown(t.Context()))
		}
		if n := strings.Count(soon(t, got).Body, ": keep-alive\n\n"); n != 8 {
			t.Errorf("in two minutes there were %d comments, want 8", n)
		}
	})
}

// Also when its instance cannot read the bus for a while.
func TestListenerThroughAnOutage(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		streamOwner, other := s.instances[0], s.instances[1]
		events := acknowledged(t, at(s.stateless(t), streamOwner.url), `1`, allNews)
		for n := range 5 {
			if n%2 == 0 {
				streamOwner.link.Cut()
			} else {
				streamOwner.link.Freeze()
			}
			must(t, other.handler.ResourceUpdated(t.Context(), "news://a"))
			must(t, other.handler.ToolsChanged(t.Context()))
			time.Sleep(30 * time.Second)
			streamOwner.link.Heal()
			receives(t, events, updatedFor(`1`, "news://a"))
			receives(t, events, changedFor(`1`, "tools"))
		}
	})
}

func TestListenWhileShuttingDownIsRefused(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		leaving := s.instances[0]
		running := make(chan *jsonrpcmsg.Message, 1)
		c := at(s.stateless(t), leaving.url)
		go func() { running <- c.Message(t, statelessCall(t, c, "wait", `{"name":"w"}`)) }()
		s.runs(t, "w")
		left := make(chan error, 1)
		go func() { left <- leaving.handler.Shutdown(t.Context()) }()
		time.Sleep(time.Second)
		got := read(t, listen(t, c, `1`, allNews).Response)
		if diff := cmp.Diff(errorResponse(503, `1`, -32000, "the instance is shutting down"), got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		s.open("w")
		must(t, soon(t, left))
		wantText(t, soon(t, running), "went on")
	})
}

// The worst moment for an update is right after the acknowledgement, made by an
// instance that knows nothing of the listener.
func TestNothingIsLostBehindTheAcknowledgement(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, redis *redistest.Server) {
		r := newsRig()
		f := fleettest.Start(t, fleettest.Config{Redis: redis, Instances: 3, Server: r.server})
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				for n := range 25 {
					c := fleettest.NewClient(t, f.Instances[(worker+n)%3].URL)
					c.Version, c.HTTP.Timeout = statelessVersion, time.Minute
					uri := fmt.Sprintf("news://%d/%d", worker, n)
					stream := listen(t, c, `1`, fmt.Sprintf(`{"resourceSubscriptions":[%q]}`, uri))
					if m := stream.Message(t); m.Method != "notifications/subscriptions/acknowledged" {
						t.Errorf("first comes %s", m.Method)
					}
					if err := f.Instances[(worker+n+1)%3].Handler.ResourceUpdated(t.Context(), uri); err != nil {
						t.Error(err)
					}
					if m := stream.Message(t); m.Method != "notifications/resources/updated" {
						t.Errorf("then comes %s", m.Method)
					}
					stream.Close()
				}
			})
		}
		wg.Wait()
	})
}

// It is cut off, and nobody else is the slower for it.
func TestListenerThatNeverReads(t *testing.T) {
	t.Parallel()
	const updates = 150
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		left := make(chan time.Time, 10)
		lame := s.join(t, simulated{options: func(o *fleet.Options) {
			o.OnStream = func(ctx context.Context, _ *fleet.Stream) {
				<-ctx.Done()
				left <- time.Now()
			}
		}})
		listen(t, at(s.stateless(t), lame.url), `1`, allNews).Message(t) // and no more
		reader := acknowledged(t, at(s.stateless(t), s.instances[0].url), `2`, allNews)
		beside := acknowledged(t, at(s.stateless(t), lame.url), `3`, allNews)
		began := time.Now()
		for range updates {
			must(t, s.instances[1].handler.ResourceUpdated(t.Context(), "news://a"))
		}
		for id, events := range map[string]<-chan sse.Event{`2`: reader, `3`: beside} {
			for range updates {
				receives(t, events, updatedFor(id, "news://a"))
			}
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("the others had all after %v", d) // in virtual time: nobody waited
		}
		if cut := soon(t, left); cut.Sub(began) < 9*time.Second || cut.Sub(began) > 11*time.Second {
			t.Errorf("it was cut off after %v, want 10 s", cut.Sub(began))
		}
	})
}

func TestSDKClientListens(t *testing.T) {
	t.Parallel()
	r := newsRig()
	f := fleettest.Start(t, fleettest.Config{Instances: 3, Server: r.server})
	updated, changed := make(chan string, 10), make(chan struct{}, 10)
	cs := f.ConnectStateless(t, &mcp.ClientOptions{
		ResourceUpdatedHandler: func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) { updated <- req.Params.URI },
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} },
	})
	must(t, cs.Subscribe(t.Context(), &mcp.SubscribeParams{URI: "news://a"}))
	for _, i := range f.Instances {
		must(t, i.Handler.ResourceUpdated(t.Context(), "news://a"))
		if got := soon(t, updated); got != "news://a" {
			t.Errorf("%s was updated", got)
		}
		must(t, i.Handler.ToolsChanged(t.Context()))
		soon(t, changed)
	}
}
