package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// features are what can be added to a server while it runs, and removed.
var features = map[string]struct{ add, remove func(*mcp.Server) }{
	"tools": {
		func(s *mcp.Server) {
			tool(s, "new", func(context.Context, *mcp.CallToolRequest, toolArguments) (string, error) { return "", nil })
		},
		func(s *mcp.Server) { s.RemoveTools("new") },
	},
	"prompts": {
		func(s *mcp.Server) {
			s.AddPrompt(&mcp.Prompt{Name: "new"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				return &mcp.GetPromptResult{}, nil
			})
		},
		func(s *mcp.Server) { s.RemovePrompts("new") },
	},
	"resources": {
		func(s *mcp.Server) { s.AddResource(&mcp.Resource{URI: "news://new", Name: "new"}, readNothing) },
		func(s *mcp.Server) { s.RemoveResources("news://new") },
	},
	"resources by template": {
		func(s *mcp.Server) {
			s.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: "news://new/{n}", Name: "new"}, readNothing)
		},
		func(s *mcp.Server) { s.RemoveResourceTemplates("news://new/{n}") },
	},
}

func readNothing(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	return &mcp.ReadResourceResult{}, nil
}

// joinWith adds an instance whose server is the test's to change.
func (s *simulation) joinWith(t testing.TB, server *mcp.Server) *simulatedInstance {
	t.Helper()
	return s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server { return server })
}

// With and without sessions, and on other instances.
func TestWatchedServerAnnouncesItsChanges(t *testing.T) {
	t.Parallel()
	for name, feature := range features {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
				server := s.server()
				changing := s.joinWith(t, server)
				must(t, changing.handler.Watch(server))
				c := s.session(t)
				streams := map[string]<-chan sse.Event{}
				for i, instance := range s.instances {
					streams[changedFor(`1`, list(name))+instance.url] = acknowledged(t, at(s.stateless(t), instance.url), `1`, allNews)
					if i == 0 {
						streams[changed(list(name))+instance.url] = messages(at(c, instance.url).Get(t, ""))
					}
				}
				for _, change := range []func(*mcp.Server){feature.add, feature.remove} {
					change(server)
					for want, events := range streams {
						receives(t, events, want[:len(want)-len(s.instances[0].url)])
					}
				}
				for _, f := range []func(*mcp.Server){feature.add, feature.remove, feature.add} {
					f(server) // at once, which is one change to the SDK
				}
				for want, events := range streams {
					receives(t, events, want[:len(want)-len(s.instances[0].url)])
					silent(t, events)
				}
			})
		})
	}
}

// A client that has begun when the server had nothing of a kind hears of the
// first of it, as with the SDK's handler.
func TestWatchedServerAnnouncesTheFirstOfAKind(t *testing.T) {
	t.Parallel()
	for name, feature := range features {
		for _, protocol := range []string{"2024-11-05", "2025-11-25", "HTTP+SSE"} {
			t.Run(name+"/"+protocol, func(t *testing.T) {
				t.Parallel()
				simulate(t, simulated{wrap: withSSE}, func(t *testing.T, s *simulation) {
					server := mcp.NewServer(&mcp.Implementation{Name: "rig", Version: "1"}, nil)
					changing := s.joinServing(t, simulated{wrap: withSSE}, func(*http.Request) *mcp.Server { return server })
					must(t, changing.handler.Watch(server))
					var events <-chan sse.Event
					if protocol == "HTTP+SSE" {
						c := openSSE(t, at(s.client(t), s.instances[0].url), "").at(changing.url)
						c.initialize(t)
						events = c.events
					} else {
						c := at(s.client(t), changing.url)
						c.Initialize(t, protocol, everyCapability)
						events = messages(at(c, s.instances[0].url).Get(t, ""))
					}
					synctest.Wait()
					feature.add(server)
					receives(t, events, changed(list(name)))
					silent(t, events)
				})
			})
		}
	}
}

func list(name string) string {
	if name == "resources by template" {
		return "resources"
	}
	return name
}

// What the SDK says to a session lasts as long as a request. A server that getServer
// has returned once may be one of those that are made for a single request.
func TestServerThatIsNotWatchedAnnouncesNothing(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		server := s.server()
		changing := s.joinWith(t, server)
		events := messages(at(c, changing.url).Get(t, "")) // the one request of the server
		received := acknowledged(t, at(s.stateless(t), s.instances[0].url), `1`, allNews)
		for _, feature := range features {
			feature.add(server)
		}
		silent(t, events)
		silent(t, received)
	})
}

func TestAServerThatComesAgainIsWatched(t *testing.T) {
	t.Parallel()
	for name, feature := range features {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
				server := s.server()
				one, two := s.joinWith(t, server), s.joinWith(t, server)
				c := s.session(t)
				events := messages(at(c, s.instances[0].url).Get(t, ""))
				received := acknowledged(t, at(s.stateless(t), s.instances[1].url), `1`, allNews)
				wantText(t, at(c, one.url).CallTool(t, "echo", "{}"), "")
				stateless := at(s.stateless(t), one.url)
				wantText(t, stateless.Message(t, statelessCall(t, stateless, "echo", "{}")), "")
				for range 3 {
					for _, change := range []func(*mcp.Server){feature.add, feature.remove} {
						time.Sleep(time.Minute)
						change(server)
						receives(t, events, changed(list(name)))
						receives(t, received, changedFor(`1`, list(name)))
						silent(t, events)
					}
				}
				must(t, one.handler.Watch(server)) // as it is, already
				must(t, one.handler.Watch(server))
				feature.add(server)
				receives(t, events, changed(list(name)))
				silent(t, events)
				// Each instance announces its own.
				must(t, two.handler.Watch(server))
				feature.remove(server)
				receives(t, events, changed(list(name)))
				receives(t, events, changed(list(name)))
				silent(t, events)
			})
		})
	}
}

