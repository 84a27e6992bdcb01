package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func updated(uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q}}`, uri)
}

func changed(list string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/%s/list_changed","params":{}}`, list)
}

// subscribe subscribes the client's session to resources.
func subscribe(t testing.TB, c *fleettest.Client, uris ...string) {
	t.Helper()
	for _, uri := range uris {
		if m := c.Call(t, "resources/subscribe", fmt.Sprintf(`{"uri":%q}`, uri)); m.Error != nil {
			t.Fatalf("subscribe: %s", m.Error)
		}
	}
}

// silent fails the test if a message comes in the next seconds.
func silent(t testing.TB, events <-chan sse.Event) {
	t.Helper()
	time.Sleep(5 * time.Second)
	select {
	case e, more := <-events:
		if !more {
			t.Fatal("the stream has ended")
		}
		t.Fatalf("also came %s", e.Data)
	default:
	}
}

func TestSubscribeHereStreamThereUpdateElsewhere(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig(), instances: 3}, func(t *testing.T, s *simulation) {
		for n := range s.instances {
			here, there, elsewhere := s.instances[n], s.instances[(n+1)%3], s.instances[(n+2)%3]
			for _, streamFirst := range []bool{true, false} {
				c := s.session(t)
				var events <-chan sse.Event
				if streamFirst {
					events = messages(at(c, there.url).Get(t, ""))
				}
				subscribe(t, at(c, here.url), "news://a")
				if !streamFirst {
					events = messages(at(c, there.url).Get(t, ""))
				}
				must(t, elsewhere.handler.ResourceUpdated(t.Context(), "news://a"))
				must(t, elsewhere.handler.ResourceUpdated(t.Context(), "news://b"))
				receives(t, events, updated("news://a"))
				silent(t, events)
			}
		}
	})
}

// The subscription counts from its confirmation on, stream or none.
func TestUpdateBetweenSubscribeAndGetIsDelivered(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig(), instances: 3}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		must(t, s.instances[2].handler.ResourceUpdated(t.Context(), "news://a")) // which is before
		time.Sleep(time.Second)
		subscribe(t, at(c, s.instances[0].url), "news://a")
		must(t, s.instances[2].handler.ResourceUpdated(t.Context(), "news://a"))
		time.Sleep(time.Minute)
		events := messages(at(c, s.instances[1].url).Get(t, ""))
		receives(t, events, updated("news://a"))
		silent(t, events)
	})
}

func TestUnsubscribeStopsUpdates(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		subscribe(t, c, "news://a", "news://b")
		events := messages(at(c, s.instances[1].url).Get(t, ""))
		for _, i := range s.instances {
			must(t, i.handler.ResourceUpdated(t.Context(), "news://a"))
			receives(t, events, updated("news://a"))
		}
		if m := at(c, s.instances[0].url).Call(t, "resources/unsubscribe", `{"uri":"news://a"}`); m.Error != nil {
			t.Fatal(m.Error)
		}
		time.Sleep(time.Second) // what was on its way may arrive
		for _, i := range s.instances {
			must(t, i.handler.ResourceUpdated(t.Context(), "news://a"))
			must(t, i.handler.ResourceUpdated(t.Context(), "news://b"))
			receives(t, events, updated("news://b"))
		}
		silent(t, events)
	})
}

func TestSubscriptionThatTheServerRefusesIsNone(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		events := messages(c.Get(t, ""))
		if m := c.Call(t, "resources/subscribe", `{"uri":"news://refused"}`); m.Error == nil {
			t.Fatal("subscribed")
		}
		must(t, s.instances[0].handler.ResourceUpdated(t.Context(), "news://refused"))
		silent(t, events)
	})
}

