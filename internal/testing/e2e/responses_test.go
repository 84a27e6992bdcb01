//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// withinLoss is how soon a call ends whose client's response was accepted, once its
// instance can reach Redis.
const withinLoss = 15 * time.Second

// A disturbance keeps a process from getting what clients respond.
type disturbance struct {
	name  string
	away  time.Duration // how long the process is away
	begin func(d *disturbed)
	end   func(d *disturbed)
	// mayFail says that the call may fail instead of getting the response, or its
	// session be gone: something was lost in Redis.
	mayFail bool
}

// A disturbed fleet has a process that asks clients, over a Redis link of its own, and
// one that takes their responses.
type disturbed struct {
	*fleet
	t           testing.TB
	asks, takes *process
	link        *redisLink
	ownRedis    *redistest.Process
}

var disturbances = []disturbance{
	{name: "stopped", away: 8 * time.Second,
		begin: func(d *disturbed) { d.asks.freeze() }, end: func(d *disturbed) { d.asks.thaw() }},
	{name: "cut", away: 10 * time.Second,
		begin: func(d *disturbed) { d.link.set(linkCut) }, end: func(d *disturbed) { d.link.set(linkOpen) }},
	{name: "holed", away: 10 * time.Second,
		begin: func(d *disturbed) { d.link.set(linkHoled) }, end: func(d *disturbed) { d.link.set(linkOpen) }},
	{name: "inbox-deleted",
		begin: func(d *disturbed) { d.delete(":inbox") }, end: func(*disturbed) {}},
	{name: "responses-deleted", mayFail: true,
		begin: func(d *disturbed) { d.delete(":responses") }, end: func(*disturbed) {}},
	{name: "responses-lost", away: 5 * time.Second, mayFail: true, // with what is in them
		begin: func(d *disturbed) { d.link.set(linkCut) },
		end:   func(d *disturbed) { d.delete(":responses"); d.link.set(linkOpen) }},
	{name: "redis-emptied", mayFail: true,
		begin: func(d *disturbed) { d.ownRedis.Kill(); d.ownRedis.Restart(d.t) }, end: func(*disturbed) {}},
}

// delete deletes the keys of all instances that end in suffix.
func (d *disturbed) delete(suffix string) {
	d.t.Helper()
	client := d.ownRedis.Client(d.t)
	for _, k := range redistest.Keys(d.t, client, d.prefix) {
		if strings.HasSuffix(k.Name, suffix) {
			must(d.t, client.Do(d.t.Context(), client.B().Del().Key(k.Name).Build()).Error())
		}
	}
}

// No response of a client is accepted and lost, whatever keeps the process that asked
// from it. TEST_RESPONSES says how often each disturbance is tried; by default once.
func TestNoAcceptedResponseIsLost(t *testing.T) {
	t.Parallel()
	rounds := repetitions(t, "TEST_RESPONSES", 1)
	for _, what := range disturbances {
		t.Run(what.name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t)
			link := newRedisLink(t, redis.Addr())
			f := startFleetOn(t, &redis.Server, everything, 1)
			asks := startProcess(t, f.program, append(f.env[:len(f.env):len(f.env)], "REDIS_URL=redis://"+link.Addr().String()))
			must(t, asks.err)
			d := &disturbed{fleet: f, t: t, asks: asks, takes: f.process(0), link: link, ownRedis: redis}
			total := map[string]int{}
			for range rounds {
				for outcome, n := range d.round(what) {
					total[outcome] += n
				}
			}
			t.Logf("%d rounds: %v", rounds, total)
		})
	}
}

// callsAtOnce is how many calls are asking when the disturbance begins.
const callsAtOnce = 4

// round disturbs the process that asks once, and returns how its calls ended.
func (d *disturbed) round(what disturbance) map[string]int {
	var mu sync.Mutex
	outcomes := map[string]int{}
	count := func(outcome string) {
		mu.Lock()
		outcomes[outcome]++
		mu.Unlock()
	}
	for _, p := range []*process{d.asks, d.takes} {
		redistest.Until(d.t, "the process is ready", func() bool {
			res, err := http.Get(p.base.String() + "/readyz")
			if err == nil {
				_ = res.Body.Close()
			}
			return err == nil && res.StatusCode == http.StatusOK
		})
	}
	client := fleettest.NewClient(d.t, d.takes.URL)
	client.HTTP.Timeout = patience
	client.Initialize(d.t, "2025-11-25", `{"elicitation":{}}`)
	var streams []*fleettest.Stream
	var requests []*jsonrpcmsg.Message
	for i := range callsAtOnce {
		res := at(client, d.asks).Post(d.t, fleettest.Request(100+i, "tools/call", `{"name":"elicitInputs","arguments":{}}`))
		s := fleettest.NewStream(res)
		streams, requests = append(streams, s), append(requests, s.Message(d.t))
	}
	what.begin(d)
	time.Sleep(max(0, what.away-time.Second))
	accepted := make([]bool, len(requests))
	for i, q := range requests {
		res := at(client, d.takes).Post(d.t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"decline"}}`, q.ID))
		accepted[i] = res.StatusCode == http.StatusAccepted
		_ = res.Body.Close()
		if !accepted[i] {
			count("refused")
			if !what.mayFail {
				d.t.Errorf("%s: the response was refused: %s", what.name, res.Status)
			}
		}
	}
	time.Sleep(min(what.away, time.Second))
	what.end(d)
	var wg sync.WaitGroup
	for i, s := range streams {
		wg.Go(func() {
			start := time.Now()
			stop := time.AfterFunc(10*withinLoss, s.Close)
			defer stop.Stop()
			got := outcome(s)
			count(got)
			if accepted[i] && got != "response" && !(what.mayFail && (got == "lost" || got == "ended")) {
				d.t.Errorf("%s: the response was accepted, and the call ended with %q after %v", what.name, got, time.Since(start))
			}
		})
	}
	wg.Wait()
	return outcomes
}

// outcome says how a call on a stream ends.
func outcome(s *fleettest.Stream) string {
	for {
		e, err := s.Next()
		if err != nil {
			return "ended"
		}
		m, err := jsonrpcmsg.Decode(e.Data)
		if err != nil || !m.IsResponse() {
			continue
		}
		switch text := string(m.Result) + string(m.Error); {
		case strings.Contains(text, "may have been lost"):
			return "lost"
		case strings.Contains(text, "decline"):
			return "response"
		default:
			return text
		}
	}
}
