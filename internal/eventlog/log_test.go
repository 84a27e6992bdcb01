package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// onEach runs f on each kind of Redis with a session begun.
func onEach(t *testing.T, opts Options, f func(t *testing.T, r *rig, session string)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newRig(t, s.Client(t), opts)
		id := beginSession(t, r.store)
		f(t, r, id)
		redistest.AssertTTLs(t, r.client, r.prefix)
	})
}

func TestACallsStreamBeginsWithAnEventToResumeFrom(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := StreamID{sid, NewCallStream(json.RawMessage(`"q"`))}
		first, err := r.log.Open(t.Context(), Opening{Stream: id, Nonce: NewNonce(), Writer: "w", Reader: "w/1", Call: json.RawMessage(`"q"`)})
		if err != nil {
			t.Fatal(err)
		}
		r.append(t, id, "one")
		r.append(t, id, "two")
		got, err := r.log.Attach(t.Context(), id, "v/2", &first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"one", "two"}, datas(got.Events)); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
		got.Events = nil
		want := Attachment{From: 1, Next: 3, Writer: "w", Previous: "w/1", Call: json.RawMessage(`"q"`)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
		events, next, ended, err := r.log.Read(t.Context(), id, 0)
		if err != nil || next != 3 || ended {
			t.Fatalf("read: next %d, ended %v, %v", next, ended, err)
		}
		if diff := cmp.Diff([]string{"", "one", "two"}, datas(events)); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
		if diff := cmp.Diff(first.ID, events[0].ID); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
	})
}

func TestEventsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := r.open(t, sid)
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		r.append(t, id, string(all))
		events, _, _, err := r.log.Read(t.Context(), id, 1)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{string(all)}, datas(events)); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
	})
}

func TestARepeatedAppendChangesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := r.open(t, sid)
		a := Append{Writer: "w", Nonce: NewNonce(), Data: []byte("once"), Again: true}
		for range 3 {
			e, reader, err := r.log.Append(t.Context(), id, a)
			if e.ID.Offset != 1 || reader != "r/1" || err != nil {
				t.Fatalf("offset %d, reader %q, %v", e.ID.Offset, reader, err)
			}
		}
		r.append(t, id, "next")
		if e, _, err := r.log.Append(t.Context(), id, a); e.ID.Offset != 1 || err != nil {
			t.Errorf("behind another event: offset %d, %v", e.ID.Offset, err)
		}
		// Also when it ended the stream.
		last := Append{Writer: "w", Nonce: NewNonce(), Data: []byte("last"), End: true, Again: true}
		for range 2 {
			if e, _, err := r.log.Append(t.Context(), id, last); e.ID.Offset != 3 || err != nil {
				t.Errorf("ending: offset %d, %v", e.ID.Offset, err)
			}
		}
		events, next, ended, err := r.log.Read(t.Context(), id, 1)
		if err != nil || next != 4 || !ended {
			t.Fatalf("next %d, ended %v, %v", next, ended, err)
		}
		if diff := cmp.Diff([]string{"once", "next", "last"}, datas(events)); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
	})
}

func TestNothingIsAddedToAnEndedStream(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := r.open(t, sid)
		r.end(t, id)
		for _, a := range []Append{{Writer: "w", Nonce: NewNonce(), Data: []byte("x")}, {Writer: "w", End: true}, {Writer: "w", Nonce: NewNonce(), End: true, Again: true}} {
			if _, _, err := r.log.Append(t.Context(), id, a); !errors.Is(err, ErrEnded) {
				t.Errorf("%+v: %v", a, err)
			}
		}
		if events, next, ended, err := r.log.Read(t.Context(), id, 0); len(events) != 1 || next != 1 || !ended || err != nil {
			t.Errorf("%d events, next %d, ended %v, %v", len(events), next, ended, err)
		}
	})
}