// However its stream ended, and wherever it comes back.
func TestSubscriberThatWasAwayLearnsOnReturn(t *testing.T) {
	t.Parallel()
	ways := map[string]struct {
		leave func(t *testing.T, stream *fleettest.Stream, streamOwner *simulatedInstance)
		once  bool // nothing is told twice
	}{
		"hangs up":      {func(_ *testing.T, stream *fleettest.Stream, _ *simulatedInstance) { stream.Close() }, true},
		"instance dies": {func(_ *testing.T, _ *fleettest.Stream, streamOwner *simulatedInstance) { streamOwner.kill() }, false},
		"instance shut down": {func(t *testing.T, _ *fleettest.Stream, streamOwner *simulatedInstance) {
			must(t, streamOwner.handler.Shutdown(t.Context()))
		}, true},
	}
	for name, way := range ways {
		for _, withID := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, with id: %v", name, withID), func(t *testing.T) {
				t.Parallel()
				simulate(t, simulated{rig: newsRig(), instances: 3}, func(t *testing.T, s *simulation) {
					streamOwner, next, elsewhere := s.instances[0], s.instances[1], s.instances[2]
					c := s.session(t)
					subscribe(t, c, "news://a", "news://b", "news://c")
					stream := at(c, streamOwner.url).Get(t, "")
					must(t, elsewhere.handler.ResourceUpdated(t.Context(), "news://a"))
					e, err := stream.Next()
					for err == nil && len(e.Data) == 0 {
						e, err = stream.Next()
					}
					if err != nil || string(e.Data) != updated("news://a") {
						t.Fatalf("%s %v", e.Data, err)
					}
					way.leave(t, stream, streamOwner)
					time.Sleep(time.Second)
					must(t, elsewhere.handler.ResourceUpdated(t.Context(), "news://b"))
					must(t, elsewhere.handler.ToolsChanged(t.Context()))
					time.Sleep(time.Minute)
					last := ""
					if withID {
						last = stream.Last
					}
					events := messages(at(c, next.url).Get(t, last))
					if !way.once && !withID {
						// Nobody knows how far the client came; it is told again.
						receives(t, events, updated("news://a"))
					}
					receives(t, events, updated("news://b"))
					receives(t, events, changed("tools"))
					must(t, elsewhere.handler.ResourceUpdated(t.Context(), "news://c"))
					receives(t, events, updated("news://c"))
					silent(t, events)
				})
			})
		}
	}
}

// It cannot be said what was missed, so everything may have changed.
func TestSubscriberThatWasAwayTooLongLearnsEverything(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		subscribe(t, c, "news://a", "news://b")
		stream := c.Get(t, "")
		_, err := stream.Next()
		must(t, err)
		stream.Close()
		for range 3 {
			must(t, s.instances[0].handler.ResourceUpdated(t.Context(), "news://b"))
		}
		// The bus moves on, and an instance joins that knows no more of it.
		admin := s.redis.Client(t)
		must(t, admin.Do(t.Context(), admin.B().Xtrim().Key(s.prefix+":{bus}").Maxlen().Threshold("1").Build()).Error())
		late := s.join(t, simulated{})
		events := messages(at(c, late.url).Get(t, stream.Last))
		got := map[string]bool{}
		for range 5 {
			got[string(soon(t, events).Data)] = true
		}
		want := map[string]bool{
			updated("news://a"): true, updated("news://b"): true, changed("tools"): true, changed("prompts"): true, changed("resources"): true,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		must(t, s.instances[1].handler.ResourceUpdated(t.Context(), "news://b"))
		receives(t, events, updated("news://b"))
		silent(t, events)
	})
}

func TestListChangesReachSessionsOfServersThatAnnounceThem(t *testing.T) {
	t.Parallel()
	quiet, some, all := newsRig(), newsRig(), newsRig()
	quiet.opts.Capabilities = &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}, Prompts: &mcp.PromptCapabilities{}, Resources: &mcp.ResourceCapabilities{}}
	some.opts.Capabilities = &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}, Prompts: &mcp.PromptCapabilities{ListChanged: true}, Resources: &mcp.ResourceCapabilities{}}
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		// One fleet, three servers on each instance.
		var urls []string
		for range 2 {
			servers := map[string]*mcp.Server{"/quiet": quiet.server(), "/some": some.server(), "/all": all.server()}
			urls = append(urls, s.joinServing(t, simulated{}, func(r *http.Request) *mcp.Server { return servers[r.URL.Path] }).url)
		}
		streams := map[string]<-chan sse.Event{}
		for _, server := range []string{"quiet", "some", "all"} {
			c := at(s.client(t), urls[0]+server)
			c.Initialize(t, "2025-11-25", "{}")
			streams[server] = messages(at(c, urls[1]+server).Get(t, ""))
		}
		for n := range s.instances {
			must(t, s.instances[n].handler.ToolsChanged(t.Context()))
			must(t, s.instances[n].handler.PromptsChanged(t.Context()))
			must(t, s.instances[n].handler.ResourcesChanged(t.Context()))
			receives(t, streams["some"], changed("prompts"))
			for _, list := range []string{"tools", "prompts", "resources"} {
				receives(t, streams["all"], changed(list))
			}
		}
		for _, stream := range streams {
			silent(t, stream)
		}
	})
}