// A handler may have one server for each request, and many for tenants.
func TestHowManyServersAreWatched(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		const tenants = 70
		var servers []*mcp.Server
		for range tenants {
			servers = append(servers, s.server())
		}
		log := &safeBuffer{}
		many := s.joinServing(t, simulated{options: logTo(log)}, func(r *http.Request) *mcp.Server {
			n, err := strconv.Atoi(r.Header.Get("Tenant"))
			if err != nil {
				return s.server()
			}
			return servers[n]
		})
		c := at(s.stateless(t), many.url)
		for n := range tenants {
			for range 2 {
				wantText(t, c.Message(t, statelessCall(t, c, "echo", "{}", set("Tenant", fmt.Sprint(n)))), "")
				wantText(t, c.Message(t, statelessCall(t, c, "echo", "{}")), "")
			}
		}
		synctest.Wait()
		watched := 0
		for _, server := range servers {
			watched += len(slices.Collect(server.Sessions()))
		}
		if watched != 64 {
			t.Errorf("%d servers are watched, want 64", watched)
		}
		if n := strings.Count(log.String(), "call Handler.Watch"); n != 1 {
			t.Errorf("the operator is told %d times that there are more", n)
		}
		must(t, many.handler.Watch(servers[tenants-1])) // whoever asks for it gets it
		if n := len(slices.Collect(servers[tenants-1].Sessions())); n != 1 {
			t.Errorf("it has %d sessions", n)
		}
	})
}

// Nothing of ours keeps a server that the application has dropped.
func TestAWatchedServerIsCollected(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		current := s.server()
		pointer := weak.Make(current)
		one := s.joinServing(t, simulated{}, func(*http.Request) *mcp.Server { return current })
		c := at(s.session(t), one.url)
		subscribe(t, c, "news://a")
		stateless := at(s.stateless(t), one.url)
		for range 3 {
			wantText(t, c.CallTool(t, "echo", "{}"), "")
			wantText(t, stateless.Message(t, statelessCall(t, stateless, "echo", "{}")), "")
		}
		features["tools"].add(current)
		settle()
		if n := len(slices.Collect(current.Sessions())); n == 0 {
			t.Error("it is not watched")
		}
		current = s.server()
		for range 3 {
			wantText(t, c.CallTool(t, "echo", "{}"), "")
			wantText(t, stateless.Message(t, statelessCall(t, stateless, "echo", "{}")), "")
		}
		for n := 0; n < 50 && pointer.Value() != nil; n++ { // what a collection frees may hold what the next one frees
			time.Sleep(time.Second)
			runtime.GC()
		}
		if pointer.Value() != nil {
			t.Error("it is not collected")
		}
	})
}

// A change while a call runs is announced to the fleet, and on that call's
// connection to nobody.
func TestChangeDuringACallIsAnnouncedOnce(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		server := s.server()
		changing := s.joinWith(t, server)
		must(t, changing.handler.Watch(server))
		c := s.session(t)
		events := messages(at(c, s.instances[0].url).Get(t, ""))
		response := make(chan *jsonrpcmsg.Message, 1)
		go func() { response <- at(c, changing.url).CallTool(t, "wait", `{"name":"w"}`) }()
		s.runs(t, "w")
		features["tools"].add(server)
		receives(t, events, changed("tools"))
		silent(t, events)
		s.open("w")
		wantText(t, soon(t, response), "went on")
	})
}

// The bubble fails the test if a goroutine is left.
func TestWatchEndsWithShutdown(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		server := s.server()
		leaving := s.joinWith(t, server)
		must(t, leaving.handler.Watch(server))
		must(t, leaving.handler.Watch(s.server()))
		events := messages(at(s.session(t), s.instances[0].url).Get(t, ""))
		features["tools"].add(server)
		receives(t, events, changed("tools"))
		must(t, leaving.handler.Shutdown(t.Context()))
		if err := leaving.handler.Watch(server); !errors.Is(err, node.ErrClosed) {
			t.Errorf("Watch after Shutdown: %v", err)
		}
		if n := len(slices.Collect(server.Sessions())); n != 1 {
			t.Errorf("the server has %d sessions, want that which heard of changes", n)
		}
		features["tools"].add(server)
		silent(t, events)
	})
}

// ServerOptions.KeepAlive pings every session, and ends those that do not respond.
func TestWatchedServerWithKeepAlive(t *testing.T) {
	t.Parallel()
	r := newsRig()
	r.opts.KeepAlive = time.Second
	simulate(t, simulated{rig: r}, func(t *testing.T, s *simulation) {
		server := s.server()
		changing := s.joinWith(t, server)
		must(t, changing.handler.Watch(server))
		time.Sleep(time.Minute)
		c := s.session(t)
		events := messages(at(c, s.instances[0].url).Get(t, ""))
		features["tools"].add(server)
		receives(t, events, changed("tools"))
		must(t, changing.handler.Shutdown(t.Context()))
	})
}

// An announcement that cannot be made waits for Redis.
func TestWatchedServerThroughAnOutage(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		server := s.server()
		changing := s.joinWith(t, server)
		must(t, changing.handler.Watch(server))
		c := s.session(t)
		events := messages(at(c, s.instances[0].url).Get(t, ""))
		for _, change := range []func(*mcp.Server){features["tools"].add, features["tools"].remove} {
			changing.link.Cut()
			change(server)
			silent(t, events)
			changing.link.Heal()
			receives(t, events, changed("tools"))
			silent(t, events)
		}
	})
}