func TestOnlyTheWriterOfAStreamAddsToIt(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id := r.open(t, sid)
		if _, _, err := r.log.Append(t.Context(), id, Append{Writer: "other", Nonce: NewNonce(), End: true}); !errors.Is(err, ErrFenced) {
			t.Errorf("another writer: %v", err)
		}
		lost := StreamID{sid, NewCallStream(json.RawMessage(`1`))}
		if _, _, err := r.log.Append(t.Context(), lost, Append{Writer: "w", Nonce: NewNonce()}); !errors.Is(err, ErrLost) {
			t.Errorf("without the stream: %v", err)
		}
		if _, next, ended, err := r.log.Read(t.Context(), id, 0); next != 1 || ended || err != nil {
			t.Errorf("next %d, ended %v, %v", next, ended, err)
		}
	})
}

func TestTheOldestEventsGoFirst(t *testing.T) {
	t.Parallel()
	onEach(t, Options{MaxEvents: 3, MaxEventBytes: 100}, func(t *testing.T, r *rig, sid string) {
		want := func(id StreamID, from int64, datasWanted ...string) {
			t.Helper()
			events, next, _, err := r.log.Read(t.Context(), id, from)
			if err != nil || next != from+int64(len(datasWanted)) {
				t.Fatalf("next %d, %v", next, err)
			}
			if diff := cmp.Diff(datasWanted, datas(events)); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
			if _, _, _, err := r.log.Read(t.Context(), id, from-1); !errors.Is(err, ErrLost) {
				t.Errorf("event %d is still there: %v", from-1, err)
			}
		}
		id := r.open(t, sid)
		dropped := r.append(t, id, "1")
		for i := 2; i <= 5; i++ {
			r.append(t, id, strconv.Itoa(i))
		}
		want(id, 3, "3", "4", "5")
		if _, err := r.log.Attach(t.Context(), id, "r", &dropped); !errors.Is(err, ErrLost) {
			t.Errorf("resumed from a dropped event: %v", err)
		}
		r.append(t, id, strings.Repeat("x", 90)) // of 96 bytes with its nonce
		want(id, 6, strings.Repeat("x", 90))
		r.append(t, id, strings.Repeat("y", 1000)) // a single event may be larger than the bound
		want(id, 7, strings.Repeat("y", 1000))
		r.append(t, id, "z")
		r.append(t, id, "z")
		want(id, 8, "z", "z")
	})
}

func TestAGoneSessionHasNoStreams(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		id, standalone := r.open(t, sid), StandaloneOf(sid)
		ended := r.open(t, sid)
		event := r.append(t, id, "x")
		r.append(t, standalone, "x")
		r.end(t, ended)
		if err := r.store.Delete(t.Context(), sid); err != nil {
			t.Fatal(err)
		}
		if left := redistest.Keys(t, r.client, r.prefix); len(left) != 0 {
			t.Errorf("%v is left", left)
		}
		_, err := r.log.Open(t.Context(), Opening{Stream: id, Nonce: NewNonce(), Writer: "w"})
		gone := map[string]error{"open": err}
		_, _, gone["append"] = r.log.Append(t.Context(), id, Append{Writer: "w", Nonce: NewNonce(), Data: []byte("x")})
		_, _, gone["append again"] = r.log.Append(t.Context(), id, Append{Writer: "w", Nonce: event.Nonce, Again: true, End: true})
		_, _, gone["append standalone"] = r.log.Append(t.Context(), standalone, Append{Nonce: NewNonce(), Data: []byte("x")})
		_, gone["attach"] = r.log.Attach(t.Context(), id, "r", &event)
		_, gone["attach standalone"] = r.log.Attach(t.Context(), standalone, "r", nil)
		for what, err := range gone {
			if !errors.Is(err, sessionstore.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := r.log.Detach(t.Context(), id, "r/1", 1, ""); err != nil {
			t.Errorf("detach: %v", err)
		}
		if _, _, _, err := r.log.Read(t.Context(), id, 0); !errors.Is(err, ErrLost) {
			t.Errorf("read: %v", err)
		}
		if back := redistest.Keys(t, r.client, r.prefix); len(back) != 0 {
			t.Errorf("%v came back", back)
		}
	})
}

