package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

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
func TestConcurrentSubscriptionsAreAllInForce(t *testing.T) {
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
		if len(a.waiters.names)+len(b.waiters.names) > 0 {
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

// A stream whose subscriptions are loaded again while it is opened is opened
// nevertheless: only that load sets where it begins.
func TestOpeningAFeedIsNotLeftToAReload(t *testing.T) {
	t.Parallel()
	l := loads{turn: make(turn, 1)}
	l.asked.Add(1) // who opens the feed has asked, and a reload overtakes it
	reload := func() error { return nil }
	if err := l.do(reload); err != nil {
		t.Fatal(err)
	}
	opened := false
	if err := l.doFirst(func() error { opened = true; return nil }); err != nil || !opened {
		t.Errorf("the feed is opened: %v, %v", opened, err)
	}
}
