package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// announcesAll are the capabilities of a server that announces every change.
var announcesAll = func() string {
	capabilities := map[string]map[string]bool{}
	for _, list := range bus.Lists {
		capabilities[list.Capability()] = map[string]bool{"listChanged": true}
	}
	data, err := json.Marshal(capabilities)
	if err != nil {
		panic(err) // names and true are always JSON
	}
	return string(data)
}()

// begin begins a session that is subscribed to resources.
func (f *fleet) begin(t testing.TB, capabilities string, uris ...string) sessionstore.Record {
	t.Helper()
	rec, err := f.store.Create(t.Context(), sessionstore.Record{
		InitializeParams: json.RawMessage(testParams), ProtocolVersion: "2025-11-25", Initialized: true,
		ServerCapabilities: json.RawMessage(capabilities), Position: f.nodes[0].Position(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range uris {
		if err := f.nodes[0].Subscribe(t.Context(), rec.ID, uri, f.nodes[0].Position()); err != nil {
			t.Fatal(err)
		}
	}
	return rec
}

// follow opens or resumes a session's standalone stream through an instance.
func (f *fleet) follow(t testing.TB, n *Node, rec sessionstore.Record, after *eventlog.ID) *viewer {
	t.Helper()
	r, err := n.Resume(t.Context(), rec, after)
	if err != nil {
		t.Fatal(err)
	}
	v := newViewer(t)
	go func() { v.finish(serve(context.WithoutCancel(t.Context()), r.Reader, v)) }()
	return v
}

// news is a message of a stream in short: the URI of an update, the name of a
// list, or of anything else the method.
func news(t testing.TB, m *jsonrpcmsg.Message) string {
	t.Helper()
	var params struct{ URI string }
	if err := json.Unmarshal(m.Params, &params); m.Params != nil && err != nil {
		t.Fatal(err)
	}
	switch method := strings.TrimPrefix(m.Method, "notifications/"); {
	case method == "resources/updated":
		return params.URI
	case strings.HasSuffix(method, "/list_changed"):
		return strings.TrimSuffix(method, "/list_changed")
	default:
		return method
	}
}

// wantNews reads as many messages as are wanted.
func (v *viewer) wantNews(t testing.TB, want ...string) {
	t.Helper()
	got := make([]string, len(want))
	for i := range want {
		got[i] = news(t, v.message(t))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal("news (-want +got):\n" + diff)
	}
}

// allLists are the names of all lists.
func allLists() (names []string) {
	for _, list := range bus.Lists {
		names = append(names, string(list))
	}
	return names
}

// wantResync reads a resync of the lists and some resources.
func (v *viewer) wantResync(t testing.TB, uris ...string) {
	t.Helper()
	want := append(slices.Clone(uris), allLists()...)
	got := make([]string, len(want))
	for i := range want {
		got[i] = news(t, v.message(t))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal("resync (-want +got):\n" + diff)
	}
}

func (f *fleet) updated(t testing.TB, uris ...string) {
	t.Helper()
	for _, uri := range uris {
		if err := f.nodes[0].Publisher().ResourceUpdated(t.Context(), uri); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) bus(t testing.TB) []rueidis.XRangeEntry {
	t.Helper()
	entries, err := r.do(t, "XRANGE", r.keys.Bus(), "-", "+").AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// splitID returns the two numbers of the id of an entry.
func splitID(t testing.TB, id string) (ms, seq uint64) {
	t.Helper()
	if _, err := fmt.Sscanf(id, "%d-%d", &ms, &seq); err != nil {
		t.Fatal(err)
	}
	return ms, seq
}

// loseEnd does to the bus what a failover does to a replica that had not yet
// received the last messages; all of them if count is negative.
func (r *rig) loseEnd(t testing.TB, count int) {
	t.Helper()
	kept := r.bus(t)
	end, _ := splitID(t, kept[len(kept)-1].ID)
	if count < 0 {
		count = len(kept)
	}
	kept = kept[:len(kept)-count]
	if err := r.do(t, "DEL", r.keys.Bus()).Error(); err != nil {
		t.Fatal(err)
	}
	for _, e := range kept {
		r.addEntry(t, e.ID, e.FieldValues)
	}
	if len(kept) > 0 {
		if err := r.do(t, "PEXPIRE", r.keys.Bus(), strconv.FormatInt(time.Hour.Milliseconds(), 10)).Error(); err != nil {
			t.Fatal(err)
		}
	}
	// No failover is so quick that an id is given twice.
	redistest.Until(t, "another millisecond begins", func() bool {
		now, err := r.client.Do(t.Context(), r.client.B().Time().Build()).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		seconds, _ := strconv.ParseUint(now[0], 10, 64)
		micros, _ := strconv.ParseUint(now[1], 10, 64)
		return seconds*1000+micros/1000 > end
	})
}

// addEntry adds a message to the bus past the script.
func (r *rig) addEntry(t testing.TB, id string, fields map[string]string) {
	t.Helper()
	args := []string{"XADD", r.keys.Bus(), id}
	for k, v := range fields {
		args = append(args, k, v)
	}
	if err := r.do(t, args...).Error(); err != nil {
		t.Fatal(err)
	}
}

// readAll waits until every instance has read the whole bus.
func (f *fleet) readAll(t testing.TB) {
	t.Helper()
	entries := f.bus(t)
	last := entries[len(entries)-1].ID
	for i, n := range f.nodes {
		redistest.Until(t, fmt.Sprintf("instance %d has read the bus", i), func() bool { return n.Position() == last })
	}
}

func TestANewInstanceKnowsWhatWasSaidBefore(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		rec := f.begin(t, announcesAll, "a:b", "c:d")
		f.updated(t, "a:b", "other", "a:b")
		if err := f.nodes[0].Publisher().ListChanged(t.Context(), "tools"); err != nil {
			t.Fatal(err)
		}
		v := f.follow(t, f.join(t, s.Client(t), Options{}), rec, nil)
		v.wantNews(t, "a:b", "a:b", "tools") // exactly: no resync
		f.updated(t, "c:d")
		v.wantNews(t, "c:d")
	})
}

func TestMessagesThatWereTrimmedUnreadAreNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec := f.begin(t, announcesAll, "a:b", "c:d")
		cut, whole := f.follow(t, f.nodes[1], rec, nil), f.follow(t, f.nodes[0], f.begin(t, announcesAll, "a:b"), nil)
		synctest.Wait()
		f.links[1].Cut()
		f.updated(t, "a:b", "other", "other")
		if err := f.do(t, "XTRIM", f.keys.Bus(), "MAXLEN", "1").Error(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		f.links[1].Heal()
		cut.wantResync(t, "a:b", "c:d")
		whole.wantNews(t, "a:b") // who was not cut off is not bothered
		time.Sleep(time.Minute)
		f.updated(t, "a:b")
		cut.wantNews(t, "a:b")
		whole.wantNews(t, "a:b")
		if marks := f.marks(t); marks != 0 {
			t.Errorf("%d marks of a loss: nothing was lost", marks)
		}
	})
}

// marks counts the marks that say that the bus lost its end.
func (r *rig) marks(t testing.TB) (count int) {
	for _, e := range r.bus(t) {
		if e.FieldValues["k"] == "lost" {
			count++
		}
	}
	return count
}

// A failover that loses the end of the bus is never silence: not for those that
// are connected, not for those that come back, to whatever instance.
func TestABusThatLostItsEndIsResynchronized(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		slow bool // it takes until an instance looks
		lose func(t *testing.T, f *fleet)
	}{
		{"some messages, and it goes on", false, func(t *testing.T, f *fleet) {
			f.loseEnd(t, 2)
			f.updated(t, "other")
		}},
		{"all messages, and it goes on", false, func(t *testing.T, f *fleet) {
			f.loseEnd(t, -1)
			f.updated(t, "other")
		}},
		{"it goes on with as many as were lost", false, func(t *testing.T, f *fleet) {
			f.loseEnd(t, 2)
			f.updated(t, "other", "other", "other")
		}},
		{"some messages, and it is quiet", true, func(t *testing.T, f *fleet) { f.loseEnd(t, 2) }},
		{"all messages, and it is quiet", true, func(t *testing.T, f *fleet) { f.loseEnd(t, -1) }},
		{"it goes on with smaller ids", true, func(t *testing.T, f *fleet) {
			f.loseEnd(t, 2)
			entries := f.bus(t)
			last := entries[len(entries)-1].ID
			ms, seq := splitID(t, last)
			f.addEntry(t, fmt.Sprintf("%d-%d", ms, seq+1), map[string]string{"p": last, "v": "1", "k": "updated", "u": "other"})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.slow {
				synctest.Test(t, func(t *testing.T) {
					f := newBubbleFleet(t, Options{}, long)
					f.loseEndOfBus(t, test.lose, f.links[0].Client(t))
				})
				return
			}
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				newFleet(t, s, Options{}).loseEndOfBus(t, test.lose, s.Client(t))
			})
		})
	}
}