func TestDeletionWinsOverAppendsThatRaceWithIt(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		ids := []StreamID{{sid, Standalone}, r.open(t, sid), r.open(t, sid)}
		done := make(chan error)
		for _, id := range ids {
			go func() {
				a := Append{Writer: "w"}
				if IsStandalone(id.Stream) {
					a.Writer = ""
				}
				for {
					a.Nonce = NewNonce()
					if _, _, err := r.log.Append(t.Context(), id, a); err != nil {
						done <- err
						return
					}
				}
			}()
		}
		if err := r.store.Delete(t.Context(), sid); err != nil {
			t.Error(err)
		}
		for range ids {
			if err := <-done; !errors.Is(err, sessionstore.ErrNotFound) {
				t.Error(err)
			}
		}
		if back := redistest.Keys(t, r.client, r.prefix); len(back) != 0 {
			t.Errorf("%v came back", back)
		}
	})
}

func TestTheOpenStreamsOfASessionCountAmongItsBytes(t *testing.T) {
	t.Parallel()
	onEach(t, Options{MaxSessionBytes: 2*streamBytes + 100}, func(t *testing.T, r *rig, sid string) {
		one := r.open(t, sid)
		r.open(t, sid)
		next := StreamID{sid, NewCallStream(json.RawMessage(`1`))}
		if _, err := r.log.Open(t.Context(), Opening{Stream: next, Nonce: NewNonce(), Writer: "w"}); !errors.Is(err, ErrFull) {
			t.Fatalf("a third: %v", err)
		}
		r.end(t, one)
		if _, err := r.log.Open(t.Context(), Opening{Stream: next, Nonce: NewNonce(), Writer: "w"}); err != nil {
			t.Errorf("after one has ended: %v", err)
		}
		other := beginSession(t, r.store)
		r.open(t, other)
	})
}

func TestForgottenStreamsFreeTheirPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, redistest.NewBubble(t).Client(t), Options{MaxSessionBytes: streamBytes + 100})
		sid := beginSession(t, r.store)
		r.open(t, sid)
		for range 10 {
			time.Sleep(r.store.TTL() / 4)
			if _, err := r.store.Touch(t.Context(), sid); err != nil { // the session lives, the stream is nobody's
				t.Fatal(err)
			}
		}
		r.open(t, sid)
	})
}

func TestAStreamThatOutlivesTheTTLKeepsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, redistest.NewBubble(t).Client(t), Options{MaxSessionBytes: streamBytes + 100})
		sid := beginSession(t, r.store)
		id := r.open(t, sid)
		for range 20 {
			time.Sleep(r.store.TTL() / 4)
			if _, err := r.store.Touch(t.Context(), sid, id.Stream); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.log.Open(t.Context(), Opening{Stream: StreamID{sid, NewCallStream(nil)}, Nonce: NewNonce(), Writer: "w"}); !errors.Is(err, ErrFull) {
			t.Errorf("its place was given away: %v", err)
		}
		r.append(t, id, "still there")
		if err := r.store.Delete(t.Context(), sid); err != nil {
			t.Fatal(err)
		}
		if left := redistest.Keys(t, r.client, r.prefix); len(left) != 0 {
			t.Errorf("%v outlived the session", left)
		}
	})
}

func TestALogOutlivesItsStreamByResumeFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const resumeFor = 10 * time.Second
		r := newRig(t, redistest.NewBubble(t).Client(t), Options{ResumeFor: resumeFor})
		sid := beginSession(t, r.store)
		id, open := r.open(t, sid), r.open(t, sid)
		event := r.append(t, id, "x")
		r.end(t, id)
		time.Sleep(resumeFor - time.Second)
		if a, err := r.log.Attach(t.Context(), id, "r", &event); err != nil || !a.Ended {
			t.Errorf("within ResumeFor: %+v, %v", a, err)
		}
		time.Sleep(2 * time.Second)
		if _, err := r.log.Attach(t.Context(), id, "r", &event); !errors.Is(err, ErrLost) {
			t.Errorf("after ResumeFor: %v", err)
		}
		// The index forgets it when the next stream ends.
		r.end(t, open)
		ended, err := r.do(t, "ZRANGE", r.keys.EndedStreams(sid), "0", "-1").AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{open.Stream}, ended); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
		for _, k := range redistest.AssertTTLs(t, r.client, r.prefix) {
			if strings.HasSuffix(k.Name, open.Stream) && k.TTL > resumeFor {
				t.Errorf("%s lives for %v", k.Name, k.TTL)
			}
		}
	})
}

func TestAStreamsKeysDieWithItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, redistest.NewBubble(t).Client(t), Options{ResumeFor: time.Minute})
		sid := beginSession(t, r.store)
		r.open(t, sid)
		r.append(t, StandaloneOf(sid), "x")
		time.Sleep(r.store.TTL() / 2)
		r.open(t, sid)
		time.Sleep(r.store.TTL())
		if left := redistest.Keys(t, r.client, r.prefix); len(left) != 0 {
			t.Errorf("%v is left", left)
		}
	})
}

func TestAnEvictedLogIsLostNotMisread(t *testing.T) {
	t.Parallel()
	onEach(t, Options{}, func(t *testing.T, r *rig, sid string) {
		for _, id := range []StreamID{{sid, Standalone}, r.open(t, sid)} {
			event := r.append(t, id, "a")
			r.append(t, id, "b")
			if err := r.do(t, "DEL", r.keys.Log(id.Session, id.Stream)).Error(); err != nil {
				t.Fatal(err)
			}
			if _, err := r.log.Attach(t.Context(), id, "r", &event); !errors.Is(err, ErrLost) {
				t.Errorf("attach: %v", err)
			}
			if _, _, _, err := r.log.Read(t.Context(), id, event.Offset+1); !errors.Is(err, ErrLost) {
				t.Errorf("read: %v", err)
			}
		}
		// The other way round: the state is gone, the events are not.
		id := StreamID{beginSession(t, r.store), Standalone}
		r.append(t, id, "a")
		if err := r.do(t, "DEL", r.keys.Stream(id.Session, id.Stream)).Error(); err != nil {
			t.Fatal(err)
		}
		if a, err := r.log.Attach(t.Context(), id, "r", nil); len(a.Events) != 0 || err != nil {
			t.Errorf("a new stream has the events of an old one: %v, %v", datas(a.Events), err)
		}
		if event := r.append(t, id, "b"); event.Offset != 0 {
			t.Errorf("the first event has offset %d", event.Offset)
		}
		if events, _, _, err := r.log.Read(t.Context(), id, 0); err != nil || fmt.Sprint(datas(events)) != "[b]" {
			t.Errorf("%v, %v", datas(events), err)
		}
	})
}

func TestErrorsOfRedisAreOneError(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := newRig(t, s.Client(t), Options{})
	r.log.rdb.Timeout = 100 * time.Millisecond
	sid := beginSession(t, r.store)
	id := r.open(t, sid)
	s.Freeze(t)
	t.Cleanup(func() { s.Thaw(t) })
	_, openErr := r.log.Open(t.Context(), Opening{Stream: StreamID{sid, NewCallStream(nil)}, Nonce: NewNonce(), Writer: "w"})
	_, _, appendErr := r.log.Append(t.Context(), id, Append{Writer: "w", Nonce: NewNonce()})
	_, attachErr := r.log.Attach(t.Context(), id, "r", nil)
	_, _, _, readErr := r.log.Read(t.Context(), id, 0)
	_, statesErr := r.log.States(t.Context(), []StreamID{id})
	for i, err := range []error{openErr, appendErr, attachErr, readErr, statesErr, r.log.Detach(t.Context(), id, "r/1", 0, "")} {
		if !errors.Is(err, sessionstore.ErrUnavailable) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
