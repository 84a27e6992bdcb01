package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"
	"pgregory.net/rapid"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// A spectator is the client of a standalone stream in a bubble, which may lose
// its connection, and of what was sent the end.
type spectator struct {
	t    *testing.T
	f    *fleet
	rec  sessionstore.Record
	v    *viewer
	stop func()
	last *eventlog.ID // of the last event it had
	got  []string     // all news
	seen func(news string)
}

// connect opens the stream through an instance.
func (s *spectator) connect(n *Node, after *eventlog.ID) error {
	r, err := n.Resume(s.t.Context(), s.rec, after)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	v := newViewer(s.t)
	s.v, s.stop = v, cancel
	go func() { v.finish(serve(ctx, r.Reader, v)) }()
	return nil
}

// read takes what has arrived, at most limit events of it.
func (s *spectator) read(limit int) {
	synctest.Wait()
	for ; limit > 0 && s.v != nil; limit-- {
		select {
		case e, ok := <-s.v.events:
			if !ok {
				s.v = nil
				return
			}
			s.take(e)
		default:
			return
		}
	}
}

func (s *spectator) take(e sse.Event) {
	if e.ID != "" {
		id, err := eventlog.ParseID(e.ID)
		if err != nil {
			s.t.Error(err)
		}
		s.last = &id
	}
	if len(e.Data) == 0 {
		return
	}
	what := news(s.t, decode(s.t, e.Data))
	if s.seen != nil {
		s.seen(what)
	}
	s.got = append(s.got, what)
}

const everything = 1 << 20

// leave breaks the connection off after some of what has arrived.
func (s *spectator) leave(read int) {
	s.read(read)
	if s.v != nil {
		s.v.hangUp()
		s.stop() // as net/http does
	}
	s.v = nil
	synctest.Wait()
}

// wantNews reads everything and compares it.
func (s *spectator) wantNews(want ...string) {
	s.t.Helper()
	s.read(everything)
	if diff := cmp.Diff(want, s.got); diff != "" && len(want)+len(s.got) > 0 {
		s.t.Errorf("news (-want +got):\n%s", diff)
	}
	s.got = nil
}

// wantAnyOrder is wantNews for a resync.
func (s *spectator) wantAnyOrder(want ...string) {
	s.t.Helper()
	s.read(everything)
	slices.Sort(s.got)
	slices.Sort(want)
	s.wantNews(want...)
}

func (f *fleet) spectator(t *testing.T, uris ...string) *spectator {
	return &spectator{t: t, f: f, rec: f.begin(t, announcesAll, uris...)}
}

func (s *spectator) mustConnect(n *Node, after *eventlog.ID) {
	s.t.Helper()
	if err := s.connect(n, after); err != nil {
		s.t.Fatal(err)
	}
}

func (f *fleet) note(t testing.TB, session, what string) {
	t.Helper()
	if err := f.nodes[0].Publisher().Notify(t.Context(), session, "notifications/"+what, map[string]any{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhoWasAwayLearnsWhatItMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b", "c:d")
		a, b := f.nodes[0], f.nodes[1]
		f.updated(t, "a:b", "other")
		s.mustConnect(b, nil)
		s.wantNews("a:b") // since the session began

		f.updated(t, "c:d")
		s.wantNews("c:d")
		s.leave(everything)
		f.updated(t, "a:b", "c:d", "other", "a:b")
		s.mustConnect(a, nil)
		s.wantNews("a:b", "c:d", "a:b") // since the last reader left

		s.leave(everything)
		s.mustConnect(b, s.last)
		s.wantNews() // what it has it does not get again

		f.updated(t, "a:b", "c:d", "a:b")
		s.leave(2) // of three only the first two arrive (one may be the id it came with)
		had := slices.Clone(s.got)
		s.mustConnect(a, s.last)
		s.read(everything)
		if diff := cmp.Diff([]string{"a:b", "c:d", "a:b"}, s.got); diff != "" {
			t.Errorf("after %v came (-want +got):\n%s", had, diff)
		}
	})
}

