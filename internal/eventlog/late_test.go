package eventlog

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Each script is sent, and executed only after its caller has given it up.
func TestALateStreamScriptChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	standalone := func(t *testing.T, r *rig) StreamID {
		id := StandaloneOf(beginSession(t, r.store))
		r.append(t, id, "first")
		if _, err := r.log.Attach(ctx, id, "r/1", nil); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for name, prepare := range map[string]func(t *testing.T, r *rig) func() error{
		"stream_open": func(t *testing.T, r *rig) func() error {
			sid := beginSession(t, r.store)
			return func() error { _, err := r.log.Open(ctx, newOpening(sid)); return err }
		},
		"stream_append, to a call's stream": func(t *testing.T, r *rig) func() error {
			id := r.open(t, beginSession(t, r.store))
			return func() error {
				_, _, err := r.log.Append(ctx, id, Append{Writer: "w", Number: 1, Nonce: NewNonce(), Data: []byte("x"), End: true})
				return err
			}
		},
		"stream_append, to the standalone stream": func(t *testing.T, r *rig) func() error {
			id := standalone(t, r)
			return func() error {
				_, _, err := r.log.Append(ctx, id, Append{Nonce: NewNonce(), Data: []byte("x")})
				return err
			}
		},
		"stream_attach": func(t *testing.T, r *rig) func() error {
			id := standalone(t, r)
			return func() error { _, err := r.log.Attach(ctx, id, "r/2", nil); return err }
		},
		"stream_detach": func(t *testing.T, r *rig) func() error {
			id := standalone(t, r)
			return func() error { return r.log.Detach(ctx, id, "r/1", 1, "") }
		},
		"stream_claim": func(t *testing.T, r *rig) func() error {
			id := standalone(t, r)
			return func() error { _, err := r.log.Claim(ctx, id, "r/2", "r/1"); return err }
		},
		"stream_drop": func(t *testing.T, r *rig) func() error {
			id := r.open(t, beginSession(t, r.store))
			if _, _, err := r.log.Append(ctx, id, Append{Writer: "w", Number: 1, End: true}); err != nil {
				t.Fatal(err)
			}
			return func() error { return r.log.drop(ctx, id.Session, []string{id.Stream}) }
		},
		"stream_miss": func(t *testing.T, r *rig) func() error {
			id := r.open(t, beginSession(t, r.store))
			return func() error { _, err := r.log.WriterMissing(ctx, id, "w", time.Hour); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				r := newRig(t, link.Client(t), Options{})
				b.Late(t, link, func(t *testing.T) func() error { return prepare(t, r) })
			})
		})
	}
}

// What a call's writer gave up does not come after what it appended since, even if
// Redis executes it in time.
func TestAWritersAppendsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		r := newRig(t, s.Client(t), Options{})
		id := r.open(t, beginSession(t, r.store))
		second := Append{Writer: "w", Number: 2, Nonce: NewNonce(), Data: []byte("second")}
		e, _, err := r.log.Append(t.Context(), id, second)
		if err != nil {
			t.Fatal(err)
		}
		first := Append{Writer: "w", Number: 1, Nonce: NewNonce(), Data: []byte("first")}
		for _, first.Again = range []bool{false, true} {
			if _, _, err := r.log.Append(t.Context(), id, first); !errors.Is(err, sessionstore.ErrUnavailable) {
				t.Errorf("the first, after the second: %v", err)
			}
		}
		for _, second.Again = range []bool{false, true} {
			if again, _, err := r.log.Append(t.Context(), id, second); err != nil || again.ID != e.ID {
				t.Errorf("the second, again: %v, %v, want %v", again.ID, err, e.ID)
			}
		}
		if _, _, err := r.log.Append(t.Context(), id, Append{Writer: "w", Number: 3, Nonce: NewNonce(), Data: []byte("third"), End: true}); err != nil {
			t.Error(err)
		}
		if events, _, ended, err := r.log.Read(t.Context(), id, 1); fmt.Sprint(datas(events)) != "[second third]" || !ended || err != nil {
			t.Errorf("%v, ended %v, %v", datas(events), ended, err)
		}
	})
}

