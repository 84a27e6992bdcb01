package node

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/pace"
	"github.com/mcpfleet/mcpfleet/internal/sse"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

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
func TestAnInstanceReadsTheBusAsFarAsItsClientHas(t *testing.T) {
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

// A session that is not subscribed, and one whose server has said that it does not
// announce a list, hears nothing of it.
func TestOnlyWhatIsWantedIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		for capabilities, want := range map[string][]string{
			announcesAll: allLists(),
			`{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true}}`: {"tools"},
			`{"tools":{},"prompts":{"listChanged":true},"resources":{}}`:                 {"prompts"},
			`{"tools":{},"prompts":{},"resources":{"listChanged":true}}`:                 {"resources"},
			`{"tools":{"listChanged":false},"prompts":{},"resources":{}}`:                nil,
			`{"tools":{}}`: {"prompts", "resources"}, // the server may have got some since
			`{}`:           allLists(),
			``:             nil,
			`[`:            nil,
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
			go func() {
				done <- r.Serve(t.Context(), sse.NewWriter(&failing{s.v, writes}, pace.Limits{Timeout: time.Second}), serveOptions)
			}()
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
		_ = r.Serve(t.Context(), sse.NewWriter(&tapped{s.v, w}, pace.Limits{Timeout: time.Second}), serveOptions)
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
