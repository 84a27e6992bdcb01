package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// withinDeath is how soon a client learns that its call's instance has died.
const withinDeath = 15 * time.Second

// long is a life of sessions that outages do not end.
const long = 10 * time.Minute

// A speaker is a server whose tool says something and then takes its time.
func speaker(t testing.TB, takes time.Duration) *mcp.Server {
	return oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		logTo(ctx, t, req.Session, "info", "begin")
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(takes):
			return text("done"), nil
		}
	}, nil)
}

// moved begins a call on the first instance and has its client resume it on the
// second.
func (f *fleet) moved(t testing.TB, server *mcp.Server, session, id string) *viewer {
	t.Helper()
	r := f.call(t, f.nodes[0], server, session, toolCall(id))
	r.message(t)
	r.hangUp()
	v := f.resume(t, f.nodes[1], session, r.lastID(t))
	<-r.over // it was told to go, and could not be
	return v
}

// responses fails the test unless the log of a call has exactly one response,
// as its last event, and returns it.
func (f *fleet) responses(t testing.TB, session string, stream string) *jsonrpcmsg.Message {
	t.Helper()
	events, _, ended, err := f.log.Read(t.Context(), eventlog.StreamID{Session: session, Stream: stream}, 0)
	if err != nil || !ended {
		t.Fatalf("the log: ended %v, %v", ended, err)
	}
	var found []*jsonrpcmsg.Message
	for _, e := range events {
		if len(e.Data) > 0 {
			if m := decode(t, e.Data); m.IsResponse() {
				found = append(found, m)
			}
		}
	}
	if len(found) != 1 {
		t.Fatalf("the log has %d responses", len(found))
	}
	return found[0]
}

func wantDead(t testing.TB, v *viewer, id string, died time.Time) {
	t.Helper()
	m := v.message(t)
	if took := time.Since(died); took > withinDeath {
		t.Errorf("the client learned of it after %v", took)
	}
	if string(m.ID) != id || !strings.Contains(string(m.Error), "died") {
		t.Errorf("the client was told %s %s %s", m.ID, m.Result, m.Error)
	}
	v.wantEnd(t)
	if v.err != nil {
		t.Errorf("the stream ended for %v", v.err)
	}
}

func TestTheClientOfADeadInstanceGetsAnError(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"cut", "frozen"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{}, long)
				sid := beginSession(t, f.store)
				v := f.moved(t, speaker(t, time.Hour), sid, `"7"`)
				time.Sleep(10 * time.Second)
				if how == "cut" {
					f.links[0].Cut()
				} else {
					f.links[0].Freeze()
				}
				wantDead(t, v, `"7"`, time.Now())
				f.nodes[0].Close(t.Context())
			})
		})
	}
}

// A proxy may cut every connection before a second look at the writer is due.
func TestAClientWhoseConnectionsAreShortGetsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		r := f.call(t, f.nodes[0], speaker(t, time.Hour), sid, toolCall("7"))
		r.message(t)
		r.hangUp()
		time.Sleep(10 * time.Second)
		f.links[0].Cut()
		for died := time.Now(); ; {
			v := f.resume(t, f.nodes[1], sid, r.lastID(t))
			hangUp := time.AfterFunc(2*time.Second, v.hangUp)
			e, more := v.next(t)
			hangUp.Stop()
			took := time.Since(died)
			if more {
				if m := decode(t, e.Data); string(m.ID) != "7" || !strings.Contains(string(m.Error), "died") {
					t.Errorf("the client was told %s", e.Data)
				}
			}
			if took > withinDeath {
				t.Fatalf("the client has not learned of it after %v", took)
			}
			if more {
				break
			}
		}
		f.nodes[0].Close(t.Context())
	})
}

func TestAClientThatComesBackAfterADeathGetsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		r := f.call(t, f.nodes[0], speaker(t, time.Hour), sid, toolCall("7"))
		r.message(t)
		r.hangUp()
		f.links[0].Cut()
		time.Sleep(testTTL / 2)
		start := time.Now()
		wantDead(t, f.resume(t, f.nodes[1], sid, r.lastID(t)), "7", start)
		f.nodes[0].Close(t.Context())
	})
}

