package node

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

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