// An update made while nobody looks is not missed for the client's being
// unknown, or known to be from long ago: it is told of everything.
func TestWhoWasAwayTooLongIsResynchronized(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b", "c:d")
		all := append([]string{"a:b", "c:d"}, allLists()...)
		s.mustConnect(f.nodes[0], nil)
		f.updated(t, "a:b")
		s.wantNews("a:b")
		s.leave(everything)
		f.updated(t, "other")
		synctest.Wait()
		for i := range f.nodes {
			f.nodes[i] = f.newcomer(t)
		}
		f.updated(t, "other")
		synctest.Wait()
		for _, after := range []*eventlog.ID{
			s.last,
			{Stream: eventlog.Standalone, Offset: 0, Position: "1-1"},
			{Stream: eventlog.Standalone, Offset: 0},                                     // no position
			{Stream: eventlog.Standalone, Offset: 0, Position: "99999999999999999999-0"}, // none that can be
			{Stream: eventlog.Standalone, Offset: 0, Position: "9999999999999-0"},        // of the future
			new(eventlog.Anew()), // nothing is known
		} {
			s.mustConnect(f.nodes[1], after)
			s.wantAnyOrder(slices.Clone(all)...)
			f.updated(t, "a:b")
			s.wantNews("a:b")
			s.leave(everything)
			s.mustConnect(f.nodes[0], s.last)
			s.wantNews() // now it is up to date
			s.leave(everything)
		}
	})
}

// newcomer returns an instance that knows nothing of what was on the bus before
// its last message.
func (f *fleet) newcomer(t testing.TB) *Node {
	t.Helper()
	if err := f.do(t, "XTRIM", f.keys.Bus(), "MAXLEN", "1").Error(); err != nil {
		t.Fatal(err)
	}
	return f.join(t, f.links[0].Client(t), Options{})
}

// withheld is a client that gets what is read of one stream only after release
// was closed.
type withheld struct {
	rueidis.Client
	key     string
	release chan struct{}
}

func (w *withheld) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if cmd.IsBlock() && slices.Contains(cmd.Commands(), w.key) {
		<-w.release
	}
	return w.Client.Do(ctx, cmd)
}

// A client that comes from an instance which was quicker has missed nothing.
func TestAnInstanceHearsTheBusAsFarAsItsClientHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b")
		slow := &withheld{Client: f.links[1].Client(t), key: f.keys.Bus(), release: make(chan struct{})}
		b := f.join(t, slow, Options{})
		s.mustConnect(f.nodes[0], nil)
		f.updated(t, "a:b")
		s.wantNews("a:b")
		s.leave(everything)
		time.AfterFunc(time.Second, func() { close(slow.release) })
		s.mustConnect(b, s.last)
		s.wantNews()
		f.updated(t, "a:b")
		s.wantNews("a:b")
	})
}

// A resync that is broken off is not over.
func TestAResyncThatIsBrokenOffBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b", "c:d")
		all := append([]string{"a:b", "c:d"}, allLists()...)
		anew := eventlog.Anew()
		for read := range len(all) {
			s.mustConnect(f.nodes[0], &anew)
			s.leave(read)
			if s.last == nil {
				continue
			}
			s.got = nil
			s.mustConnect(f.nodes[1], s.last)
			s.wantAnyOrder(slices.Clone(all)...)
			s.leave(everything)
			s.last = nil
		}
	})
}

func TestUpdatesAreNotLogged(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		rec := f.begin(t, announcesAll, "a:b")
		v := f.follow(t, f.nodes[1], rec, nil)
		for range 20 {
			f.updated(t, "a:b")
			v.wantNews(t, "a:b")
		}
		if n, err := f.do(t, "EXISTS", f.keys.Log(rec.ID, eventlog.Standalone)).AsInt64(); err != nil || n != 0 {
			t.Errorf("there is a log of updates: %d, %v", n, err)
		}
	})
}

// A session that is not subscribed, and one whose server does not announce a
// list, hears nothing of it.
func TestOnlyWhatIsWantedIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		for capabilities, want := range map[string][]string{
			announcesAll: {"tools", "prompts", "resources"},
			`{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true}}`: {"tools"},
			`{"prompts":{"listChanged":true}}`:                                           {"prompts"},
			`{"resources":{"listChanged":true}}`:                                         {"resources"},
			`{"tools":{"listChanged":false}}`:                                            nil,
			`{}`:                                                                         nil,
			``:                                                                           nil,
			`[`:                                                                          nil,
		} {
			s := &spectator{t: t, f: f, rec: f.begin(t, capabilities)}
			s.mustConnect(f.nodes[1], nil)
			f.updated(t, "a:b")
			for _, list := range bus.Lists {
				if err := f.nodes[0].Publisher().ListChanged(t.Context(), list); err != nil {
					t.Fatal(err)
				}
			}
			s.wantNews(want...)
			s.leave(everything)
		}
	})
}

