package server

import (
	"context"
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

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// An attempt is one operation of a history and an outcome what came of it.
type attempt struct{ op, token string }

type outcome struct {
	access, refresh string // what the client got
	err             error  // errNoGrant, errReused or nil
	unknown         bool   // Redis was away: it may have happened, now or later
}

// A grantState is the whole truth about one grant. lost stands for a refresh
// token whose response nobody has seen.
type grantState struct {
	redeemed, gone  bool
	current, before string
	retired, access string // lists
}

const lost = "?"

func listed(list, token string) bool { return strings.Contains(list, " "+token+" ") }

// A forgiveness is what a second use of a refresh token gets while its successor
// has not been used.
type forgiveness int

const (
	never forgiveness = iota // it revokes the grant
	again                    // the same successor: a grace that does not end in the time of a history
	anew                     // a new one: a grace that has always ended
)

// grantModel is what package server promises of a grant.
func grantModel(grace forgiveness) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return grantState{} },
		Step: func(state, in, out any) (bool, any) {
			s, req, res := state.(grantState), in.(attempt), out.(outcome)
			err := error(nil)
			switch {
			case req.op == "redeem" && !s.gone && !s.redeemed:
				s.redeemed = true
				s.issue(res, true)
			case req.op == "redeem" && !s.gone:
				s, err = grantState{gone: true}, errReused
			case s.gone || !s.redeemed:
				if req.op != "revoke" {
					err = errNoGrant
				}
			case req.op == "verify":
				if !listed(s.access, req.token) {
					err = errNoGrant
				}
			case req.op == "revoke":
				if req.token == s.current || listed(s.retired, req.token) {
					s = grantState{gone: true}
				}
			case req.token == s.current:
				s.before, s.retired = s.current, s.retired+" "+s.current+" "
				s.issue(res, grace != again)
			case grace == again && req.token == s.before:
				if s.current != lost && res.err == nil && !res.unknown && res.refresh != s.current {
					return false, s // a second family
				}
				known := s.current
				s.issue(res, false)
				if res.unknown {
					s.current = known
				}
			case grace == anew && req.token == s.before:
				if res.err == nil && !res.unknown && res.refresh == s.current {
					return false, s // the successor was not replaced
				}
				s.retired += " " + s.current + " "
				s.issue(res, true)
			case listed(s.retired, req.token):
				s, err = grantState{gone: true}, errReused
			default:
				err = errNoGrant
			}
			return res.unknown || res.err == err, s
		},
	}
}

// issue notes new tokens. If alone, the access tokens before are dead.
func (s *grantState) issue(res outcome, alone bool) {
	if alone {
		s.access = ""
	}
	if res.unknown {
		s.current = lost
		return
	}
	s.current, s.access = res.refresh, s.access+" "+res.access+" "
}

// A history is what some clients saw of one grant.
type history struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
	// What the clients have got.
	refreshTokens, accessTokens []string
}

