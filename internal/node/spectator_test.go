package node

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
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
