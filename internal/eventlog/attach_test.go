package eventlog

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadingAloneBeginsTheStandaloneStream(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) { // which looks for keys without TTL
		id := StandaloneOf(sid)
		if a, err := r.log.Attach(t.Context(), id, "r/1", nil); err != nil || a.From != 0 || a.Next != 0 || a.Ended {
			t.Errorf("%+v, %v", a, err)
		}
		for from, want := range map[int64]error{0: nil, 1: ErrLost} {
			if _, _, _, err := r.log.Read(t.Context(), id, from); !errors.Is(err, want) {
				t.Errorf("read from %d: %v", from, err)
			}
		}
	})
}

func TestTakeOverTellsThePreviousReader(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := StandaloneOf(sid)
		var previous []string
		for _, reader := range []string{"a/1", "b/1", "b/2"} {
			a, err := r.log.Attach(t.Context(), id, reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			previous = append(previous, a.Previous)
		}
		if diff := cmp.Diff([]string{"", "a/1", "b/1"}, previous); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
		if err := r.log.Detach(t.Context(), id, "a/1", 0, ""); err != nil { // too late
			t.Fatal(err)
		}
		if _, reader, err := r.log.Append(t.Context(), id, Append{Nonce: NewNonce()}); reader != "b/2" || err != nil {
			t.Errorf("the reader is %q, %v", reader, err)
		}
		if err := r.log.Detach(t.Context(), id, "b/2", 1, ""); err != nil {
			t.Fatal(err)
		}
		if _, reader, err := r.log.Append(t.Context(), id, Append{Nonce: NewNonce()}); reader != "" || err != nil {
			t.Errorf("after it left the reader is %q, %v", reader, err)
		}
	})
}

func TestAReaderWithoutAnEventBeginsBehindWhatTheLastOneSent(t *testing.T) {
	t.Parallel()
	onEach(t, Options{MaxEvents: 5}, func(t *testing.T, r *rig, sid string) {
		id := StandaloneOf(sid)
		attach := func(reader string, want ...string) {
			t.Helper()
			a, err := r.log.Attach(t.Context(), id, reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, datas(a.Events), cmp.Transformer("len", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
				t.Errorf("%s -want +got:\n%s", reader, diff)
			}
		}
		r.append(t, id, "0")
		attach("a/1", "0") // what was said before anybody read
		r.append(t, id, "1")
		r.append(t, id, "2")
		if err := r.log.Detach(t.Context(), id, "a/1", 2, ""); err != nil { // it has sent 0 and 1
			t.Fatal(err)
		}
		attach("a/2", "2")
		r.append(t, id, "3")
		attach("a/3", "2", "3") // a/2 died without a word: nobody knows what it sent
		if err := r.log.Detach(t.Context(), id, "a/3", 4, ""); err != nil {
			t.Fatal(err)
		}
		attach("a/4")
		for i := 4; i < 12; i++ {
			r.append(t, id, strconv.Itoa(i))
		}
		attach("a/5", "7", "8", "9", "10", "11") // the log has no more
	})
}

func TestAnIDFromALostTailNeverNamesAnotherEvent(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		for _, id := range []StreamID{{sid, Standalone}, r.open(t, sid)} {
			kept := r.append(t, id, "kept")
			lost := r.append(t, id, "lost")
			r.loseTail(t, id, 1)
			resume := func(what string, after ID, want error) {
				t.Helper()
				if _, err := r.log.Attach(t.Context(), id, "r", &after); !errors.Is(err, want) {
					t.Errorf("%s: %v", what, err)
				}
			}
			resume("the lost event's place is empty", lost, ErrLost)
			other := r.append(t, id, "other")
			if other.Offset != lost.Offset {
				t.Fatalf("%s did not take the place of %s", other, lost)
			}
			resume("the lost event's place is taken", lost, ErrLost)
			resume("the event that took it", other, nil)
			resume("an event before", kept, nil)
			ahead := other
			ahead.Offset++
			resume("an event that never was", ahead, ErrLost)
		}
	})
}

// A client that has had no event has an id that names none. It says where its
// connection attached, so it belongs to no stream that nobody has attached to: that
// one was begun anew when the client's was lost.
func TestAnIDWithoutAnEventIsNotOfTheStreamAfterALostOne(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := StandaloneOf(sid)
		r.append(t, id, "0")
		a, err := r.log.Attach(t.Context(), id, "a/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.log.Detach(t.Context(), id, "a/1", a.Next, ""); err != nil {
			t.Fatal(err)
		}
		if a, err = r.log.Attach(t.Context(), id, "a/2", nil); err != nil {
			t.Fatal(err)
		}
		after := ID{Stream: Standalone, Offset: a.From} // what a/2 tells its client
		if _, err := r.log.Attach(t.Context(), id, "a/3", &after); err != nil {
			t.Errorf("nothing is lost: %v", err)
		}
		if err := r.do(t, "DEL", r.keys.Stream(sid, Standalone)).Error(); err != nil {
			t.Fatal(err)
		}
		r.append(t, id, "1")
		r.append(t, id, "2")
		if a, err := r.log.Attach(t.Context(), id, "a/4", &after); !errors.Is(err, ErrLost) {
			t.Errorf("it gets %v of the new stream, %v", datas(a.Events), err)
		}
	})
}

func TestLongLogsAreReadInPages(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := r.open(t, sid)
		var want []string
		for i := range 2*readPage + 10 {
			want = append(want, strconv.Itoa(i))
			r.append(t, id, want[i])
		}
		a, err := r.log.Attach(t.Context(), id, "r", &ID{Stream: id.Stream, Offset: 0, Nonce: firstNonce(t, r, id)})
		if err != nil || len(a.Events) != readPage {
			t.Fatalf("%d events, %v", len(a.Events), err)
		}
		got := datas(a.Events)
		for int64(len(got))+1 < a.Next {
			events, next, _, err := r.log.Read(t.Context(), id, int64(len(got))+1)
			if err != nil || next != a.Next || len(events) == 0 {
				t.Fatalf("%d events, next %d, %v", len(events), next, err)
			}
			got = append(got, datas(events)...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
	})
}

func firstNonce(t *testing.T, r *rig, id StreamID) string {
	t.Helper()
	nonce, err := r.do(t, "LINDEX", r.keys.Log(id.Session, id.Stream), "0").ToString()
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}