// A client that has had no event of the log yet has a place in it all the same:
// what the server sent and the client did not get is sent again.
func TestAClientThatHadNoEventYetMissesNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b")
		f.note(t, s.rec.ID, "before") // somebody else has seen it
		s.mustConnect(f.nodes[0], nil)
		s.wantNews("before")
		s.leave(everything)
		s.last = nil

		s.mustConnect(f.nodes[1], nil)
		f.updated(t, "a:b")
		s.wantNews("a:b")
		f.note(t, s.rec.ID, "one")
		f.note(t, s.rec.ID, "two")
		s.leave(0) // the server believes that they arrived
		s.mustConnect(f.nodes[0], s.last)
		s.wantNews("one", "two")
		s.leave(everything)
		s.mustConnect(f.nodes[1], s.last)
		s.wantNews()
	})
}

// Events and updates come interleaved; from each id one can resume.
func TestFromEveryIDAClientCanResume(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rng := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			s := f.spectator(t, "a:b", "c:d")
			s.mustConnect(f.nodes[0], nil)
			synctest.Wait()
			var script []string
			for range 1 + rng.IntN(10) {
				what := []string{"a:b", "c:d", "note", "other", "let run"}[rng.IntN(5)]
				script = append(script, what)
				switch what {
				case "note":
					f.note(t, s.rec.ID, what)
				case "let run":
					synctest.Wait()
				default:
					f.updated(t, what)
				}
			}
			synctest.Wait()
			var all []sse.Event
			for len(s.v.events) > 0 {
				all = append(all, <-s.v.events)
			}
			s.leave(everything)
			for i, e := range all {
				id, err := eventlog.ParseID(e.ID)
				if err != nil {
					t.Fatal(err)
				}
				s.mustConnect(f.nodes[i%2], &id)
				var want []string
				for _, rest := range all[i+1:] {
					want = append(want, news(t, decode(t, rest.Data)))
				}
				s.read(everything)
				// Those of the log and those of the bus keep their order each.
				for _, ofLog := range []bool{true, false} {
					other := func(what string) bool { return (what == "note") != ofLog }
					want, got := slices.DeleteFunc(slices.Clone(want), other), slices.DeleteFunc(slices.Clone(s.got), other)
					if !slices.Equal(want, got) {
						t.Errorf("%v: after event %d, %s, came %v, want %v", script, i, e.ID, got, want)
					}
				}
				s.got = nil
				s.leave(everything)
			}
		}
	})
}

// failing is a response that breaks off at a write.
type failing struct {
	*viewer
	writes int
}

func (f *failing) Write(b []byte) (int, error) {
	if f.writes--; f.writes < 0 {
		return 0, io.ErrClosedPipe
	}
	return f.viewer.Write(b)
}

func TestAWriteThatFailsLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b", "c:d")
		for writes := range 4 {
			r, err := f.nodes[0].Resume(t.Context(), s.rec, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.v = newViewer(t)
			done := make(chan error, 1)
			go func() { done <- r.Serve(t.Context(), sse.NewWriter(&failing{s.v, writes}, time.Second), serveOptions) }()
			for _, what := range []string{"a:b", "c:d", "note", "a:b"} {
				synctest.Wait()
				if what == "note" {
					f.note(t, s.rec.ID, what)
				} else {
					f.updated(t, what)
				}
			}
			if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
				t.Fatal(err)
			}
			r.Release(t.Context())
			s.read(everything)
			sent := slices.Clone(s.got)
			s.mustConnect(f.nodes[1], nil) // without an id: the server knows what it has sent
			s.read(everything)
			if diff := cmp.Diff([]string{"a:b", "a:b", "c:d", "note"}, slices.Sorted(slices.Values(s.got))); diff != "" {
				t.Errorf("after %v the rest is wrong (-want +got):\n%s", sent, diff)
			}
			s.got = nil
			s.leave(everything)
		}
	})
}