func TestAWriterThatWakesUpFindsItsStreamEnded(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"cut", "frozen"} {
		for _, takes := range []time.Duration{18 * time.Second, time.Minute} { // it finishes asleep, or after
			t.Run(fmt.Sprint(how, takes), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newBubbleFleet(t, Options{}, long)
					sid := beginSession(t, f.store)
					v := f.moved(t, speaker(t, takes), sid, "7")
					died := time.Now()
					if how == "cut" {
						f.links[0].Cut()
					} else {
						f.links[0].Freeze()
					}
					wantDead(t, v, "7", died)
					time.Sleep(20*time.Second - time.Since(died))
					f.links[0].Heal()
					time.Sleep(2 * time.Minute)
					f.idle(t)
					stream := v.lastID(t).Stream
					if m := f.responses(t, sid, stream); m.Error == nil {
						t.Errorf("the response is %s", m.Result)
					}
					if err := f.nodes[0].Ready(t.Context()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// An outage is what may happen to the links of a fleet without any instance
// dying of it.
func TestNobodyDiesOfAnOutage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		links    []int // that fail
		lasts    time.Duration
		straggle time.Duration // by which the writer's link comes back later
	}{
		{"everybody's, short", []int{0, 1}, 5 * time.Second, 0},
		{"everybody's", []int{0, 1}, 20 * time.Second, 0},
		{"everybody's, long", []int{0, 1}, time.Minute, 0},
		{"everybody's, the writer's is slower to heal", []int{0, 1}, 20 * time.Second, 2 * time.Second},
		{"everybody's, the writer's is slower to heal, a second later", []int{0, 1}, 21 * time.Second, 2 * time.Second},
		{"everybody's, the writer's is slower to heal, two seconds later", []int{0, 1}, 22 * time.Second, 2 * time.Second},
		{"the reader's", []int{1}, 20 * time.Second, 0},
		{"the reader's, long", []int{1}, time.Minute, 0},
		{"the writer's, short", []int{0}, 4 * time.Second, 0},
	} {
		for how, fail := range map[string]func(*redistest.Link){"cut": (*redistest.Link).Cut, "frozen": (*redistest.Link).Freeze} {
			t.Run(test.name+", "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newBubbleFleet(t, Options{}, long)
					sid := beginSession(t, f.store)
					v := f.moved(t, speaker(t, 2*time.Minute), sid, "7")
					time.Sleep(10 * time.Second)
					for _, i := range test.links {
						fail(f.links[i])
					}
					time.Sleep(test.lasts)
					for _, i := range []int{1, 0} {
						f.links[i].Heal()
						time.Sleep(test.straggle)
					}
					if m := v.message(t); textOf(t, m) != "done" {
						t.Errorf("answered with %s", m.Error)
					}
					v.wantEnd(t)
					f.idle(t)
				})
			})
		}
	}
}

func TestAResponseOfAnOutageIsDeliveredAfterIt(t *testing.T) {
	t.Parallel()
	for how, fail := range map[string]func(*redistest.Link){"cut": (*redistest.Link).Cut, "frozen": (*redistest.Link).Freeze} {
		for _, where := range []string{"here", "elsewhere"} {
			t.Run(how+", read "+where, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newBubbleFleet(t, Options{}, long)
					sid := beginSession(t, f.store)
					server := speaker(t, 10*time.Second)
					var v *viewer
					if where == "here" {
						r := f.call(t, f.nodes[0], server, sid, toolCall("7"))
						r.message(t)
						v = r.viewer
					} else {
						v = f.moved(t, server, sid, "7")
					}
					fail(f.links[0])
					fail(f.links[1])
					time.Sleep(20 * time.Second)
					f.links[1].Heal()
					f.links[0].Heal()
					healed := time.Now()
					if m := v.message(t); textOf(t, m) != "done" || time.Since(healed) > withinDeath {
						t.Errorf("%s %s after %v", m.Result, m.Error, time.Since(healed))
					}
					v.wantEnd(t)
					if id := v.lastID(t); id.Offset != 2 {
						t.Errorf("the response's id is %s", id)
					}
					f.responses(t, sid, v.lastID(t).Stream)
					f.idle(t)
				})
			})
		}
	}
}

func TestAConnectedClientGetsTheResponseOfALongOutageWithoutAnID(t *testing.T) {
	t.Parallel()
	for how, fail := range map[string]func(*redistest.Link){"cut": (*redistest.Link).Cut, "frozen": (*redistest.Link).Freeze} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{}, long)
				sid := beginSession(t, f.store)
				r := f.call(t, f.nodes[0], speaker(t, 10*time.Second), sid, toolCall("7"))
				r.message(t)
				before := r.lastID(t)
				fail(f.links[0])
				done := time.Now().Add(10 * time.Second)
				if m := r.message(t); textOf(t, m) != "done" {
					t.Errorf("answered with %+v", m)
				}
				if took := time.Since(done); took < outageBound || took > outageBound+5*time.Second {
					t.Errorf("answered after %v", took)
				}
				if *r.lastID(t) != *before {
					t.Errorf("the response has the id %s", r.lastID(t))
				}
				r.wantEnd(t)
				if r.err != nil {
					t.Error(r.err)
				}
				// The log catches up: nobody waits for ever.
				f.links[0].Heal()
				time.Sleep(withinDeath)
				if m := f.responses(t, sid, before.Stream); textOf(t, m) != "done" {
					t.Errorf("the log says %+v", m)
				}
				f.idle(t)
			})
		})
	}
}