// The first of two tries to append the same event comes after the second, while
// somebody still waits for it.
func TestAnEventIsAppendedOnceInWhateverOrderItsTriesCome(t *testing.T) {
	t.Parallel()
	for between, delay := range map[int]time.Duration{0: 10 * time.Millisecond, 50: 10 * time.Millisecond, 500: time.Second} {
		t.Run(fmt.Sprintf("%d events in between", between), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				slow, r := newRig(t, link.Client(t), Options{}), newRig(t, b.Client(t), Options{})
				slow.log.keys = r.keys
				id := StandaloneOf(beginSession(t, r.store))
				for _, rig := range []*rig{slow, r} { // now both know the time
					if _, _, err := rig.log.Append(t.Context(), id, Append{Nonce: NewNonce(), Data: []byte("0")}); err != nil {
						t.Fatal(err)
					}
				}
				event := Append{Nonce: NewNonce(), Data: []byte("once")}
				link.Freeze()
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _, _ = slow.log.Append(t.Context(), id, event)
				}()
				synctest.Wait()
				time.Sleep(delay)
				again := event
				again.Again = true
				if _, _, err := r.log.Append(t.Context(), id, again); err != nil {
					t.Fatal(err)
				}
				for range between {
					r.append(t, id, "other")
				}
				link.Heal()
				<-done
				count := 0
				for from := int64(0); ; {
					events, next, _, err := r.log.Read(t.Context(), id, from)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range events {
						if string(e.Data) == "once" {
							count++
						}
					}
					if from += int64(len(events)); from == next {
						break
					}
				}
				if count != 1 {
					t.Errorf("the event is there %d times", count)
				}
			})
		})
	}
}

// A GET whose client has gone meanwhile does not take the stream from the one that
// came after it. While the client is there it does, as two connections of a client
// that come in the other order may.
func TestALateConnectionTakesAStreamOnlyFromOlderOnes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		gone bool
		want string
	}{
		"its client has gone": {true, "new/1"},
		"its client is there": {false, "old/1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				old, r := newRig(t, link.Client(t), Options{}), newRig(t, b.Client(t), Options{})
				old.log.keys = r.keys
				id := StandaloneOf(beginSession(t, r.store))
				for _, rig := range []*rig{old, r} { // now both know the time
					if _, _, err := rig.log.Append(t.Context(), id, Append{Nonce: NewNonce(), Data: []byte("0")}); err != nil {
						t.Fatal(err)
					}
				}
				link.Freeze()
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				done := make(chan error)
				go func() {
					_, err := old.log.Attach(ctx, id, "old/1", nil)
					done <- err
				}()
				synctest.Wait()
				time.Sleep(time.Second)
				if _, err := r.log.Attach(t.Context(), id, "new/1", nil); err != nil {
					t.Fatal(err)
				}
				if test.gone {
					hangUp()
				}
				link.Heal()
				if err := <-done; errors.Is(err, sessionstore.ErrUnavailable) != test.gone {
					t.Errorf("attach: %v", err)
				}
				states, err := r.log.States(t.Context(), []StreamID{id})
				if err != nil || states[0].Reader != test.want {
					t.Errorf("the reader is %q, %v, want %q", states[0].Reader, err, test.want)
				}
			})
		})
	}
}

// The client has gone while its request waited for something else, and may have come
// back on the connection that reads the stream.
func TestAConnectionWhoseClientHasGoneTakesNoStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		first, second := newRig(t, b.Client(t), Options{}), newRig(t, b.Client(t), Options{})
		second.log.keys = first.keys
		id := StandaloneOf(beginSession(t, first.store))
		if _, err := first.log.Attach(t.Context(), id, "new/1", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		if _, err := second.log.Attach(gone, id, "old/1", nil); !errors.Is(err, sessionstore.ErrUnavailable) {
			t.Errorf("attach: %v", err)
		}
		states, err := first.log.States(t.Context(), []StreamID{id})
		if err != nil || states[0].Reader != "new/1" {
			t.Errorf("the reader is %q, %v", states[0].Reader, err)
		}
	})
}
