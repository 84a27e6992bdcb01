package node

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// standaloneReader is an open standalone stream that nobody serves yet.
func (f *fleet) standaloneReader(t testing.TB, n *Node, sid string) *Reader {
	t.Helper()
	r, err := n.Resume(t.Context(), sessionstore.Record{ID: sid}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Reader
}

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func TestASlowClientDoesNotHoldUpTheWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{MaxQueue: 10})
		sid := beginSession(t, f.store)
		for _, n := range f.nodes { // the reader at the writer's, and elsewhere
			r := f.standaloneReader(t, n, sid)
			v := newViewer(t)
			release := make(chan struct{})
			done := make(chan error, 1)
			go func() {
				done <- r.Serve(t.Context(), sse.NewWriter(stuck{v, release}, pace.Limits{Timeout: time.Hour}), serveOptions)
			}()
			start := time.Now()
			const count = 150
			for i := range count {
				if err := f.nodes[0].Standalone(t.Context(), sid, []byte(strconv.Itoa(i))); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("writing took %v", took)
			}
			r.mu.Lock()
			if queued := len(r.queue.events); queued > 10 {
				t.Errorf("%d events wait in memory", queued)
			}
			r.mu.Unlock()
			close(release)
			var got []string
			for range count {
				e, _ := v.next(t)
				got = append(got, string(e.Data))
			}
			if diff := cmp.Diff(numbers(count), got); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
			r.close(closing{})
			<-done
			r.Release(t.Context())
			v.finish(nil)
		}
	})
}

// A stuck writer waits until it is released.
type stuck struct {
	*viewer
	release chan struct{}
}

func (s stuck) Write(b []byte) (int, error) {
	<-s.release
	return s.viewer.Write(b)
}

func TestAQuietStreamSaysThatItLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		synctest.Wait() // the bus is quiet too
		r, err := f.nodes[0].Resume(t.Context(), sessionstore.Record{ID: sid, Position: f.nodes[0].Position()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &transcript{}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Serve(ctx, sse.NewWriter(w, pace.Limits{Timeout: time.Second}), serveOptions) }()
		time.Sleep(31 * time.Second)
		if err := f.nodes[0].Standalone(t.Context(), sid, []byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second) // not quiet for long enough
		synctest.Wait()
		if got, want := w.comments(), 2; got != want {
			t.Errorf("%d comments, want %d", got, want)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := w.comments(), 3; got != want {
			t.Errorf("%d comments, want %d", got, want)
		}
		cancel(errHungUp)
		if err := <-done; !errors.Is(err, errHungUp) {
			t.Errorf("the stream ended for %v", err)
		}
		r.Release(t.Context())
	})
}

