package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// withinLoss is how soon a call learns that the response to its server request may
// be lost, once Redis can be reached.
const withinLoss = 15 * time.Second

// askedOn begins a call on an instance that asks its client, and returns it with
// the server request.
func (f *fleet) askedOn(t testing.TB, n *Node, sid, id string) (*callResponse, *jsonrpcmsg.Message) {
	t.Helper()
	r := f.call(t, n, asker(), sid, toolCall(id))
	q := r.message(t)
	if q.Method != "elicitation/create" {
		t.Fatalf("asked %s", q.Method)
	}
	return r, q
}

// An accepted response is delivered when the instance that asked is back, whatever
// kept it from Redis and however long its inbox has been gone.
func TestAResponseWaitsForAnInstanceThatIsCutOff(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"cut", "frozen"} {
		for _, away := range []time.Duration{4 * time.Second, 10 * time.Second, time.Minute} {
			t.Run(fmt.Sprint(how, away), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newBubbleFleet(t, Options{}, long)
					sid := beginSession(t, f.store)
					r, q := f.askedOn(t, f.nodes[0], sid, "1")
					if how == "cut" {
						f.links[0].Cut()
					} else {
						f.links[0].Freeze()
					}
					time.Sleep(away - time.Second)
					f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`)
					time.Sleep(time.Second)
					f.links[0].Heal()
					healed := time.Now()
					if m := r.message(t); textOf(t, m) != "decline" || time.Since(healed) > withinLoss {
						t.Errorf("the response was %s, after %v", textOf(t, m), time.Since(healed))
					}
				})
			})
		}
	}
}

// An inbox can be evicted or deleted while its instance is well.
func TestAResponseArrivesAlthoughTheInboxIsGone(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		r, q := f.askedOn(t, f.nodes[0], sid, "1")
		if err := f.do(t, "DEL", f.keys.Inbox(f.nodes[0].ID())).Error(); err != nil {
			t.Fatal(err)
		}
		f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`)
		if m := r.message(t); textOf(t, m) != "decline" {
			t.Errorf("the response was %s", textOf(t, m))
		}
		redistest.AssertTTLs(t, f.client, f.prefix)
	})
}

// If the key that had the response is lost, or was not there to take it, the call
// fails soon and says why: 202 into nothing is never all there is.
func TestACallWhoseResponseMayBeLostFailsSoon(t *testing.T) {
	t.Parallel()
	lose := map[string]func(t *testing.T, f *fleet, respond func()){
		"the responses, before": func(t *testing.T, f *fleet, respond func()) {
			f.deleteKeys(t, f.keys.Responses(f.nodes[0].ID()))
			respond() // into the inbox
		},
		"the responses, with it": func(t *testing.T, f *fleet, respond func()) {
			f.links[0].Cut()
			respond()
			f.deleteKeys(t, f.keys.Responses(f.nodes[0].ID()))
			f.links[0].Heal()
		},
		"both, before": func(t *testing.T, f *fleet, respond func()) {
			f.deleteKeys(t, f.keys.Inbox(f.nodes[0].ID()), f.keys.Responses(f.nodes[0].ID()))
			respond()
		},
		"both, with it, while cut off": func(t *testing.T, f *fleet, respond func()) {
			f.links[0].Cut()
			time.Sleep(8 * time.Second)
			respond()
			f.deleteKeys(t, f.keys.Responses(f.nodes[0].ID())) // the inbox has expired
			time.Sleep(2 * time.Second)
			f.links[0].Heal()
		},
	}
	for what, lose := range lose {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newBubbleFleet(t, Options{}, long)
				sid := beginSession(t, f.store)
				r, q := f.askedOn(t, f.nodes[0], sid, "1")
				lose(t, f, func() { f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`) })
				start := time.Now()
				m := r.message(t)
				if took := time.Since(start); took > withinLoss {
					t.Errorf("the call learned of it after %v", took)
				}
				if got := textOf(t, m); got != "decline" && !strings.Contains(got, errResponseLost.Error()) {
					t.Errorf("the call got %q", got)
				}
				time.Sleep(withinLoss) // what is asked later is not affected
				again, q := f.askedOn(t, f.nodes[0], sid, "2")
				time.Sleep(time.Minute)
				f.respond(t, f.nodes[1], sid, q, `{"action":"accept"}`)
				if m := again.message(t); textOf(t, m) != "accept" {
					t.Errorf("a later call got %q", textOf(t, m))
				}
			})
		})
	}
}

func (f *fleet) deleteKeys(t testing.TB, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if n, err := f.do(t, "DEL", key).AsInt64(); err != nil || n != 1 {
			t.Errorf("deleted %d keys %s, %v", n, key, err)
		}
	}
}

// An instance asks again and again, is never cut off, and fails nothing.
func TestServerRequestsOfAnInstanceThatLostNothingWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{AnswerWithin: time.Hour}, 2*time.Hour)
		sid := beginSession(t, f.store)
		r, q := f.askedOn(t, f.nodes[0], sid, "1")
		time.Sleep(50 * time.Minute)
		f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`)
		if m := r.message(t); textOf(t, m) != "decline" {
			t.Errorf("the call got %q", textOf(t, m))
		}
	})
}

