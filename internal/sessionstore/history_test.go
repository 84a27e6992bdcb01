package sessionstore_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

// A request is one operation of a history and a response its outcome.
type request struct {
	op    string
	old   session.Version
	value int
}

type response struct {
	value   int
	version session.Version
	yes     bool
	err     error // a sentinel, or nil
	unknown bool  // Redis was away: it may have happened, now or later
}

func respond(err error, r response) response {
	for _, sentinel := range []error{sessionstore.ErrNotFound, sessionstore.ErrExists, sessionstore.ErrConflict} {
		if errors.Is(err, sentinel) {
			return response{err: sentinel}
		}
	}
	if errors.Is(err, sessionstore.ErrUnavailable) {
		return response{unknown: true}
	}
	r.err = err
	return r
}

// A history is what some clients saw of one session.
type history struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (h *history) record(client int, in request, run func() response) {
	call := h.clock.Add(1)
	out := run()
	end := h.clock.Add(1)
	if out.unknown {
		end = math.MaxInt64 // what has no known outcome is not over
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

// check returns an error unless the history could have come from one process
// that did one operation at a time.
func (h *history) check(model porcupine.Model) error {
	if result := porcupine.CheckOperationsTimeout(model, h.ops, 10*time.Second); result != porcupine.Ok {
		var b strings.Builder
		for _, op := range h.ops {
			fmt.Fprintf(&b, "\n%4d-%4d client %d %+v: %+v", op.Call, op.Return%math.MaxInt64, op.ClientId, op.Input, op.Output)
		}
		return fmt.Errorf("history is %s:%s", result, b.String())
	}
	return nil
}

func (h *history) unknown() (n int) {
	for _, op := range h.ops {
		if op.Output.(response).unknown {
			n++
		}
	}
	return n
}

// A node is an instance of a fleet with its own link to Redis.
type node struct {
	link  *redistest.Link
	store *sessionstore.Store
}

const historyClients, historyOps = 4, 12

// run has clients, two per node, do random operations at the same time.
func run(nodes []node, seed uint64, op func(n node, rng *rand.Rand) (request, func() response), disturb func(n node, rng *rand.Rand)) *history {
	h := new(history)
	var wg sync.WaitGroup
	for client := range historyClients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(client)))
			n := nodes[client%len(nodes)]
			for range historyOps {
				if rng.IntN(10) == 0 {
					disturb(n, rng)
				}
				in, do := op(n, rng)
				h.record(client, in, do)
			}
		})
	}
	wg.Wait()
	return h
}

// A valueState is the whole truth about a session with one value.
type valueState struct {
	gone          bool
	value         int
	version, last session.Version
}

var valueModel = porcupine.Model{
	Init: func() any { return valueState{} },
	Step: func(state, in, out any) (bool, any) {
		s, next := state.(valueState), state.(valueState)
		req, res := in.(request), out.(response)
		want := response{}
		switch {
		case s.gone:
			want.err = sessionstore.ErrNotFound
		case req.op == "get":
			want.value, want.version = s.value, s.version
		case req.op == "cas" && req.old != s.version:
			want.err = sessionstore.ErrConflict
		case req.op == "cas":
			next = valueState{value: req.value, version: s.last + 1, last: s.last + 1}
			want.version = next.version
		case req.op == "add" && res.err == sessionstore.ErrConflict: // gave up
			want.err = sessionstore.ErrConflict
		case req.op == "add":
			next = valueState{value: s.value + req.value, version: s.last + 1, last: s.last + 1}
			want.value = next.value
		case req.op == "unset":
			next = valueState{last: s.last}
		case req.op == "delete":
			next.gone = true
		}
		return res.unknown || res == want, next
	},
}

func valueOps(t *testing.T, id string) func(n node, rng *rand.Rand) (request, func() response) {
	ctx := t.Context()
	return func(n node, rng *rand.Rand) (request, func() response) {
		v := valuesOf[int](n.store, "v")
		in := request{value: rng.IntN(100)}
		switch p := rng.IntN(100); {
		case p < 25:
			in.op = "get"
			in.value = 0
			return in, func() response {
				value, version, err := v.Get(ctx, id)
				return respond(err, response{value: value, version: version})
			}
		case p < 60:
			in.op, in.old = "cas", session.Version(rng.IntN(12))
			return in, func() response {
				version, err := v.CompareAndSet(ctx, id, in.old, in.value)
				return respond(err, response{version: version})
			}
		case p < 92:
			in.op = "add"
			return in, func() response {
				value, err := v.Update(ctx, id, func(n int) (int, error) { return n + in.value, nil })
				return respond(err, response{value: value})
			}
		case p < 98:
			return request{op: "unset"}, func() response { return respond(v.Delete(ctx, id), response{}) }
		default:
			return request{op: "delete"}, func() response { return respond(n.store.Delete(ctx, id), response{}) }
		}
	}
}