// A flood of events of the log does not keep the changes back.
func TestChangesAreNotHeldBackByTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b")
		r, err := f.nodes[0].Resume(t.Context(), s.rec, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.updated(t, "a:b")
		synctest.Wait()
		count := 0
		s.v = newViewer(t)
		// With every write another event is there.
		w := writer(func(b []byte) {
			if strings.Contains(string(b), "a:b") {
				s.v.hangUp()
			}
			if count++; count > 50 {
				t.Error("50 events came before the update")
				s.v.hangUp()
			}
			r.deliver(eventlog.Event{ID: eventlog.ID{Stream: eventlog.Standalone, Offset: int64(count), Nonce: eventlog.NewNonce()}, Data: []byte(`{"jsonrpc":"2.0","method":"notifications/note"}`)}, false)
		})
		r.deliver(eventlog.Event{ID: eventlog.ID{Stream: eventlog.Standalone, Offset: 0, Nonce: eventlog.NewNonce()}, Data: []byte(`{"jsonrpc":"2.0","method":"notifications/note"}`)}, false)
		_ = r.Serve(t.Context(), sse.NewWriter(&tapped{s.v, w}, time.Second), serveOptions)
		r.Release(t.Context())
	})
}

type writer func(b []byte)

// tapped is a response of which a test sees each write first.
type tapped struct {
	*viewer
	tap writer
}

func (t *tapped) Write(b []byte) (int, error) {
	t.tap(b)
	return t.viewer.Write(b)
}

// A client of a busy bus that wants little of it is told where it is: back after
// a long time it is not resynchronized.
func TestAQuietClientIsToldItsPosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b")
		s.mustConnect(f.nodes[0], nil)
		f.updated(t, "other")
		time.Sleep(2 * serveOptions.KeepAlive)
		s.read(everything)
		if s.last == nil || s.last.Position != f.nodes[0].Position() {
			t.Fatalf("the client has the id %v, the bus is at %s", s.last, f.nodes[0].Position())
		}
		s.leave(everything)
		s.mustConnect(f.newcomer(t), s.last)
		s.wantNews()
	})
}

// While a subscription is confirmed, the stream's instance learns of it: the
// next update reaches it, and so does one that is made while that instance is
// looking elsewhere.
func TestAConfirmedSubscriptionMissesNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		rec := f.begin(t, announcesAll)
		v := f.follow(t, f.nodes[1], rec, nil)
		for i := range 50 {
			by, uri := f.nodes[i%2], fmt.Sprint("a:", i)
			if err := by.Subscribe(t.Context(), rec.ID, uri, by.Position()); err != nil {
				t.Fatal(err)
			}
			f.updated(t, uri)
			entries := f.bus(t)
			made, _ := bus.ParsePosition(entries[len(entries)-1].ID)
			// The client gets an id behind which the update is not looked for.
			f.note(t, rec.ID, "note")
			var got []string
			for !slices.Contains(got, "note") || !slices.Contains(got, uri) {
				e, _ := v.next(t)
				if len(e.Data) == 0 {
					continue
				}
				got = append(got, news(t, decode(t, e.Data)))
				id, err := eventlog.ParseID(e.ID)
				if err != nil {
					t.Fatal(err)
				}
				if at, _ := bus.ParsePosition(id.Position); !at.Before(made) && !slices.Contains(got, uri) {
					t.Fatal("the id promises an update that was not sent")
				}
			}
		}
	})
}

// Subscriptions that are made at the same time are all in force.
func TestConcurrentSubscriptionsAreAllHeardOf(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		rec := f.begin(t, `{}`)
		v := f.follow(t, f.nodes[1], rec, nil)
		const count = 60
		errs := make(chan error, count)
		for i := range count {
			go func() {
				n := f.nodes[i%2]
				errs <- n.Subscribe(t.Context(), rec.ID, fmt.Sprint("a:", i), n.Position())
			}()
		}
		for range count {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]bool{}
		for i := range count {
			f.updated(t, fmt.Sprint("a:", i))
			want[fmt.Sprint("a:", i)] = true
		}
		for len(want) > 0 {
			delete(want, news(t, v.message(t)))
		}
	})
}