func TestAConnectionEndsWithWhatItsClientHasToKnow(t *testing.T) {
	t.Parallel()
	const response = `{"jsonrpc":"2.0","id":1,"result":{}}`
	for _, test := range []struct {
		name string
		end  func(t *testing.T, f *fleet, id eventlog.StreamID, r *Reader)
		want sse.Event // zero for nothing
		err  error
	}{
		{"a newer connection takes over", func(t *testing.T, f *fleet, id eventlog.StreamID, r *Reader) {
			f.standaloneReader(t, f.nodes[1], id.Session).Release(t.Context())
		}, sse.Event{Retry: reconnectLater}, errClosedByServer},
		{"a newer connection on the same instance", func(t *testing.T, f *fleet, id eventlog.StreamID, r *Reader) {
			f.standaloneReader(t, f.nodes[0], id.Session).Release(t.Context())
		}, sse.Event{Retry: reconnectLater}, errClosedByServer},
		{"the instance leaves", func(t *testing.T, f *fleet, _ eventlog.StreamID, _ *Reader) {
			f.nodes[0].Close(t.Context())
		}, sse.Event{Retry: reconnectSoon}, errClosedByServer},
		{"streams are closed", func(t *testing.T, f *fleet, _ eventlog.StreamID, _ *Reader) {
			f.nodes[0].closeStreams(time.Minute)
		}, sse.Event{Retry: time.Minute}, errClosedByServer},
		{"the session ends elsewhere", func(t *testing.T, f *fleet, id eventlog.StreamID, _ *Reader) {
			if err := errors.Join(f.store.Delete(t.Context(), id.Session), f.nodes[1].End(t.Context(), id.Session)); err != nil {
				t.Error(err)
			}
		}, sse.Event{}, errClosedByServer},
		{"the first reason counts", func(_ *testing.T, _ *fleet, _ eventlog.StreamID, r *Reader) {
			r.mu.Lock() // until both have been said
			r.closed = &closing{retry: time.Second}
			r.mu.Unlock()
			r.close(closing{retry: time.Hour})
		}, sse.Event{Retry: time.Second}, errClosedByServer},
		{"a response that could not be logged", func(_ *testing.T, _ *fleet, _ eventlog.StreamID, r *Reader) {
			r.deliverUnlogged([]byte(response))
		}, sse.Event{Data: []byte(response)}, nil},
		{"that response, and the instance leaves", func(_ *testing.T, _ *fleet, _ eventlog.StreamID, r *Reader) {
			r.mu.Lock()
			r.closed = &closing{retry: time.Second}
			r.mu.Unlock()
			r.deliverUnlogged([]byte(response))
		}, sse.Event{Data: []byte(response)}, nil},
		{"that response, but the log has one too", func(_ *testing.T, _ *fleet, _ eventlog.StreamID, r *Reader) {
			r.mu.Lock()
			r.last, r.queue.ended = []byte(response), true
			r.mu.Unlock()
			r.wake.Send()
		}, sse.Event{}, nil},
		{"the stream's end, and the instance leaves", func(_ *testing.T, _ *fleet, _ eventlog.StreamID, r *Reader) {
			r.mu.Lock()
			r.queue.ended = true
			r.mu.Unlock()
			r.close(closing{retry: time.Second})
		}, sse.Event{}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{})
				sid := beginSession(t, f.store)
				r := f.standaloneReader(t, f.nodes[0], sid)
				v := newViewer(t)
				go func() { v.finish(serve(t.Context(), r, v)) }()
				synctest.Wait()
				test.end(t, f, eventlog.StandaloneOf(sid), r)
				got, _ := v.next(t)
				v.wantEnd(t)
				if test.want.Retry > 0 {
					test.want.ID = r.Last().String() // where the client is to go on
				}
				if diff := cmp.Diff(test.want, got, emptyIsNil); diff != "" {
					t.Error("-want +got:\n" + diff)
				}
				if !errors.Is(v.err, test.err) {
					t.Errorf("the connection ended for %v, want %v", v.err, test.err)
				}
			})
		})
	}
}

func TestAReaderWhoseLogIsGoneEndsAndIsNotLeftWaiting(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"stream", "log", "both"} {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{})
				sid := beginSession(t, f.store)
				id := eventlog.StreamID{Session: sid, Stream: eventlog.NewCallStream(json.RawMessage(`1`))}
				first, err := f.log.Open(t.Context(), eventlog.Opening{Stream: id, Nonce: eventlog.NewNonce(), Writer: f.nodes[1].ID(), Call: json.RawMessage(`1`)})
				if err != nil {
					t.Fatal(err)
				}
				v := f.resume(t, f.nodes[0], sid, &first.ID)
				synctest.Wait()
				var keys []string
				if gone != "log" {
					keys = append(keys, f.keys.Stream(sid, id.Stream))
				}
				if gone != "stream" {
					keys = append(keys, f.keys.Log(sid, id.Stream))
				}
				for _, k := range keys {
					if err := f.do(t, "DEL", k).Error(); err != nil {
						t.Fatal(err)
					}
				}
				if gone == "log" { // nothing tells, until the next event
					if _, _, err := f.log.Append(t.Context(), id, eventlog.Append{Writer: f.nodes[1].ID(), Nonce: eventlog.NewNonce()}); !errors.Is(err, eventlog.ErrLost) {
						t.Error(err)
					}
					if err := f.do(t, "HINCRBY", f.keys.Stream(sid, id.Stream), "next", "1").Error(); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				v.wantEnd(t)
				if v.err == nil || time.Since(start) > 15*time.Second {
					t.Errorf("%v after %v", v.err, time.Since(start))
				}
				exists, err := f.do(t, "EXISTS", keys[0]).AsInt64()
				if err != nil || exists != 0 {
					t.Errorf("%s came back: %v", keys[0], err)
				}
			})
		})
	}
}

func TestTheReaderOfAGoneStreamBeginsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		id := eventlog.StreamID{Session: sid, Stream: eventlog.NewCallStream(json.RawMessage(`1`))}
		first, err := f.log.Open(t.Context(), eventlog.Opening{Stream: id, Nonce: eventlog.NewNonce(), Writer: f.nodes[1].ID(), Call: json.RawMessage(`1`)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.nodes[0].Resume(t.Context(), sessionstore.Record{ID: sid}, &first.ID) // its client is too slow to be sent away
		if err != nil {
			t.Fatal(err)
		}
		if err := f.do(t, "DEL", f.keys.Stream(sid, id.Stream)).Error(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * checkEvery)
		exists, err := f.do(t, "EXISTS", f.keys.Stream(sid, id.Stream)).AsInt64()
		if err != nil || exists != 0 {
			t.Errorf("the stream came back: %v", err)
		}
		r.Release(t.Context())
	})
}

func TestWhatAReaderLearnsFromADelivery(t *testing.T) {
	t.Parallel()
	event := func(offset int64) eventlog.Event {
		return eventlog.Event{ID: eventlog.ID{Stream: eventlog.Standalone, Offset: offset, Nonce: "AAAAAA"}, Data: []byte("x")}
	}
	end := func(offset int64) eventlog.Event {
		return eventlog.Event{ID: eventlog.ID{Stream: eventlog.Standalone, Offset: offset}}
	}
	for _, test := range []struct {
		name          string
		happen        func(r *Reader)
		queued        int
		behind, ended bool
	}{
		{"the next event", func(r *Reader) { r.deliver(event(2), false) }, 1, false, false},
		{"one it has", func(r *Reader) { r.deliver(event(1), false) }, 0, false, false},
		{"one after the next", func(r *Reader) { r.deliver(event(3), false) }, 0, true, false},
		{"more than fit", func(r *Reader) { r.deliver(event(2), false); r.deliver(event(3), false); r.deliver(event(4), false) }, 2, true, false},
		{"the last event", func(r *Reader) { r.deliver(event(2), true) }, 1, false, true},
		{"the last event, twice", func(r *Reader) { r.deliver(event(2), true); r.deliver(event(2), true) }, 1, false, true},
		{"the last event, after a gap", func(r *Reader) { r.deliver(event(3), true) }, 0, true, false},
		{"the end", func(r *Reader) { r.deliver(end(2), true) }, 0, false, true},
		{"the end, after a gap", func(r *Reader) { r.deliver(end(3), true) }, 0, true, false},
		{"the end, while it has to look", func(r *Reader) { r.readLogSoon(); r.deliver(end(2), true) }, 0, true, false},
		{"all there is", func(r *Reader) { r.addLogged([]eventlog.Event{event(2)}, 3, true, r.queue.news) }, 1, false, true},
		{"a part of what there is", func(r *Reader) { r.addLogged([]eventlog.Event{event(2)}, 9, true, r.queue.news) }, 1, true, false},
		{"news while it looked", func(r *Reader) {
			news := r.queue.news
			r.deliver(event(4), false)
			r.addLogged([]eventlog.Event{event(2), event(3)}, 4, false, news)
		}, 2, true, false},
		{"more than fit, from the log", func(r *Reader) { r.addLogged([]eventlog.Event{event(2), event(3), event(4)}, 5, true, r.queue.news) }, 2, true, false},
		{"anything before it is attached", func(r *Reader) {
			r.queue.next = unattached
			r.deliver(event(0), false)
			r.deliver(end(1), true)
		}, 0, true, false},
		{"anything before, once it is attached", func(r *Reader) {
			r.queue.next = unattached
			r.deliver(event(2), false)
			r.attach(eventlog.Attachment{From: 2, Next: 2})
		}, 0, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := looseReader(Options{MaxQueue: 2})
			r.attach(eventlog.Attachment{From: 2, Next: 2})
			<-r.wake
			test.happen(r)
			got := r.take()
			if len(got.events) != test.queued || got.behind != test.behind || got.ended != test.ended {
				t.Errorf("%d events, behind %v, ended %v; want %d, %v, %v", len(got.events), got.behind, got.ended, test.queued, test.behind, test.ended)
			}
		})
	}
}

func TestResumeBehindTheEndIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		end := eventlog.End(eventlog.NewCallStream(json.RawMessage(`1`)))
		if _, err := f.nodes[0].Resume(t.Context(), sessionstore.Record{ID: sid}, &end); !errors.Is(err, eventlog.ErrLost) {
			t.Errorf("resumed: %v", err)
		}
		if n := f.nodes[0].Streams(); n != 0 {
			t.Errorf("%d readers are left", n)
		}
	})
}

func TestNoReaderStaysWhenResumeFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		sid := beginSession(t, f.store)
		n := f.nodes[0]
		if _, err := n.Resume(t.Context(), sessionstore.Record{ID: sessionstore.NewID()}, nil); !errors.Is(err, sessionstore.ErrNotFound) {
			t.Errorf("no session: %v", err)
		}
		if _, err := n.Resume(t.Context(), sessionstore.Record{ID: sid}, &eventlog.ID{Stream: eventlog.NewCallStream(nil), Offset: 1, Nonce: eventlog.NewNonce()}); !errors.Is(err, eventlog.ErrLost) {
			t.Errorf("no stream: %v", err)
		}
		f.links[0].Cut()
		if _, err := n.Resume(t.Context(), sessionstore.Record{ID: sid}, nil); !errors.Is(err, sessionstore.ErrUnavailable) {
			t.Errorf("no Redis: %v", err)
		}
		f.links[0].Heal()
		n.Close(t.Context())
		if _, err := n.Resume(t.Context(), sessionstore.Record{ID: sid}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("no instance: %v", err)
		}
		if n.Streams() != 0 || len(n.sessions) != 0 {
			t.Errorf("%d readers, %d sessions are left", n.Streams(), len(n.sessions))
		}
	})
}

// What comes after a stream's connection was told to end is for the next one,
// unless there can be no next.
func TestAClosedConnectionTakesNoMoreEvents(t *testing.T) {
	t.Parallel()
	for _, sse := range []bool{false, true} {
		r := looseReader(Options{})
		if sse {
			r.openSSESession()
		}
		r.attach(eventlog.Attachment{})
		r.deliver(eventlog.Event{ID: eventlog.ID{Nonce: "before"}, Data: []byte(`1`)}, false)
		r.close(closing{retry: time.Second})
		r.deliver(eventlog.Event{ID: eventlog.ID{Offset: 1, Nonce: "behind"}, Data: []byte(`2`)}, true)
		want := map[bool]int{false: 1, true: 2}[sse]
		if todo := r.take(); len(todo.events) != want || todo.ended != sse || todo.closed == nil {
			t.Errorf("the stream of an SSE session %v: %d events, ended %v, want %d", sse, len(todo.events), todo.ended, want)
		}
	}
}

// What waits for a slow client is bounded in bytes, too; but an event that is
// larger than the bound goes through alone.
func TestTheQueueOfAConnectionIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	r := looseReader(Options{MaxQueueBytes: 10})
	r.attach(eventlog.Attachment{})
	var offset int64
	deliver := func(size int) {
		r.deliver(eventlog.Event{ID: eventlog.ID{Offset: offset, Nonce: eventlog.NewNonce()}, Data: make([]byte, size)}, false)
		offset++
	}
	wantQueued := func(events int, behind bool) {
		t.Helper()
		if todo := r.take(); len(todo.events) != events || todo.behind != behind {
			t.Errorf("%d events wait, behind %v, want %d, %v", len(todo.events), todo.behind, events, behind)
		}
	}
	deliver(4)
	deliver(6)
	wantQueued(2, false)
	deliver(11)
	wantQueued(1, false)
	deliver(4)
	deliver(7) // this, and what follows, is left in the log
	deliver(1)
	wantQueued(1, true)
}

var emptyIsNil = cmp.Transformer("bytes", func(b []byte) string { return string(b) })

func TestALostCallEndsBehindItsError(t *testing.T) {
	t.Parallel()
	id := eventlog.ID{Stream: eventlog.NewCallStream(json.RawMessage(`"q"`)), Offset: 3, Nonce: eventlog.NewNonce()}
	e := LostCall(id, errors.New("gone"))
	if want := `{"jsonrpc":"2.0","id":"q","error":{"code":-32603,"message":"gone"}}`; string(e.Data) != want {
		t.Errorf("data %s, want %s", e.Data, want)
	}
	if id, err := eventlog.ParseID(e.ID); err != nil || !id.IsEnd() {
		t.Errorf("the id %q does not stand behind the end", e.ID)
	}
}