// A renewal whose outcome is unknown may have made the keys anew.
func TestALossIsNoticedThoughItsRenewalSeemedToFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		n, sid := f.nodes[0], beginSession(t, f.store)
		r, _ := f.askedOn(t, n, sid, "1")
		f.deleteKeys(t, f.keys.Inbox(n.ID()), f.keys.Responses(n.ID()))
		// As if an earlier renewal had done it: the loop's next one finds both.
		other := &Node{id: n.id, link: f.nodes[1].link, opts: n.opts}
		if err := other.renewInbox(t.Context(), firstMail); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if m := r.message(t); !strings.Contains(textOf(t, m), errResponseLost.Error()) || time.Since(start) > withinLoss {
			t.Errorf("the call got %q after %v", textOf(t, m), time.Since(start))
		}
	})
}

// What waits for an instance is bounded, and what has no place is refused, not
// dropped.
func TestResponsesBeyondTheBoundAreRefused(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		n, key := f.nodes[1], f.keys.Responses("aaaaaaaaaaaaaaaa") // an instance that does not read
		if err := f.do(t, "XADD", key, "0-1", "v", "1", "k", "hello").Error(); err != nil {
			t.Fatal(err)
		}
		if err := f.do(t, "EXPIRE", key, "60").Error(); err != nil {
			t.Fatal(err)
		}
		large, err := json.Marshal(strings.Repeat("x", 3<<20))
		if err != nil {
			t.Fatal(err)
		}
		id := json.RawMessage(`"aaaaaaaaaaaaaaaa.1.1"`)
		for sent := 0; ; sent += len(large) {
			err := n.ForwardResponse(t.Context(), sessionstore.NewID(), &jsonrpcmsg.Message{ID: id, Result: large})
			if errors.Is(err, redisx.ErrUnavailable) {
				if sent < maxResponseBytes/2 {
					t.Errorf("refused after %d bytes: %v", sent, err)
				}
				break
			}
			if err != nil || sent > 2*maxResponseBytes {
				t.Fatalf("%d bytes are kept, %v", sent, err)
			}
		}
		if n, err := f.do(t, "XLEN", key).AsInt64(); err != nil || n < 2 {
			t.Errorf("%d entries, %v", n, err)
		}
	})
}

func TestAResponseForAMadeUpInstanceMakesNoKey(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		f := newFleet(t, s, Options{})
		sid := beginSession(t, f.store)
		before := len(redistest.Keys(t, f.client, f.prefix))
		m := &jsonrpcmsg.Message{ID: json.RawMessage(`"aaaaaaaaaaaaaaaa.1.1"`), Result: json.RawMessage(`{}`)}
		if err := f.nodes[1].ForwardResponse(t.Context(), sid, m); err != nil {
			t.Fatal(err)
		}
		if after := redistest.AssertTTLs(t, f.client, f.prefix); len(after) != before {
			t.Errorf("keys %v", after)
		}
	})
}