func TestASubscriptionIsNotConfirmedByAReaderThatIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		s := f.spectator(t)
		a, b := f.nodes[0], f.nodes[1]
		subscribe := func(uri string) (time.Duration, error) {
			start := time.Now()
			err := a.Subscribe(t.Context(), s.rec.ID, uri, a.Position())
			return time.Since(start), err
		}
		s.mustConnect(b, nil)
		synctest.Wait()
		f.links[1].Freeze()
		if took, err := subscribe("a:b"); !errors.Is(err, sessionstore.ErrUnavailable) || took > 3*time.Second {
			t.Errorf("while the reader's instance is silent: %v after %v", err, took)
		}
		f.links[1].Heal()
		synctest.Wait()
		if _, err := subscribe("a:b"); err != nil { // as a client does that was told of an error
			t.Error(err)
		}
		f.updated(t, "a:b")
		s.wantNews("a:b")

		// Another connection takes over meanwhile: it knows.
		f.links[1].Freeze()
		confirmed := make(chan error, 1)
		go func() { _, err := subscribe("c:d"); confirmed <- err }()
		time.Sleep(askAgain / 2)
		s.mustConnect(a, nil)
		if err := <-confirmed; err != nil {
			t.Error(err)
		}
		f.updated(t, "c:d")
		s.read(everything)
		if !slices.Contains(s.got, "c:d") {
			t.Errorf("got %v", s.got)
		}
		s.got = nil
		f.links[1].Heal()

		// The reader's instance dies.
		s.leave(everything)
		s.mustConnect(b, nil)
		synctest.Wait()
		f.links[1].Cut()
		time.Sleep(inboxTTL)
		if _, err := subscribe("e:f"); err != nil {
			t.Error(err)
		}
		f.updated(t, "e:f")
		// Or so it seems: it comes back, and its client has been there all the time.
		f.links[1].Heal()
		time.Sleep(a.store.TouchEvery() * 2)
		s.read(everything)
		if !slices.Contains(s.got, "e:f") {
			t.Errorf("got %v", s.got)
		}
		if len(a.awaited)+len(b.awaited) > 0 {
			t.Error("somebody still waits")
		}
	})
}

func TestUnsubscribeEndsTheUpdates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		s := f.spectator(t, "a:b", "c:d")
		s.mustConnect(f.nodes[1], nil)
		synctest.Wait()
		if err := f.nodes[0].Unsubscribe(t.Context(), s.rec.ID, "a:b"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.updated(t, "a:b", "c:d")
		s.wantNews("c:d")
		for _, n := range f.nodes {
			if err := n.Unsubscribe(t.Context(), sessionstore.NewID(), "a:b"); !errors.Is(err, sessionstore.ErrNotFound) {
				t.Errorf("of no session: %v", err)
			}
			if err := n.Subscribe(t.Context(), sessionstore.NewID(), "a:b", ""); !errors.Is(err, sessionstore.ErrNotFound) {
				t.Errorf("of no session: %v", err)
			}
		}
	})
}

// When a standalone stream cannot be opened, another is not harmed.
func TestAStreamWhoseSubscriptionsCannotBeLoadedIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		s := f.spectator(t, "a:b")
		f.note(t, s.rec.ID, "one")
		s.mustConnect(f.nodes[1], nil)
		s.wantNews("one")
		s.leave(everything)
		f.updated(t, "a:b")
		f.note(t, s.rec.ID, "two")
		if err := f.do(t, "RENAME", f.keys.Subscriptions(s.rec.ID), f.keys.Values(s.rec.ID)).Error(); err != nil {
			t.Fatal(err)
		}
		if err := f.do(t, "SET", f.keys.Subscriptions(s.rec.ID), "x", "EX", "60").Error(); err != nil {
			t.Fatal(err)
		}
		if err := s.connect(f.nodes[0], nil); !errors.Is(err, sessionstore.ErrUnavailable) {
			t.Errorf("opened: %v", err)
		}
		if n := f.nodes[0].Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
		if err := f.do(t, "RENAME", f.keys.Values(s.rec.ID), f.keys.Subscriptions(s.rec.ID)).Error(); err != nil {
			t.Fatal(err)
		}
		s.mustConnect(f.nodes[1], nil)
		s.wantAnyOrder("a:b", "two") // and not one again
	})
}

// A performance is a random sequence of what may happen to a client and to the
// instances.
type performance []string

var acts = []string{
	"update", "update", "update", "update", "note", "note", "subscribe", "unsubscribe", "let run", "let run", "let run", "a second",
	"take over", "break off", "break off with the rest", "come back", "come back", "come back without an id", "crash", "cut", "freeze", "heal", "heal",
}