func TestAClientElsewhereGetsTheResponseOfALongOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		v := f.moved(t, speaker(t, 10*time.Second), sid, "7")
		f.links[0].Cut()
		f.links[1].Cut() // or this instance would take the other for dead
		time.Sleep(2 * time.Minute)
		f.links[1].Heal()
		f.links[0].Heal()
		healed := time.Now()
		if m := v.message(t); string(m.ID) != "7" || time.Since(healed) > withinDeath {
			t.Errorf("%+v after %v", m, time.Since(healed))
		}
		v.wantEnd(t)
		f.idle(t)
	})
}

func TestStreamsOpenedInAnOutageLeaveNoPlacesTaken(t *testing.T) {
	t.Parallel()
	for _, streams := range []bool{true, false} {
		t.Run(fmt.Sprint("the response becomes a stream: ", streams), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{Log: eventlog.Options{MaxSessionBytes: 4 * 600}}, long)
				sid := beginSession(t, f.store)
				f.moved(t, speaker(t, 0), beginSession(t, f.store), "1").rest(t) // Redis knows the script
				takes := 30 * time.Second
				if !streams {
					takes = 15 * time.Second
				}
				r := f.call(t, f.nodes[0], oneTool(func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
					time.Sleep(takes)
					return text("done"), nil
				}, nil), sid, toolCall("7"))
				begun := time.Now()
				f.links[0].Freeze()
				for range 4 {
					if err := r.conn.openStream(t.Context()); !errors.Is(err, sessionstore.ErrUnavailable) {
						t.Errorf("over a frozen link: %v", err)
					}
					time.Sleep(time.Second)
				}
				if streams {
					f.links[0].Heal()
					time.Sleep(time.Second)
					if err := r.conn.openStream(t.Context()); err != nil {
						t.Fatal(err)
					}
					if m := r.message(t); textOf(t, m) != "done" || time.Since(begun) != takes {
						t.Errorf("answered with %+v after %v", m, time.Since(begun))
					}
				} else {
					if m := decode(t, r.response(t).Body); textOf(t, m) != "done" {
						t.Errorf("answered with %+v", m)
					}
					f.links[0].Heal()
				}
				r.wantEnd(t)
				time.Sleep(withinDeath)
				open, err := f.do(t, "ZCARD", f.keys.OpenStreams(sid)).AsInt64()
				if err != nil || open != 0 {
					t.Errorf("%d streams are open, %v", open, err)
				}
				f.idle(t)
			})
		})
	}
}

func TestAClientThatLeavesWhileItsStreamIsOpenedKeepsNoReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		f.moved(t, speaker(t, 0), sid, "1").rest(t) // Redis knows the script
		silent := oneTool(func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			time.Sleep(time.Minute)
			return text("done"), nil
		}, nil)
		r := f.accept(t, f.nodes[0], silent, sid, toolCall("7"))
		f.links[0].Freeze()
		opened := make(chan error, 1)
		go func() { opened <- r.conn.openStream(t.Context()) }()
		time.Sleep(time.Second)
		r.conn.Leave(t.Context())
		f.links[0].Heal()
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := f.nodes[0].Streams(); n != 0 {
			t.Errorf("%d readers are left", n)
		}
		states, err := f.log.States(t.Context(), []eventlog.StreamID{r.conn.streamID()})
		if err != nil || states[0].Next == 0 || states[0].Reader != "" {
			t.Errorf("the stream: %+v, %v", states, err)
		}
		<-r.conn.Done()
	})
}

func TestAStreamThatCannotBeOpenedLeavesOneBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{Log: eventlog.Options{MaxSessionBytes: 600}})
		sid := beginSession(t, f.store)
		f.open(t, sid)
		said := make(chan error, 1)
		server := oneTool(func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			said <- req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p"})
			return text("done"), ctx.Err()
		}, nil)
		r := f.call(t, f.nodes[0], server, sid, toolCall("7"))
		if m := decode(t, r.response(t).Body); textOf(t, m) != "done" {
			t.Errorf("answered with %+v", m)
		}
		if err := <-said; err == nil || !strings.Contains(err.Error(), eventlog.ErrFull.Error()) {
			t.Errorf("the handler was told %v", err)
		}
		f.idle(t)
	})
}

func TestAnEventWhoseWriterCouldNotSendItIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		v := f.resume(t, f.nodes[1], sid, nil)
		synctest.Wait()
		// Appended by an instance that died before it could tell the reader.
		f.append(t, eventlog.StandaloneOf(sid), `{"jsonrpc":"2.0","method":"m"}`)
		start := time.Now()
		if m := v.message(t); m.Method != "m" || time.Since(start) > f.store.TTL() {
			t.Errorf("%+v after %v", m, time.Since(start))
		}
		v.hangUp()
	})
}
