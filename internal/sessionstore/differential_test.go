package sessionstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"
	"pgregory.net/rapid"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

// A program is run on a miniredis and on a redis-server, which must answer
// alike: most tests see only the one.
type program []instruction

type instruction struct {
	Op          string
	Session     int
	Owner, Text string
	Version     session.Version
	Lifetime    bool
}

var operations = []string{
	"create", "create", "create", "load", "cached", "negotiate", "initialize", "uninitialize", "setLevel", "level", "touch", "delete",
	"get", "set", "set", "set", "unset", "streams", "subscribe", "subscribe", "unsubscribe", "subscriptions",
}

func drawProgram(t *rapid.T) program {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) instruction {
		return instruction{
			Op:       rapid.SampledFrom(operations).Draw(t, "op"),
			Session:  rapid.IntRange(0, 3).Draw(t, "session"),
			Owner:    rapid.SampledFrom([]string{"", "alice", "bob"}).Draw(t, "owner"),
			Text:     rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b", "c"}), rapid.StringN(0, 20, 40)).Draw(t, "text"),
			Version:  session.Version(rapid.IntRange(0, 6).Draw(t, "version")),
			Lifetime: rapid.Bool().Draw(t, "lifetime"),
		}
	}), 1, 40).Draw(t, "program")
}

// A machine runs programs on one Redis.
type machine struct {
	client rueidis.Client
	keys   rediskeys.Space
	// Two stores with and without an absolute lifetime.
	mortal, immortal *sessionstore.Store
}

func newMachine(client rueidis.Client, prefix string) (*machine, error) {
	m := &machine{client: client}
	var err error
	if m.keys, err = rediskeys.New(prefix); err != nil {
		return nil, err
	}
	opts := sessionstore.Options{Redis: client, Prefix: prefix, SessionsPerUser: 2, MaxValues: 2, MaxValue: 30, MaxSubscriptions: 2}
	if m.immortal, err = sessionstore.NewStore(&opts); err != nil {
		return nil, err
	}
	opts.SessionLifetime = 3 * time.Minute
	m.mortal, err = sessionstore.NewStore(&opts)
	return m, err
}

// step runs one instruction and returns what it says, without what differs
// from run to run.
func (m *machine) step(ctx context.Context, ids []string, in instruction) string {
	store, id := m.immortal, ids[in.Session]
	if in.Lifetime {
		store = m.mortal
	}
	v := valuesOf[string](store, []string{"x", "y", "z"}[len(in.Text)%3])
	switch in.Op {
	case "create":
		r, err := store.Create(ctx, sessionstore.Record{ID: id, Owner: in.Owner, InitializeParams: []byte(in.Text)})
		return fmt.Sprint(withoutTimes(r), r.Expires.Sub(r.Created), err)
	case "load":
		r, err := store.LoadFresh(ctx, id)
		return fmt.Sprint(withoutTimes(r), r.Expires.Sub(r.Created), err)
	case "cached":
		_, err := store.Load(ctx, id) // what it returns may be stale
		if err != nil {
			return fmt.Sprint(err)
		}
	case "negotiate":
		return fmt.Sprint(store.Negotiate(ctx, id, sessionstore.Agreement{InitializeParams: []byte(in.Text), ProtocolVersion: "2024-11-05"}))
	case "initialize":
		r, first, err := store.SetInitialized(ctx, id, in.Owner, "", false)
		return fmt.Sprint(withoutTimes(r), first, err)
	case "uninitialize":
		store.UnsetInitialized(ctx, id)
		return ""
	case "setLevel":
		return fmt.Sprint(store.SetLogLevel(ctx, id, "error"))
	case "level":
		return fmt.Sprint(store.LogLevel(ctx, id))
	case "touch":
		return fmt.Sprint(store.Touch(ctx, id, "s1"))
	case "delete":
		return fmt.Sprint(store.Delete(ctx, id))
	case "get":
		return fmt.Sprint(v.Get(ctx, id))
	case "set":
		return fmt.Sprint(v.CompareAndSet(ctx, id, in.Version, in.Text))
	case "unset":
		return fmt.Sprint(v.Delete(ctx, id))
	case "subscribe":
		return fmt.Sprint(store.Subscribe(ctx, id, in.Text, fmt.Sprint(in.Version)))
	case "unsubscribe":
		return fmt.Sprint(store.Unsubscribe(ctx, id, in.Text))
	case "subscriptions":
		return fmt.Sprint(store.Subscriptions(ctx, id))
	case "streams":
		return m.writeStreams(ctx, store, id)
	}
	return ""
}