func (f *fleet) loseEndOfBus(t *testing.T, lose func(*testing.T, *fleet), third rueidis.Client) {
	here, there := f.begin(t, announcesAll, "a:b"), f.begin(t, announcesAll, "c:d")
	away := f.begin(t, announcesAll, "a:b", "c:d")
	v, w, x := f.follow(t, f.nodes[0], here, nil), f.follow(t, f.nodes[1], there, nil), f.follow(t, f.nodes[1], away, nil)
	f.updated(t, "a:b", "c:d")
	v.wantNews(t, "a:b")
	w.wantNews(t, "c:d")
	x.wantNews(t, "a:b", "c:d")
	x.hangUp()
	f.updated(t, "c:d", "a:b") // of these the bus knows nothing later
	v.wantNews(t, "a:b")
	w.wantNews(t, "c:d")
	<-x.over
	f.readAll(t)

	lose(t, f)
	v.wantResync(t, "a:b")
	w.wantResync(t, "c:d")
	redistest.Until(t, "the loss is marked", func() bool { return f.marks(t) > 0 })
	redistest.AssertTTLs(t, f.client, f.prefix)
	f.readAll(t)
	x = f.follow(t, f.join(t, third, Options{}), away, x.lastID(t))
	x.wantResync(t, "a:b", "c:d")
	f.updated(t, "a:b", "c:d")
	v.wantNews(t, "a:b")
	w.wantNews(t, "c:d")
	x.wantNews(t, "a:b", "c:d")
}