func (h *history) record(client int, in attempt, run func() (tokens, error)) {
	call := h.clock.Add(1)
	t, err := run()
	end := h.clock.Add(1)
	out := outcome{}
	switch {
	case errors.Is(err, errNoGrant):
		out.err = errNoGrant
	case errors.Is(err, errReused):
		out.err = errReused
	case errors.Is(err, redisx.ErrUnavailable):
		out.unknown, end = true, math.MaxInt64 // what has no known outcome is not over
	case err != nil:
		out.err = err
	case in.op == "redeem" || in.op == "refresh":
		out.access, out.refresh = t.access.String(), t.refresh.String()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
	if out.refresh != "" {
		h.refreshTokens, h.accessTokens = append(h.refreshTokens, out.refresh), append(h.accessTokens, out.access)
	}
}

// pick returns one of the tokens, most often the last.
func (h *history) pick(rng *rand.Rand, of *[]string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(*of)
	switch {
	case n == 0:
		return ""
	case rng.IntN(3) > 0:
		return (*of)[n-1]
	}
	return (*of)[rng.IntN(n)]
}

// check returns an error unless the history could have come from one process
// that did one operation at a time.
func (h *history) check(model porcupine.Model) error {
	result := porcupine.CheckOperationsTimeout(model, h.ops, 20*time.Second)
	if result == porcupine.Ok {
		return nil
	}
	var b strings.Builder
	for _, op := range h.ops {
		fmt.Fprintf(&b, "\n%4d-%4d client %d %+v: %+v", op.Call, op.Return%math.MaxInt64, op.ClientId, op.Input, op.Output)
	}
	return fmt.Errorf("history is %s:%s", result, b.String())
}

func (h *history) unknown() (n int) {
	for _, op := range h.ops {
		if op.Output.(outcome).unknown {
			n++
		}
	}
	return n
}

// A grantNode is an instance with its own link to Redis.
type grantNode struct {
	link   *redistest.Link
	grants *grants
}

func newGrantNode(t testing.TB, link *redistest.Link, prefix string, grace forgiveness, change func(*grants)) grantNode {
	t.Helper()
	space, err := rediskeys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	o := &Options{CacheTTL: time.Second, CodeTTL: 10 * time.Minute, AccessTokenTTL: time.Hour, RefreshTokenTTL: time.Hour}
	switch grace {
	case never:
		o.RefreshGrace, o.AccessGrace = -1, -1
	case again:
		o.RefreshGrace, o.AccessGrace = time.Hour, time.Hour
	case anew:
		o.RefreshGrace, o.AccessGrace = time.Nanosecond, -1
	}
	g := newGrants(redisx.New(link.Client(t), 0), space, o)
	if change != nil {
		change(g)
	}
	return grantNode{link, g}
}

// grantHistory has four clients, two per instance, do what they like with one
// grant. If early, they begin with its code, else with its first tokens. In every
// third history a client is alone: where nothing is forgiven, four of them do not
// come far.
func grantHistory(ctx context.Context, nodes []grantNode, seed uint64, early bool, disturb func(grantNode, *rand.Rand)) (*history, error) {
	code, err := nodes[0].grants.create(ctx, grant{Client: "client", Subject: "alice"})
	if err != nil {
		return nil, err
	}
	h := new(history)
	redeem := func(n grantNode) func() (tokens, error) {
		return func() (tokens, error) { return n.grants.redeem(ctx, code, grant{}, access{}, true) }
	}
	if !early {
		h.record(0, attempt{op: "redeem"}, redeem(nodes[0]))
	}
	var wg sync.WaitGroup
	clients := 4
	if seed%3 == 0 {
		clients = 1
	}
	for client := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(client)))
			n := nodes[client%len(nodes)]
			for range 36 / clients {
				if rng.IntN(10) == 0 {
					disturb(n, rng)
				}
				h.step(ctx, client, n, rng, early, redeem(n))
			}
		})
	}
	wg.Wait()
	return h, nil
}

func (h *history) step(ctx context.Context, client int, n grantNode, rng *rand.Rand, early bool, redeem func() (tokens, error)) {
	p := rng.IntN(100)
	refreshToken, accessToken := h.pick(rng, &h.refreshTokens), h.pick(rng, &h.accessTokens)
	switch {
	case early && p < 25 || p < 2:
		h.record(client, attempt{op: "redeem"}, redeem)
	case refreshToken == "":
		// Nobody has anything yet.
	case p < 65:
		token, _ := parseCredential(refreshKind, refreshToken)
		h.record(client, attempt{"refresh", refreshToken}, func() (tokens, error) { return n.grants.refresh(ctx, token, grant{}, access{}) })
	case p < 98:
		token, _ := parseCredential(accessKind, accessToken)
		h.record(client, attempt{"verify", accessToken}, func() (tokens, error) {
			// What the cache has may be stale, which is for other tests.
			rec, err := n.grants.freshRecord(ctx, token)
			if err == nil && (!rec.known || !time.Now().Before(rec.accepted)) {
				err = errNoGrant
			}
			return tokens{}, err
		})
	default:
		token, _ := parseCredential(refreshKind, refreshToken)
		h.record(client, attempt{"revoke", refreshToken}, func() (tokens, error) { _, err := n.grants.revokeRefresh(ctx, token); return tokens{}, err })
	}
}

