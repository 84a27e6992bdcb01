package server

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"
	"pgregory.net/rapid"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// An instruction runs one script with arguments of small sets, so that they
// often meet. It is run on a miniredis and on a redis-server, which must answer
// alike: most tests see only the one.
type instruction struct {
	Script        string
	Key           int
	A, B, C, D    string
	Life, Grace   time.Duration
	Scopes        string
	HasRefresh    bool
	LimitRequests int
}

var scripts = []string{
	"begin", "begin", "approve", "approve", "deny", "finish", "finish",
	"grant create", "grant create", "redeem", "redeem", "redeem", "refresh", "refresh", "refresh", "refresh", "revoke", "take", "look",
}

func drawInstructions(t *rapid.T) []instruction {
	hash := rapid.SampledFrom([]string{HashSecret("a"), HashSecret("b"), HashSecret("c"), HashSecret("d"), ""})
	life := rapid.SampledFrom([]time.Duration{time.Hour, 2 * time.Hour})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) instruction {
		return instruction{
			Script: rapid.SampledFrom(scripts).Draw(t, "script"), Key: rapid.IntRange(0, 1).Draw(t, "key"),
			A: hash.Draw(t, "a"), B: hash.Draw(t, "b"), C: hash.Draw(t, "c"),
			D:    rapid.OneOf(rapid.SampledFrom([]string{"", "a\x00\xff|\r\n"}), rapid.StringN(0, 20, 40)).Draw(t, "d"),
			Life: life.Draw(t, "life"), Grace: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "grace"),
			Scopes:     rapid.SampledFrom([]string{"|", "read write|https://a.example/mcp"}).Draw(t, "scopes"),
			HasRefresh: rapid.Bool().Draw(t, "refresh"), LimitRequests: rapid.IntRange(1, 5).Draw(t, "requests"),
		}
	}), 1, 60).Draw(t, "program")
}

// A machine runs instructions on one Redis.
type machine struct {
	client rueidis.Client
	rdb    redisx.Client
	keys   rediskeys.Space
	limits *limit.Limiter
}

func newMachine(t *testing.T, client rueidis.Client, prefix string) *machine {
	space, err := rediskeys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redisx.New(client, 0)
	return &machine{client, rdb, space, limit.New(rdb, space)}
}

func (m *machine) run(ctx context.Context, in instruction) string {
	id := fmt.Sprint(in.Key)
	exec := func(s *redisx.Script, key string, args ...string) string {
		reply, err := s.Exec(ctx, m.rdb, []string{key}, args...)
		if err != nil {
			return err.Error()
		}
		if reply.IsArray() {
			list, err := reply.AsStrSlice()
			return fmt.Sprintf("%q %v", list, err)
		}
		return reply.String()
	}
	session, grant := m.keys.AuthSession(id), m.keys.Grant(id)
	switch in.Script {
	case "begin":
		return exec(authSessionCreate, session, in.D, in.A, in.B, millis(in.Life))
	case "approve":
		return exec(authSessionApprove, session, in.A, in.B, in.C, in.D, in.D)
	case "deny":
		return exec(authSessionDeny, session, in.A, in.B)
	case "finish":
		return exec(authSessionFinish, session, in.A, in.C)
	case "grant create":
		return exec(grantCreate, grant, in.D, in.A, millis(in.Life))
	case "redeem":
		if !in.HasRefresh {
			in.C = ""
		}
		return exec(grantRedeem, grant, in.A, in.B, millis(in.Life), in.Scopes, in.C, in.B, millis(in.Life))
	case "refresh":
		return exec(grantRefresh, grant, in.A, in.B, "salt of "+in.C, in.C, in.B, millis(in.Life), in.Scopes, millis(in.Grace), millis(in.Life))
	case "revoke":
		return exec(grantRevoke, grant, in.B)
	case "take", "look":
		ask := m.limits.Take
		if in.Script == "look" {
			ask = m.limits.Peek
		}
		v, err := ask(ctx, "n", id, limit.Rate{Requests: in.LimitRequests, Per: 24 * time.Hour})
		return fmt.Sprint(v.Allowed, v.Remaining, (v.Reset + 10*time.Second).Truncate(time.Minute), err)
	}
	return ""
}

var milliseconds = regexp.MustCompile(`(^|\|)\d{13,}`)

// state returns what is in Redis, with times as exact as a busy machine allows:
// they may have lost 10 s since they were whole quarters of minutes.
func (m *machine) state(t *testing.T) []string {
	var all []string
	for _, k := range redistest.Keys(t, m.client, m.keys.Prefix()) {
		line := fmt.Sprint(strings.TrimPrefix(k.Name, m.keys.Prefix()), " ", (k.TTL + 10*time.Second).Truncate(15*time.Second))
		if fields, err := m.client.Do(t.Context(), m.client.B().Hgetall().Key(k.Name).Build()).AsStrMap(); err == nil {
			var pairs []string
			for name, value := range fields {
				pairs = append(pairs, fmt.Sprintf("%q:%q", name, milliseconds.ReplaceAllString(value, "${1}time")))
			}
			slices.Sort(pairs)
			line += fmt.Sprint(pairs)
		}
		all = append(all, line)
	}
	return all
}

func TestMiniredisAndRedisAgreeOnScripts(t *testing.T) {
	t.Parallel()
	mini, real := redistest.NewMiniredis(t).Client(t), redistest.Real(t).Client(t)
	rapid.Check(t, func(rt *rapid.T) {
		prefix := redistest.NewPrefix()
		imitation, original := newMachine(t, mini, prefix), newMachine(t, real, prefix)
		defer func() { // leave nothing in the shared Redis
			for _, k := range redistest.Keys(t, real, prefix) {
				real.Do(t.Context(), real.B().Del().Key(k.Name).Build())
			}
		}()
		for i, in := range drawInstructions(rt) {
			got, want := imitation.run(t.Context(), in), original.run(t.Context(), in)
			if got != want {
				rt.Fatalf("step %d, %+v: miniredis says %q, Redis %q", i+1, in, got, want)
			}
		}
		if diff := cmp.Diff(original.state(t), imitation.state(t)); diff != "" {
			rt.Fatalf("what is left (-Redis +miniredis):\n%s", diff)
		}
	})
}