// What an instance did not hear before it was lost, another did.
func TestAnInstanceThatHadNotHeardWhatWasLostResynchronizes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec := f.begin(t, announcesAll, "a:b")
		v := f.follow(t, f.nodes[1], rec, nil)
		synctest.Wait()
		f.links[1].Cut()
		f.updated(t, "a:b") // the other hears it, and nobody else will
		synctest.Wait()
		f.loseEnd(t, 1)
		time.Sleep(20 * time.Second)
		f.links[1].Heal()
		v.wantResync(t, "a:b")
		if marks := f.marks(t); marks != 1 {
			t.Errorf("%d marks", marks)
		}
		time.Sleep(time.Minute)
		f.updated(t, "a:b")
		v.wantNews(t, "a:b")
	})
}

func TestMessagesOfOtherVersionsOnTheBusDoNoHarm(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		rec := f.begin(t, announcesAll, "a:b", "c:d")
		v := f.follow(t, f.nodes[1], rec, nil)
		f.updated(t, "a:b")
		for _, fields := range []map[string]string{
			{"v": "1", "k": "end", "s": sessionstore.NewID()},                     // of an instance that does not link messages
			{"v": "1", "k": "cancel", "s": sessionstore.NewID(), "id": `"x`},      // again
			{"v": "1", "k": "whatever", "u": "a:b"},                               // a kind of the future
			{"v": "2", "k": "updated", "u": "a:b"},                                // a version of the future
			{"v": "2", "k": "lost"},                                               // again
			{"v": "1", "k": "changed", "l": "roots"},                              // a list of the future
			{"nonsense": ""},                                                      // of nobody
			{"v": "1", "k": "end", "p": "x"},                                      // nonsense
			{"v": "1", "k": "updated", "u": "c:d"},                                // an update without a link
			{"v": "1", "k": "updated", "p": "99999999999999999999-1", "u": "a:b"}, // no id
		} {
			f.addEntry(t, "*", fields)
			f.updated(t, "other", "a:b")
		}
		want := []string{"a:b"}
		for range 8 {
			want = append(want, "a:b")
		}
		v.wantNews(t, append(want, "c:d", "a:b", "a:b", "a:b")...) // and no resync
		f.readAll(t)
		if f.marks(t) != 1 { // the one of the future
			t.Error("a loss was marked")
		}
	})
}

// Two instances that notice the same loss mark it once, and neither leaves it
// unmarked because Redis is away.
func TestALossIsMarkedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec := f.begin(t, announcesAll, "a:b")
		v := f.follow(t, f.nodes[0], rec, nil)
		f.updated(t, "other", "other")
		synctest.Wait()
		f.loseEnd(t, 2)
		for _, l := range f.links {
			l.Cut()
		}
		time.Sleep(time.Minute)
		for _, l := range f.links {
			l.Heal()
		}
		v.wantResync(t, "a:b")
		time.Sleep(time.Minute)
		if marks := f.marks(t); marks != 1 {
			t.Errorf("%d marks", marks)
		}
		f.updated(t, "a:b")
		v.wantNews(t, "a:b")
	})
}
