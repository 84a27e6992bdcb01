package node

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
)

// namedReader returns whom Redis names as the reader of a stream.
func (f *fleet) namedReader(t *testing.T, stream eventlog.StreamID) string {
	t.Helper()
	states, err := f.log.States(t.Context(), []eventlog.StreamID{stream})
	if err != nil {
		t.Fatal(err)
	}
	return states[0].Reader
}

func (f *fleet) writer(t *testing.T, stream eventlog.StreamID) string {
	t.Helper()
	states, err := f.log.States(t.Context(), []eventlog.StreamID{stream})
	if err != nil {
		t.Fatal(err)
	}
	return states[0].Writer
}

// name has Redis name a connection as the reader of a stream, as a late command could.
func (f *fleet) name(t *testing.T, stream eventlog.StreamID, reader string) {
	t.Helper()
	if err := f.do(t, "HSET", f.keys.Stream(stream.Session, stream.Stream), "reader", reader).Error(); err != nil {
		t.Fatal(err)
	}
}

// Redis names a connection that is not there, or none. The one that is there reads
// the stream again: at once if there is an event, otherwise soon.
func TestTheConnectionThatIsThereReadsTheStreamAgain(t *testing.T) {
	t.Parallel()
	streams := map[string]func(t *testing.T, f *fleet, sid string) (*viewer, eventlog.StreamID){
		"standalone stream": func(t *testing.T, f *fleet, sid string) (*viewer, eventlog.StreamID) {
			return f.resume(t, f.nodes[0], sid, nil), eventlog.StandaloneOf(sid)
		},
		"stream of a call here": func(t *testing.T, f *fleet, sid string) (*viewer, eventlog.StreamID) {
			r := f.call(t, f.nodes[0], speaker(t, time.Hour), sid, toolCall("7"))
			r.message(t)
			return r.viewer, eventlog.StreamID{Session: sid, Stream: r.lastID(t).Stream}
		},
		"call's stream": func(t *testing.T, f *fleet, sid string) (*viewer, eventlog.StreamID) {
			r := f.call(t, f.nodes[1], speaker(t, time.Hour), sid, toolCall("7"))
			r.message(t)
			r.hangUp()
			id := r.lastID(t)
			return f.resume(t, f.nodes[0], sid, id), eventlog.StreamID{Session: sid, Stream: id.Stream}
		},
	}
	for name, open := range streams {
		for _, named := range []string{"missing", ""} {
			for _, event := range []bool{true, false} {
				if named == "" && event {
					continue // nobody is sent the event
				}
				t.Run(name+", named "+named+map[bool]string{true: ", event"}[event], func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						f := newBubbleFleet(t, Options{}, long)
						sid := beginSession(t, f.store)
						v, stream := open(t, f, sid)
						time.Sleep(time.Second)
						was := f.namedReader(t, stream)
						reader := named
						if reader != "" {
							reader = f.nodes[0].ID() + "/" + reader
						}
						f.name(t, stream, reader)
						if event {
							a := eventlog.Append{Nonce: eventlog.NewNonce(), Data: []byte(`{"jsonrpc":"2.0","method":"m"}`)}
							if !eventlog.IsStandalone(stream.Stream) {
								a.Writer = f.writer(t, stream)
							}
							e, reader, err := f.log.Append(t.Context(), stream, a)
							if err != nil {
								t.Fatal(err)
							}
							f.nodes[1].deliver(t.Context(), sid, reader, e, false)
							sent := time.Now()
							v.message(t)
							if took := time.Since(sent); took > 100*time.Millisecond {
								t.Errorf("the event came after %v", took)
							}
						} else {
							time.Sleep(2*checkEvery + time.Millisecond)
						}
						if now := f.namedReader(t, stream); now != was {
							t.Errorf("the reader is %q, was %q", now, was)
						}
						v.hangUp()
					})
				})
			}
		}
	}
}

// The standalone stream of a session is evicted while it is read, long before the
// session is touched: its client is sent away, and comes back to a new one. That has
// what was sent meanwhile, however much it is.
func TestAnEvictedStandaloneStreamEndsSoon(t *testing.T) {
	t.Parallel()
	for _, had := range []int{0, 1, 2} { // events of the stream that is evicted
		for _, since := range []int{0, 1, 2, 3} {
			t.Run(fmt.Sprintf("%d events, %d since", had, since), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newBubbleFleet(t, Options{}, long)
					sid := beginSession(t, f.store)
					say := func(text string) {
						if err := f.nodes[1].Standalone(t.Context(), sid, fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q}`, text)); err != nil {
							t.Fatal(err)
						}
					}
					v := f.resume(t, f.nodes[0], sid, nil)
					for range had {
						say("had")
						v.message(t)
					}
					time.Sleep(time.Second)
					if err := f.do(t, "DEL", f.keys.Stream(sid, eventlog.Standalone)).Error(); err != nil {
						t.Fatal(err)
					}
					for range since {
						say("since")
					}
					began := time.Now()
					v.rest(t)
					if took := time.Since(began); took > 2*checkEvery {
						t.Errorf("it ended after %v", took)
					}
					v = f.resume(t, f.nodes[0], sid, new(eventlog.Anew()))
					for range since {
						if m := v.message(t); m.Method != "since" {
							t.Errorf("the new stream begins with %s", m.Method)
						}
					}
					v.hangUp()
				})
			})
		}
	}
}

// The subscriptions of a session are evicted while its stream is read.
func TestASessionWhoseSubscriptionsAreEvictedEndsSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		v := f.resume(t, f.nodes[0], sid, nil)
		if err := f.nodes[1].Subscribe(t.Context(), sid, "test://a", f.nodes[1].Position()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		select {
		case <-v.over:
			t.Fatal("it ended by itself")
		default:
		}
		if err := f.do(t, "DEL", f.keys.Subscriptions(sid)).Error(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		v.rest(t)
		if took := time.Since(began); took > 2*checkEvery {
			t.Errorf("its stream ended after %v", took)
		}
		if _, err := f.store.LoadFresh(t.Context(), sid); err == nil {
			t.Error("the session is still there")
		}
	})
}