// run plays it and returns what went wrong.
func (p performance) run(t *testing.T) (problem string) {
	f := newBubbleFleet(t, Options{MaxQueue: 3}, 2*time.Minute)
	publisher, err := NewPublisher(&PublisherOptions{Redis: f.client, Prefix: f.prefix})
	if err != nil {
		t.Fatal(err)
	}
	s := f.spectator(t, "r:0")
	owed, notes, next := map[string]bool{}, 0, 0
	lost := false // something that was sent may not have been received
	wanted := map[string]bool{"r:0": true}
	s.seen = func(what string) {
		owed[what] = false
		if n, ok := strings.CutPrefix(what, "note"); ok {
			switch i, _ := strconv.Atoi(n); {
			case i > next:
				problem = fmt.Sprintf("after note %d comes %d", next, i)
			case i == next:
				next++
			}
		}
	}
	reachable := func(i int) *Node { // one whose link is whole, if there is one
		for range 2 {
			if _, err := f.nodes[i%2].store.LoadFresh(t.Context(), s.rec.ID); err == nil {
				break
			}
			i++
		}
		return f.nodes[i%2]
	}
	for i, act := range p {
		switch act {
		case "update":
			s.read(everything)
			uri := fmt.Sprint("r:", i%3)
			if err := publisher.ResourceUpdated(t.Context(), uri); err != nil {
				t.Fatal(err)
			}
			owed[uri] = wanted[uri]
		case "note":
			if err := publisher.Notify(t.Context(), s.rec.ID, fmt.Sprint("notifications/note", notes), nil); err != nil {
				t.Fatal(err)
			}
			notes++
		case "subscribe":
			uri, n := fmt.Sprint("r:", i%3), reachable(i)
			wanted[uri] = n.Subscribe(t.Context(), s.rec.ID, uri, n.Position()) == nil || wanted[uri]
		case "unsubscribe":
			uri, n := fmt.Sprint("r:", i%3), reachable(i)
			_ = n.Unsubscribe(t.Context(), s.rec.ID, uri)
			delete(wanted, uri)
			delete(owed, uri)
		case "let run":
			s.read(everything)
		case "a second":
			time.Sleep(time.Second)
		case "take over":
			s.read(everything)
			_ = s.connect(reachable(i), s.last)
		case "break off":
			s.leave(everything)
		case "break off with the rest":
			if s.last == nil {
				s.read(1) // who has no id yet cannot say what it did not get
			}
			s.leave(i % 2)
			lost = true
		case "come back":
			if s.v == nil {
				_ = s.connect(reachable(i), s.last)
			}
		case "come back without an id":
			s.leave(everything)
			if lost { // who does not say what it has is taken to have what was sent
				_ = s.connect(reachable(i), s.last)
				continue
			}
			_ = s.connect(reachable(i), nil)
		case "crash": // of the instance, with all its connections
			f.links[i%2].Cut()
			s.leave(everything)
		case "cut":
			f.links[i%2].Cut()
		case "freeze":
			f.links[i%2].Freeze()
		case "heal":
			f.links[i%2].Heal()
		}
		if problem != "" {
			return problem
		}
	}
	for _, l := range f.links {
		l.Heal()
	}
	time.Sleep(10 * time.Second)
	s.read(everything)
	if s.v == nil {
		s.mustConnect(f.nodes[0], s.last)
	}
	time.Sleep(f.store.TouchEvery() * 3 / 2)
	s.read(everything)
	for uri, yes := range owed {
		if yes {
			return "the last update of " + uri + " did not arrive"
		}
	}
	if problem == "" && next != notes {
		return fmt.Sprintf("%d notes arrived of %d", next, notes)
	}
	return problem
}

// TestEveryUpdateArrives: every update that was made after its subscription was
// confirmed is learned at least once, and no notification leaves a gap, whatever
// happens to connections and instances.
func TestEveryUpdateArrives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := performance(rapid.SliceOfN(rapid.SampledFrom(acts), 1, 40).Draw(rt, "acts"))
		var problem string
		ok := t.Run("", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { problem = p.run(t) })
		})
		if problem != "" || !ok {
			rt.Fatalf("%q\n%s", p, problem)
		}
	})
}