// A worker that serves nothing tells the fleet's clients.
func TestNotifierOfAProcessWithoutHandler(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		worker, err := fleet.NewNotifier(&fleet.NotifierOptions{Redis: s.redis.Client(t), Prefix: s.prefix})
		must(t, err)
		stranger, err := fleet.NewNotifier(&fleet.NotifierOptions{Redis: s.redis.Client(t), Prefix: "other"})
		must(t, err)
		c := s.session(t)
		subscribe(t, c, "news://a")
		events, received := messages(c.Get(t, "")), acknowledged(t, s.stateless(t), `1`, allNews)
		for _, n := range []*fleet.Notifier{stranger, worker} {
			must(t, n.ResourceUpdated(t.Context(), "news://a"))
			must(t, n.ToolsChanged(t.Context()))
			must(t, n.PromptsChanged(t.Context()))
			must(t, n.ResourcesChanged(t.Context()))
		}
		receives(t, events, updated("news://a"))
		receives(t, received, updatedFor(`1`, "news://a"))
		for _, list := range []string{"tools", "prompts", "resources"} {
			receives(t, events, changed(list))
			receives(t, received, changedFor(`1`, list))
		}
		// It comes by another way, so its place among them is not certain.
		must(t, worker.Notify(t.Context(), c.Session, "notifications/weather", map[string]any{"sun": true}))
		receives(t, events, `{"jsonrpc":"2.0","method":"notifications/weather","params":{"sun":true}}`)
		silent(t, events)
		silent(t, received)
		if err := stranger.Notify(t.Context(), c.Session, "notifications/weather", nil); !errors.Is(err, sessionstore.ErrNotFound) {
			t.Errorf("a session of another fleet: %v", err)
		}
	})
}

func TestNotifierOptionsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		for want, opts := range map[string]*fleet.NotifierOptions{
			"fleet: NotifierOptions.Redis is nil":             nil,
			"NotifierOptions.Redis is nil":                    {},
			"prefix":                                          {Redis: s.redis.Client(t), Prefix: "{}"},
			"fleet: NotifierOptions.RedisTimeout is negative": {Redis: s.redis.Client(t), RedisTimeout: -1},
		} {
			if _, err := fleet.NewNotifier(opts); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q", opts, err, want)
			}
		}
	})
}

// Any method, from any instance; without a reader it waits for one.
func TestNotifyASession(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		c, other := s.session(t), s.session(t)
		beside := messages(other.Get(t, ""))
		for n, i := range s.instances {
			must(t, i.handler.Notify(t.Context(), c.Session, "notifications/early", map[string]any{"n": n}))
		}
		events := messages(c.Get(t, ""))
		for n := range s.instances {
			receives(t, events, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/early","params":{"n":%d}}`, n))
		}
		must(t, s.instances[0].handler.Notify(t.Context(), c.Session, "notifications/bare", nil))
		receives(t, events, `{"jsonrpc":"2.0","method":"notifications/bare"}`)
		must(t, s.instances[0].handler.Notify(t.Context(), c.Session, "notifications/message", &mcp.LoggingMessageParams{Level: "debug", Data: "x"}))
		receives(t, events, `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x","level":"debug"}}`)
		if err := s.instances[0].handler.Notify(t.Context(), c.Session, "notifications/odd", make(chan int)); err == nil {
			t.Error("what is no JSON was sent")
		}
		silent(t, beside)
		c.Delete(t)
		for _, id := range []string{c.Session, "unknown", ""} {
			if err := s.instances[1].handler.Notify(t.Context(), id, "notifications/late", nil); !errors.Is(err, sessionstore.ErrNotFound) {
				t.Errorf("session %q: %v", id, err)
			}
		}
	})
}

func TestPublishingFailsWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		cut := s.instances[0]
		for _, away := range []func(){cut.link.Cut, cut.link.Freeze} {
			away()
			began := time.Now()
			for name, publish := range map[string]func(context.Context) error{
				"update": func(ctx context.Context) error { return cut.handler.ResourceUpdated(ctx, "news://a") },
				"list":   cut.handler.ToolsChanged,
				"notify": func(ctx context.Context) error { return cut.handler.Notify(ctx, c.Session, "notifications/x", nil) },
			} {
				if err := publish(t.Context()); !errors.Is(err, sessionstore.ErrUnavailable) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if d := time.Since(began); d > 3*2*2*time.Second {
				t.Errorf("it took %v", d)
			}
			cut.link.Heal()
			time.Sleep(10 * time.Second)
			must(t, cut.handler.ResourceUpdated(t.Context(), "news://a"))
		}
	})
}

// watched is a stream as OnStream sees it, on one instance.
type watched struct {
	instance int
	ctx      context.Context
	stream   *fleet.Stream
}

// joinWatching adds an instance that sends the streams opened on it to opened.
func (s *simulation) joinWatching(t testing.TB, opened chan<- watched, level mcp.LoggingLevel) *simulatedInstance {
	t.Helper()
	instance := len(s.instances)
	return s.join(t, simulated{options: func(o *fleet.Options) {
		o.DefaultLogLevel = level
		o.OnStream = func(ctx context.Context, stream *fleet.Stream) {
			opened <- watched{instance, ctx, stream}
			<-ctx.Done()
		}
	}})
}

// left fails the test unless the stream has left its instance.
func (w watched) left(t testing.TB) {
	t.Helper()
	select {
	case <-w.ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the stream is still there for OnStream")
	}
}

// At any time one instance, the one that holds the stream, looks after it.
func TestOnStreamFollowsTheStandaloneStream(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		opened := make(chan watched, 10)
		a, b := s.joinWatching(t, opened, ""), s.joinWatching(t, opened, "")
		c := s.session(t)
		stream := at(c, a.url).Get(t, "")
		if _, err := stream.Next(); err != nil { // the event that says where the client is
			t.Fatal(err)
		}
		first := soon(t, opened)
		if first.instance != 2 || first.stream.Session() != c.Session {
			t.Errorf("opened on instance %d for session %q", first.instance, first.stream.Session())
		}
		subs, err := first.stream.Subscriptions(t.Context())
		if err != nil || len(subs) != 0 {
			t.Errorf("subscriptions %q, %v", subs, err)
		}
		subscribe(t, at(c, b.url), "news://b", "news://a")
		subs, err = first.stream.Subscriptions(t.Context())
		if diff := cmp.Diff([]string{"news://a", "news://b"}, subs); err != nil || diff != "" {
			t.Errorf("subscriptions: %v (-want +got)\n%s", err, diff)
		}

		stream.Close() // the client goes
		first.left(t)

		_ = messages(at(c, b.url).Get(t, ""))
		second := soon(t, opened)
		if second.instance != 3 {
			t.Errorf("opened on instance %d", second.instance)
		}
		events := messages(at(c, a.url).Get(t, "")) // takes it over
		third := soon(t, opened)
		second.left(t)
		// What has left goes on working: the session has not.
		must(t, second.stream.Notify(t.Context(), "notifications/weather", nil))
		receives(t, events, `{"jsonrpc":"2.0","method":"notifications/weather"}`)

		must(t, a.handler.Shutdown(t.Context()))
		third.left(t)
		_ = messages(at(c, b.url).Get(t, ""))
		fourth := soon(t, opened)
		c.Delete(t)
		fourth.left(t)
		if err := fourth.stream.Notify(t.Context(), "notifications/weather", nil); !errors.Is(err, sessionstore.ErrNotFound) {
			t.Errorf("an ended session: %v", err)
		}
		if len(opened) > 0 {
			t.Errorf("there were %d more", len(opened))
		}
	})
}

