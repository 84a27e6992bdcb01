package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sse"
)

// listen opens a listener on an instance and serves it to a viewer. The filter
// that was accepted is narrower than what was asked for if accepted is not nil.
func (f *fleet) listen(t testing.TB, n *Node, filter Filter, accepted *Filter) (*Listener, *viewer) {
	t.Helper()
	l, err := n.Listen(json.RawMessage(`7`), filter)
	if err != nil {
		t.Fatal(err)
	}
	if accepted != nil {
		l.Restrict(*accepted)
	}
	v := newViewer(t)
	ctx := t.Context()
	go func() {
		err := l.Serve(ctx, sse.NewWriter(v, 10*time.Second), 15*time.Second)
		l.Close()
		v.finish(err)
	}()
	return l, v
}

func TestAListenerHearsOnlyWhatWasAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		_, v := f.listen(t, f.nodes[1],
			Filter{Tools: true, Prompts: true, URIs: []string{"a:b", "c:d"}},
			&Filter{Tools: true, URIs: []string{"a:b"}})
		for _, list := range lists {
			if err := f.nodes[0].ListChanged(t.Context(), list); err != nil {
				t.Fatal(err)
			}
		}
		f.updated(t, "c:d", "a:b", "other", "a:b")
		v.wantNews(t, "tools", "a:b", "a:b")
	})
}

func TestAListenerIsAnsweredWhenItsInstanceLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		_, v := f.listen(t, f.nodes[1], Filter{URIs: []string{"a:b"}}, nil)
		f.updated(t, "a:b")
		v.wantNews(t, "a:b")
		f.nodes[1].Close(t.Context())
		if m := v.message(t); string(m.ID) != "7" || !strings.Contains(string(m.Result), `"resultType":"complete"`) {
			t.Errorf("the listener was told %s %s", m.ID, m.Result)
		}
		v.wantEnd(t)
		if v.err != nil {
			t.Error(v.err)
		}
		if n := f.nodes[1].Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
		if _, err := f.nodes[1].Listen(json.RawMessage(`8`), Filter{Tools: true}); !errors.Is(err, ErrClosed) {
			t.Errorf("on an instance that has left: %v", err)
		}
	})
}

// It cannot be told what it missed: it has to begin anew.
func TestAListenerThatMayHaveMissedSomethingIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		_, v := f.listen(t, f.nodes[1], Filter{URIs: []string{"a:b"}}, nil)
		f.links[1].Cut()
		f.updated(t, "a:b", "other")
		if err := f.do(t, "XTRIM", f.keys.Bus(), "MAXLEN", "1").Error(); err != nil {
			t.Fatal(err)
		}
		f.links[1].Heal()
		v.wantEnd(t)
		if !errors.Is(v.err, ErrTooSlow) {
			t.Errorf("it ended for %v", v.err)
		}
	})
}

func TestUpdatesThatWaitForOneListenerAreOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		l, err := f.nodes[0].Listen(json.RawMessage(`7`), Filter{URIs: []string{"a:b", "c:d"}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, uri := range []string{"a:b", "a:b", "other", "c:d", "a:b"} {
			l.Update(uri)
		}
		var got []string
		for _, i := range take(t, l.feed) {
			got = append(got, i.change.uri)
		}
		if strings.Join(got, " ") != "a:b c:d" {
			t.Errorf("it hears of %q", got)
		}
		l.Update("a:b")
		if n := len(take(t, l.feed)); n != 1 {
			t.Errorf("of the next update it hears %d times", n)
		}
	})
}