// A lifeState is the whole truth about the life of one session.
type lifeState struct{ present, initialized bool }

var lifeModel = porcupine.Model{
	Init: func() any { return lifeState{} },
	Step: func(state, in, out any) (bool, any) {
		s, next := state.(lifeState), state.(lifeState)
		req, res := in.(request), out.(response)
		want := response{}
		switch {
		case req.op == "create" && s.present:
			want.err = sessionstore.ErrExists
		case req.op == "create":
			next = lifeState{present: true}
		case !s.present:
			want.err = sessionstore.ErrNotFound
		case req.op == "initialize":
			next.initialized, want.yes = true, !s.initialized
		case req.op == "load":
			want.yes = s.initialized
		case req.op == "delete":
			next = lifeState{}
		}
		return res.unknown || res == want, next
	},
}

func lifeOps(t *testing.T, id string) func(n node, rng *rand.Rand) (request, func() response) {
	ctx := t.Context()
	return func(n node, rng *rand.Rand) (request, func() response) {
		switch p := rng.IntN(100); {
		case p < 30:
			return request{op: "create"}, func() response {
				_, err := n.store.Create(ctx, sessionstore.Record{ID: id})
				return respond(err, response{})
			}
		case p < 55:
			return request{op: "initialize"}, func() response {
				_, first, err := n.store.SetInitialized(ctx, id, "", "", false)
				return respond(err, response{yes: first})
			}
		case p < 80:
			return request{op: "load"}, func() response {
				r, err := n.store.LoadFresh(ctx, id)
				return respond(err, response{yes: r.Initialized})
			}
		default:
			return request{op: "delete"}, func() response { return respond(n.store.Delete(ctx, id), response{}) }
		}
	}
}

func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t)}
		nodes := make([]node, 2)
		for i := range nodes {
			link := s.Link()
			nodes[i] = node{link, storeOf(t, link.Client(t), opts)}
		}
		calm := newStore(t, s, opts)
		cut := func(n node, _ *rand.Rand) { n.link.Cut(); n.link.Heal() }
		for seed := range uint64(12) {
			if err := valueHistory(t, calm, nodes, seed, cut).check(valueModel); err != nil {
				t.Errorf("values, seed %d: %v", seed, err)
			}
			if err := lifeHistory(t, nodes, seed, cut).check(lifeModel); err != nil {
				t.Errorf("life, seed %d: %v", seed, err)
			}
		}
	})
}

// A frozen link delivers commands long after their callers gave up.
func TestHistoriesWithLateCommandsAreLinearizable(t *testing.T) {
	t.Parallel()
	unknown := 0
	for seed := range uint64(15) {
		var values, life *history
		synctest.Test(t, func(t *testing.T) {
			b := redistest.NewBubble(t)
			nodes := make([]node, 2)
			for i := range nodes {
				link := b.Link()
				nodes[i] = node{link, storeOf(t, link.Client(t), nil)}
			}
			freeze := func(n node, rng *rand.Rand) {
				n.link.Freeze()
				time.AfterFunc(rand.N(4*time.Second), n.link.Heal)
			}
			calm := storeOf(t, b.Client(t), nil)
			values, life = valueHistory(t, calm, nodes, seed, freeze), lifeHistory(t, nodes, seed, freeze)
			time.Sleep(5 * time.Second) // for the timers above
		})
		if err := values.check(valueModel); err != nil {
			t.Errorf("values, seed %d: %v", seed, err)
		}
		if err := life.check(lifeModel); err != nil {
			t.Errorf("life, seed %d: %v", seed, err)
		}
		unknown += values.unknown() + life.unknown()
	}
	if unknown == 0 {
		t.Error("every outcome was known: nothing was late, and this test proves nothing")
	}
}

func valueHistory(t *testing.T, calm *sessionstore.Store, nodes []node, seed uint64, disturb func(node, *rand.Rand)) *history {
	id := create(t, calm, sessionstore.Record{})
	return run(nodes, seed, valueOps(t, id), disturb)
}

func lifeHistory(t *testing.T, nodes []node, seed uint64, disturb func(node, *rand.Rand)) *history {
	return run(nodes, seed, lifeOps(t, sessionstore.NewID()), disturb)
}