// T08 and T23, of what any four clients do with a grant.
func TestGrantHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		cut := func(n grantNode, _ *rand.Rand) { n.link.Cut(); n.link.Heal() }
		for seed := range uint64(36) {
			grace, early := forgiveness(seed/3%3), seed%4 < 2
			prefix := s.Prefix(t)
			nodes := []grantNode{newGrantNode(t, s.Link(), prefix, grace, nil), newGrantNode(t, s.Link(), prefix, grace, nil)}
			h, err := grantHistory(t.Context(), nodes, seed, early, cut)
			if err == nil {
				err = h.check(grantModel(grace))
			}
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	})
}

// A frozen link delivers commands long after their callers gave up.
func TestGrantHistoriesWithLateCommandsAreLinearizable(t *testing.T) {
	t.Parallel()
	unknown := 0
	for seed := range uint64(60) {
		grace, early := forgiveness(seed/3%3), seed%4 < 2
		h, err := bubbleHistory(t, seed, grace, early, nil)
		if err == nil {
			err = h.check(grantModel(grace))
			unknown += h.unknown()
		}
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	if unknown == 0 {
		t.Error("every outcome was known: nothing was late, and this test proves nothing")
	}
}

func bubbleHistory(t *testing.T, seed uint64, grace forgiveness, early bool, change func(*grants)) (h *history, err error) {
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		nodes := []grantNode{newGrantNode(t, b.Link(), "p", grace, change), newGrantNode(t, b.Link(), "p", grace, change)}
		freeze := func(n grantNode, rng *rand.Rand) {
			n.link.Freeze()
			time.AfterFunc(rand.N(4*time.Second), n.link.Heal)
		}
		h, err = grantHistory(t.Context(), nodes, seed, early, freeze)
		time.Sleep(5 * time.Second) // for the timers above
	})
	return h, err
}

// The check is worth something only if it finds what is wrong.
func TestGrantHistoriesOfWrongScriptsAreFound(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]struct {
		script   string // "redeem" or "refresh"
		old, new string
		grace    forgiveness
	}{
		"a code is redeemed twice":            {"redeem", "if was[2] then", "if false then", again},
		"a replay does not revoke":            {"redeem", "redis.call('DEL', KEYS[1])", "", again},
		"a replaced token works on":           {"refresh", "elseif current == token then", "elseif current == token or before == token then", again},
		"reuse does not revoke":               {"refresh", "redis.call('DEL', key)", "", again},
		"reuse after the grace does not":      {"refresh", "redis.call('DEL', key)", "", anew},
		"the grace does not end with use":     {"refresh", "'before', token,", "'before', before or token,", again},
		"nor does what comes after it":        {"refresh", "'before', token,", "'before', before or token,", anew},
		"no grace lasts all the same":         {"refresh", "now < tonumber(replaced) + grace", "true", never},
		"after no grace there is a new token": {"refresh", "and grace >= 0", "", never},
		"after the grace the token is lost":   {"refresh", "elseif before == token and grace >= 0 then\n  rotate()\n", "", anew},
		"after the grace it is the same one":  {"refresh", "before == token and now < tonumber(replaced) + grace", "before == token and grace >= 0", anew},
		"only the token before is reuse":      {"refresh", "elseif family == ARGV[2] then", "elseif before == token then", again},
		"access tokens outlive a refresh":     {"refresh", "  tidy(true)", "  tidy(false)", never},
		"a new successor leaves them":         {"refresh", "  tidy(true)", "  tidy(current == token)", anew},
		"the family splits":                   {"refresh", "tidy(false)\nelseif before", "salt = ARGV[3]\n  redis.call('HSET', key, 'rt', ARGV[4])\nelseif before", again},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := map[string]string{"redeem": grantRedeemLua, "refresh": grantRefreshLua}[m.script]
			if strings.Count(source, m.old) != 1 {
				t.Fatalf("the script has %q %d times", m.old, strings.Count(source, m.old))
			}
			mutant := redisx.NewScript(name, strings.Replace(source, m.old, m.new, 1))
			change := func(g *grants) {
				if m.script == "redeem" {
					g.redeemer = mutant
				} else {
					g.refresher = mutant
				}
			}
			for seed := range uint64(150) {
				h, err := bubbleHistory(t, seed, m.grace, m.script == "redeem", change)
				if err != nil {
					t.Fatal(err)
				}
				if h.check(grantModel(m.grace)) != nil {
					return
				}
			}
			t.Error("no history shows it")
		})
	}
}