func (m *machine) writeStreams(ctx context.Context, store *sessionstore.Store, id string) string {
	if _, err := store.LoadFresh(ctx, id); err != nil {
		return fmt.Sprint(err)
	}
	for _, r := range m.client.DoMulti(ctx,
		m.client.B().Zadd().Key(m.keys.OpenStreams(id)).ScoreMember().ScoreMember(1, "s1").Build(),
		m.client.B().Zadd().Key(m.keys.EndedStreams(id)).ScoreMember().ScoreMember(1, "s2").Build(),
		m.client.B().Hset().Key(m.keys.Stream(id, "s1")).FieldValue().FieldValue("next", "3").Build(),
		m.client.B().Rpush().Key(m.keys.Log(id, "s2")).Element("e").Build(),
		m.client.B().Hset().Key(m.keys.Stream(id, rediskeys.Standalone)).FieldValue().FieldValue("next", "7").Build(),
	) {
		if err := r.Error(); err != nil {
			return fmt.Sprint(err)
		}
	}
	return "written"
}

func withoutTimes(r sessionstore.Record) string {
	r.Created, r.Expires = time.Time{}, time.Time{}
	return fmt.Sprintf("%+v", r)
}

// state returns what is in Redis, with TTLs as exact as a busy machine allows:
// they may have lost 10 s since they were whole quarters of minutes.
func (m *machine) state(t *testing.T) []string {
	var all []string
	for _, k := range redistest.Keys(t, m.client, m.keys.Prefix()) {
		ttl := k.TTL
		if ttl > 0 {
			ttl = (ttl + 10*time.Second).Truncate(15 * time.Second)
		}
		line := fmt.Sprint(strings.TrimPrefix(k.Name, m.keys.Prefix()), " ", ttl)
		if fields, err := m.client.Do(t.Context(), m.client.B().Hgetall().Key(k.Name).Build()).AsStrMap(); err == nil {
			for _, varying := range []string{"created", "expires"} {
				if fields[varying] != "0" {
					delete(fields, varying)
				}
			}
			line += fmt.Sprint(" ", fields)
		}
		all = append(all, line)
	}
	return all
}

func TestMiniredisAndRedisAgree(t *testing.T) {
	t.Parallel()
	mini, real := redistest.NewMiniredis(t).Client(t), redistest.Real(t).Client(t)
	rapid.Check(t, func(rt *rapid.T) {
		prefix := redistest.NewPrefix()
		imitation, err := newMachine(mini, prefix)
		if err != nil {
			rt.Fatal(err)
		}
		original, err := newMachine(real, prefix)
		if err != nil {
			rt.Fatal(err)
		}
		ids := []string{sessionstore.NewID(), sessionstore.NewID(), sessionstore.NewID(), sessionstore.NewID()}
		for i, in := range drawProgram(rt) {
			got, want := imitation.step(t.Context(), ids, in), original.step(t.Context(), ids, in)
			if got != want {
				rt.Fatalf("step %d, %+v: miniredis says %q, Redis %q", i+1, in, got, want)
			}
		}
		if diff := cmp.Diff(original.state(t), imitation.state(t)); diff != "" {
			rt.Fatalf("what is left (-Redis +miniredis):\n%s", diff)
		}
		for _, id := range slices.Compact(ids) { // leave nothing in the shared Redis
			_ = original.immortal.Delete(t.Context(), id)
		}
	})
}