// A client's progress with a server request comes before its response, also to an
// instance that was away.
func TestProgressWaitsLikeAResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		got := make(chan string, 10)
		sid := beginSession(t, f.store)
		r := f.call(t, f.nodes[0], progressAsker(got), sid, toolCall("1"))
		q := r.message(t)
		f.links[0].Cut()
		time.Sleep(8 * time.Second)
		if ours, err := f.nodes[1].ForwardProgress(t.Context(), sid, json.RawMessage(fmt.Sprintf(`{"progressToken":%s,"progress":1}`, q.ID))); !ours || err != nil {
			t.Fatalf("ours %v, %v", ours, err)
		}
		f.respond(t, f.nodes[1], sid, q, `{"action":"decline"}`)
		f.links[0].Heal()
		if m := r.message(t); textOf(t, m) != "decline" {
			t.Errorf("the call got %q", textOf(t, m))
		}
		if len(got) != 1 {
			t.Errorf("%d notifications of progress", len(got))
		}
	})
}

// The instance that has the stream may have lost its inbox only: a subscription is
// confirmed when it has loaded it, and not before.
func TestASubscriptionIsConfirmedByAReaderWhoseInboxIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec := f.begin(t, `{}`)
		v := f.follow(t, f.nodes[1], rec, nil)
		synctest.Wait()
		f.deleteKeys(t, f.keys.Inbox(f.nodes[1].ID()))
		start := time.Now()
		if err := f.nodes[0].Subscribe(t.Context(), rec.ID, "a:b", f.nodes[0].Position()); err != nil || time.Since(start) > withinLoss {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, standalone := f.nodes[1].streamsOf(rec.ID); len(standalone.feed.URIs()) != 1 {
			t.Error("the subscription is confirmed, and the reader does not know of it")
		}
		f.updated(t, "a:b")
		v.wantNews(t, "a:b")
	})
}

// While this instance cannot know whether the reader's is dead, it confirms nothing.
func TestASubscriptionIsNotConfirmedByAnInstanceThatCannotJudge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec := f.begin(t, `{}`)
		f.follow(t, f.nodes[1], rec, nil)
		synctest.Wait()
		f.links[0].Cut()
		f.links[1].Cut()
		time.Sleep(inboxTTL + renewEvery)
		f.links[0].Heal()
		time.Sleep(time.Second)
		if err := f.nodes[0].Subscribe(t.Context(), rec.ID, "a:b", f.nodes[0].Position()); !errors.Is(err, sessionstore.ErrUnavailable) {
			t.Errorf("confirmed: %v", err)
		}
		f.links[1].Heal()
	})
}

func TestACallOfAnSSESessionWhoseOwnerLostItsInboxRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec, v, owner := f.sseSession(t)
		f.deleteKeys(t, f.keys.Inbox(f.nodes[0].ID()))
		f.accept(t, f.nodes[1], echo(), rec.ID, toolCall("7"), func(req *Request) {
			if err := f.nodes[1].Relay(t.Context(), owner, req); err != nil {
				t.Fatal(err)
			}
		})
		if m := v.message(t); textOf(t, m) != "echo" {
			t.Errorf("got %+v", m)
		}
		v.hangUp()
	})
}

// That a call has ended reaches the owner of the stream although it was cut off at
// the time: the stream does not end with the instance that ran the call.
func TestTheOwnerOfAnSSEStreamLearnsOfACallThatEndedWhileItWasAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec, v, owner := f.sseSession(t)
		called := f.accept(t, f.nodes[1], speaker(t, 20*time.Second), rec.ID, toolCall("7"), func(req *Request) {
			if err := f.nodes[1].Relay(t.Context(), owner, req); err != nil {
				t.Fatal(err)
			}
		})
		v.message(t)
		time.Sleep(10 * time.Second)
		f.links[0].Cut()
		<-called.conn.Done()
		f.links[0].Heal()
		if m := v.message(t); textOf(t, m) != "done" {
			t.Errorf("got %+v", m)
		}
		f.nodes[1].Close(t.Context())
		time.Sleep(time.Minute)
		if n := f.nodes[0].Streams(); n != 1 {
			t.Error("the stream has ended")
		}
		v.hangUp()
	})
}

func TestAReaderIsToldToEndWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		sid := beginSession(t, f.store)
		v := f.resume(t, f.nodes[0], sid, nil)
		synctest.Wait()
		_, reader := f.nodes[0].streamsOf(sid)
		f.links[1].Cut()
		f.nodes[1].takeOver(t.Context(), f.nodes[0].readerRef(reader))
		f.links[1].Heal()
		start := time.Now()
		v.rest(t)
		if took := time.Since(start); took > withinLoss {
			t.Errorf("the reader ended after %v", took)
		}
	})
}
