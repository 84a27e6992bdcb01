package eventlog

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// stored returns how many bytes a session is said to have stored, and fails the test
// unless that is the sum of its streams'.
func (r *rig) stored(t testing.TB, sid string) (all int64) {
	t.Helper()
	fields, err := r.do(t, "HGETALL", r.keys.Stored(sid)).AsIntMap()
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for stream, n := range fields {
		if stream != "all" {
			sum += n
		}
	}
	if fields["all"] != sum {
		t.Errorf("the session has %d bytes, its streams %d: %v", fields["all"], sum, fields)
	}
	return sum
}

// inRedis returns how many bytes the logs of a session have in Redis.
func (r *rig) inRedis(t testing.TB) (n int) {
	t.Helper()
	for _, k := range redistest.AssertTTLs(t, r.client, r.prefix) {
		if !strings.Contains(k.Name, ":log:") {
			continue
		}
		entries, err := r.do(t, "LRANGE", k.Name, "0", "-1").AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		n += len(strings.Join(entries, ""))
	}
	return n
}

func TestEndedStreamsGoWhenTheirSessionNeedsTheRoom(t *testing.T) {
	t.Parallel()
	const most = 20_000
	onEach(t, Options{MaxSessionBytes: most}, func(t *testing.T, r *rig, sid string) {
		ids := []StreamID{r.open(t, sid)} // stays open
		r.append(t, ids[0], "still there")
		for range 60 {
			id := r.open(t, sid)
			r.append(t, id, strings.Repeat("x", 1000))
			r.end(t, id)
			ids = append(ids, id)
			if all := r.stored(t, sid); all > most || r.inRedis(t) > most {
				t.Fatalf("%d bytes are counted, %d in Redis", all, r.inRedis(t))
			}
			time.Sleep(time.Millisecond) // which ended first is known to the millisecond
		}
		for i, id := range ids {
			_, _, _, err := r.log.Read(t.Context(), id, 1)
			if kept := i == 0 || i >= len(ids)-5; kept && err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
			if dropped := i > 0 && i < 40; dropped && !errors.Is(err, ErrLost) {
				t.Errorf("stream %d: %v", i, err)
			}
		}
		other := beginSession(t, r.store)
		r.append(t, StandaloneOf(other), strings.Repeat("x", most-1000)) // each session has its own
	})
}

func TestASessionThatHasStoredAllItMayStoresNoMore(t *testing.T) {
	t.Parallel()
	const most = 10_000
	onEach(t, Options{MaxSessionBytes: most}, func(t *testing.T, r *rig, sid string) {
		a, b := r.open(t, sid), r.open(t, sid)
		large := strings.Repeat("x", 5000)
		r.append(t, a, large)
		if _, _, err := r.log.Append(t.Context(), b, Append{Writer: "w", Nonce: NewNonce(), Data: []byte(large)}); !errors.Is(err, ErrFull) {
			t.Errorf("too large an event: %v", err)
		}
		if _, _, err := r.log.Append(t.Context(), StandaloneOf(sid), Append{Nonce: NewNonce(), Data: []byte(large), Last: true}); !errors.Is(err, ErrFull) {
			t.Errorf("too large an event, and the last: %v", err)
		}
		r.append(t, a, large) // in place of its own first one
		if events, next, _, err := r.log.Read(t.Context(), a, 2); err != nil || len(events) != 1 || next != 3 {
			t.Errorf("%d events, next %d, %v", len(events), next, err)
		}
		// An error in place of what could not be stored is stored.
		for r.stored(t, sid) < most-1000 {
			r.append(t, b, strings.Repeat("x", 500))
		}
		small := []byte(strings.Repeat("x", smallEvent))
		if _, _, err := r.log.Append(t.Context(), b, Append{Writer: "w", Nonce: NewNonce(), Data: small, End: true}); err != nil {
			t.Errorf("the error that ends a stream: %v", err)
		}
		r.stored(t, sid)
	})
}

func TestWhatHasExpiredIsNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, redistest.NewBubble(t).Client(t), Options{ResumeFor: 10 * time.Second})
		sid := beginSession(t, r.store)
		for range 200 { // more than are forgotten at once
			r.end(t, r.open(t, sid))
		}
		full := r.stored(t, sid)
		for range 8 {
			time.Sleep(r.store.TTL() / 4)
			if _, err := r.store.Touch(t.Context(), sid); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			r.end(t, r.open(t, sid))
		}
		if left := r.stored(t, sid); left*50 > full {
			t.Errorf("%d of %d bytes are still counted", left, full)
		}
		if err := r.store.Delete(t.Context(), sid); err != nil {
			t.Fatal(err)
		}
		if left := redistest.Keys(t, r.client, r.prefix); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	})
}
