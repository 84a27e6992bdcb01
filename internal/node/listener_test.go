package node

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/bus"
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

func TestAListenerGetsOnlyWhatWasAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{})
		_, v := f.listen(t, f.nodes[1],
			Filter{Lists: []bus.List{bus.Tools, bus.Prompts}, URIs: []string{"a:b", "c:d"}},
			&Filter{Lists: []bus.List{bus.Tools}, URIs: []string{"a:b"}})
		for _, list := range bus.Lists {
			if err := f.nodes[0].Publisher().ListChanged(t.Context(), list); err != nil {
				t.Fatal(err)
			}
		}
		f.updated(t, "c:d", "a:b", "other", "a:b")
		v.wantNews(t, "tools", "a:b", "a:b")
	})
}

func TestAListenerGetsItsResponseWhenItsInstanceLeaves(t *testing.T) {
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
		if _, err := f.nodes[1].Listen(json.RawMessage(`8`), Filter{Lists: []bus.List{bus.Tools}}); !errors.Is(err, ErrClosed) {
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
		if !errors.Is(v.err, errBusLost) {
			t.Errorf("it ended for %v", v.err)
		}
	})
}

// What an operator is told of a listener is why it ended: its client is not to blame
// for what the bus has lost.
func TestAListenerIsNotCalledSlowForWhatTheBusLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, f *fleet){
		"the bus is trimmed while it cannot be read": func(t *testing.T, f *fleet) {
			f.links[1].Cut()
			f.updated(t, "a:b", "other")
			if err := f.do(t, "XTRIM", f.keys.Bus(), "MAXLEN", "1").Error(); err != nil {
				t.Fatal(err)
			}
			f.links[1].Heal()
		},
		"the bus is gone": func(t *testing.T, f *fleet) {
			f.deleteKeys(t, f.keys.Bus())
			f.updated(t, "other")
		},
		"a failover loses its end": func(t *testing.T, f *fleet) {
			f.updated(t, "other", "other")
			f.readAll(t)
			f.loseEnd(t, 2)
			time.Sleep(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{})
				l, err := f.nodes[1].Listen(json.RawMessage("1"), Filter{URIs: []string{"a:b"}})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				synctest.Wait()
				lose(t, f)
				time.Sleep(5 * time.Second)
				// Only now does the client read.
				v := newViewer(t)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errHungUp)
				defer cancel()
				if err := l.Serve(ctx, sse.NewWriter(v, time.Second), time.Hour); !errors.Is(err, errBusLost) {
					t.Errorf("it ended for %v", err)
				}
			})
		})
	}
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
		items, _ := l.feed.Take()
		for _, i := range items {
			got = append(got, i.Change.URI)
		}
		if strings.Join(got, " ") != "a:b c:d" {
			t.Errorf("it hears of %q", got)
		}
		l.Update("a:b")
		if items, _ := l.feed.Take(); len(items) != 1 {
			t.Errorf("of the next update it hears %d times", len(items))
		}
	})
}

// A filter is read as the specification writes it: field names match exactly, and
// fields that are not known do no harm.
func TestAFilterIsReadAsTheSpecificationWritesIt(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]Filter{
		`{}`:   {},
		`null`: {},
		`{"toolsListChanged":true,"promptsListChanged":false,"resourcesListChanged":true}`: {Lists: []bus.List{bus.Tools, bus.Resources}},
		`{"promptsListChanged":true,"resourceSubscriptions":["a:b"],"later":1}`:            {Lists: []bus.List{bus.Prompts}, URIs: []string{"a:b"}},
	} {
		var got Filter
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", data, diff)
		}
		if empty := len(want.Lists)+len(want.URIs) == 0; got.Empty() != empty {
			t.Errorf("%s: empty is %v", data, got.Empty())
		}
	}
	for _, data := range []string{`[]`, `1`, `{"toolsListChanged":1}`, `{"resourceSubscriptions":"a:b"}`} {
		if err := json.Unmarshal([]byte(data), new(Filter)); err == nil {
			t.Errorf("%s is a filter", data)
		}
	}
}