func TestOnStreamOfAListener(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		opened := make(chan watched, 10)
		streamOwner := s.joinWatching(t, opened, "debug")
		stream := listen(t, at(s.stateless(t), streamOwner.url), `1`, `{"resourceSubscriptions":["news://b","news://a"]}`)
		events := messages(stream)
		receives(t, events, acknowledgement(`1`, `{"resourceSubscriptions":["news://b","news://a"]}`))
		w := soon(t, opened)
		subs, err := w.stream.Subscriptions(t.Context())
		if diff := cmp.Diff([]string{"news://a", "news://b"}, subs); err != nil || diff != "" || w.stream.Session() != "" {
			t.Errorf("session %q, subscriptions: %v (-want +got)\n%s", w.stream.Session(), err, diff)
		}
		// Only what it asked for: the rest belongs to calls, or to nobody.
		must(t, w.stream.Notify(t.Context(), "notifications/resources/updated", &mcp.ResourceUpdatedNotificationParams{URI: "news://c"}))
		must(t, w.stream.Notify(t.Context(), "notifications/weather", nil))
		must(t, w.stream.Log(t.Context(), &mcp.LoggingMessageParams{Level: "error", Data: "x"}))
		must(t, w.stream.Notify(t.Context(), "notifications/resources/updated", &mcp.ResourceUpdatedNotificationParams{URI: "news://a"}))
		receives(t, events, updatedFor(`1`, "news://a"))
		silent(t, events)
		if err := w.stream.Notify(t.Context(), "notifications/resources/updated", make(chan int)); err == nil {
			t.Error("what is no JSON was sent")
		}
		stream.Close()
		w.left(t)
		listen(t, at(s.stateless(t), streamOwner.url), `1`, `{}`)
		time.Sleep(time.Second)
		if len(opened) > 0 {
			t.Error("OnStream is called for a listener that listens to nothing")
		}
	})
}

func TestStreamLogHonoursTheLevel(t *testing.T) {
	t.Parallel()
	levels := []mcp.LoggingLevel{"debug", "info", "warning", "emergency"}
	for _, test := range []struct {
		preset, set mcp.LoggingLevel
		want        []mcp.LoggingLevel
	}{
		{"", "", nil},
		{"", "warning", levels[2:]},
		{"", "debug", levels},
		{"info", "", levels[1:]},
		{"info", "debug", levels},
		{"debug", "emergency", levels[3:]},
	} {
		t.Run(fmt.Sprintf("preset %q, set %q", test.preset, test.set), func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{}, func(t *testing.T, s *simulation) {
				opened := make(chan watched, 10)
				streamOwner := s.joinWatching(t, opened, test.preset)
				c := s.session(t)
				events := messages(at(c, streamOwner.url).Get(t, ""))
				w := soon(t, opened)
				if test.set != "" { // on another instance, while the stream is open
					if m := at(c, s.instances[0].url).Call(t, "logging/setLevel", fmt.Sprintf(`{"level":%q}`, test.set)); m.Error != nil {
						t.Fatal(m.Error)
					}
				}
				for _, level := range levels {
					must(t, w.stream.Log(t.Context(), &mcp.LoggingMessageParams{Level: level, Data: "x"}))
				}
				for _, level := range test.want {
					receives(t, events, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x","level":%q}}`, level))
				}
				silent(t, events)
				c.Delete(t)
				if err := w.stream.Log(t.Context(), &mcp.LoggingMessageParams{Level: "error", Data: "x"}); !errors.Is(err, sessionstore.ErrNotFound) {
					t.Errorf("an ended session: %v", err)
				}
			})
		})
	}
}

// A session that reads too slowly is cut off, and finds on its return what it
// missed.
func TestSubscriberThatStopsReadingMissesNothing(t *testing.T) {
	t.Parallel()
	const updates = 80
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		lame, well := s.session(t), s.session(t)
		var uris []string
		for n := range updates {
			uris = append(uris, fmt.Sprint("news://", n))
		}
		subscribe(t, lame, uris...)
		subscribe(t, well, uris...)
		stream := at(lame, s.instances[0].url).Get(t, "") // which nobody reads
		events := messages(at(well, s.instances[0].url).Get(t, ""))
		began := time.Now()
		for _, uri := range uris {
			must(t, s.instances[1].handler.ResourceUpdated(t.Context(), uri))
		}
		for _, uri := range uris {
			receives(t, events, updated(uri))
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("the other had all after %v", d) // in virtual time: nobody waited
		}
		time.Sleep(15 * time.Second)
		got := map[string]bool{}
		var err error
		for err == nil {
			var e sse.Event
			if e, err = stream.Next(); err == nil {
				got[string(e.Data)] = true
			}
		}
		if len(got) > updates/2 {
			t.Fatalf("it was not cut off: it has %d", len(got))
		}
		rest := messages(at(lame, s.instances[1].url).Get(t, stream.Last))
		for range updates {
			if len(got) > updates { // the priming event is among them
				break
			}
			got[string(soon(t, rest).Data)] = true
		}
		for _, uri := range uris {
			if !got[updated(uri)] {
				t.Fatalf("%s is missing", uri)
			}
		}
	})
}
