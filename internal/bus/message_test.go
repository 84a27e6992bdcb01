package bus

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// recorded are entries of the bus as instances wrote them before messages had
// types: their fields and values, in order. What is written now has to
// be the same, and want is what is read from them.
var recorded = []struct {
	message Message
	entry   []string
	want    applied
}{
	{hello{}, []string{"p", "0-0", "v", "1", "k", "hello"}, applied{Reset: true}}, // before the first there may have been others
	{
		ResourceUpdated{URI: `file:///a b"c`},
		[]string{"p", "1-0", "v", "1", "k", "updated", "u", `file:///a b"c`},
		applied{URI: `file:///a b"c`},
	},
	{ListChanged{List: Tools}, []string{"p", "2-0", "v", "1", "k", "changed", "l", "tools"}, applied{List: Tools}},
	{ListChanged{List: Prompts}, []string{"p", "3-0", "v", "1", "k", "changed", "l", "prompts"}, applied{List: Prompts}},
	{ListChanged{List: Resources}, []string{"p", "4-0", "v", "1", "k", "changed", "l", "resources"}, applied{List: Resources}},
	{SessionEnded{Session: "S"}, []string{"p", "5-0", "v", "1", "k", "end", "s", "S"}, applied{Ended: "S"}},
	{
		CallCancelled{Session: "S", ID: json.RawMessage(`"x"`)},
		[]string{"p", "6-0", "v", "1", "k", "cancel", "s", "S", "id", `"x"`},
		applied{Cancelled: &CallCancelled{Session: "S", ID: json.RawMessage(`"x"`)}},
	},
	{endLost{}, []string{"v", "1", "k", "lost"}, applied{Reset: true}},
}

// applied is what an instance does when it reads an entry.
type applied struct {
	URI       string
	List      List
	Ended     string
	Cancelled *CallCancelled
	Reset     bool // it may have missed something
}

func TestMessagesAreWrittenAsRecorded(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, r := range recorded {
			b, rdb := newBus(t, s.Client(t))
			if _, marked := r.message.(endLost); marked {
				b.readBeforeLoss = Position{1, 0}
				if err := b.markLoss(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else if err := b.Publish(t.Context(), r.message); err != nil {
				t.Fatal(err)
			}
			want := r.entry
			if want[0] == "p" { // the first message of a bus follows none
				want = append([]string{"p", "0-0"}, want[2:]...)
			}
			if diff := cmp.Diff([][]string{want}, rawEntries(t, rdb, b)); diff != "" {
				t.Errorf("%T -want +got:\n%s", r.message, diff)
			}
		}
	})
}

func TestRecordedMessagesAreUnderstood(t *testing.T) {
	t.Parallel()
	b := newBusWithoutRedis()
	for i, r := range recorded {
		e := rueidis.XRangeEntry{ID: Position{uint64(i + 1), 0}.String(), FieldValues: map[string]string{}}
		for field := 0; field < len(r.entry); field += 2 {
			e.FieldValues[r.entry[field]] = r.entry[field+1]
		}
		f := b.NewFeed(func() {})
		f.Open(b.Position(), true, wanted(`file:///a b"c`), map[List]bool{Tools: true, Prompts: true, Resources: true})
		var got applied
		b.apply(e, Handlers{
			SessionEnded:  func(m SessionEnded) { got.Ended = m.Session },
			CallCancelled: func(m CallCancelled) { got.Cancelled = &m },
		})
		items, lost := f.Take()
		got.Reset = lost
		if !lost && len(items) > 0 {
			got.URI, got.List = items[0].Change.URI, items[0].Change.List
		}
		f.Close()
		if diff := cmp.Diff(r.want, got); diff != "" {
			t.Errorf("%T -want +got:\n%s", r.message, diff)
		}
		if got := b.Position().String(); got != e.ID {
			t.Errorf("%T: the bus has been read up to %s, want %s", r.message, got, e.ID)
		}
	}
}
