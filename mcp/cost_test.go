package mcp_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/race"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// A ledger notes the keys of the commands that a fleet sends, without their
// random parts. What waits for messages is not noted: it costs the same whether
// or not there are any.
type ledger struct {
	mu    sync.Mutex
	spent []string
}

// A noting client writes its commands into a ledger.
type noting struct {
	rueidis.Client
	ledger *ledger
}

func (n noting) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	if words := cmd.Commands(); !cmd.IsBlock() {
		n.ledger.mu.Lock()
		for _, word := range words {
			if i := strings.LastIndex(word, "}:"); i >= 0 {
				n.ledger.spent = append(n.ledger.spent, words[0]+" "+strings.SplitN(word[i+2:], ":", 2)[0])
				break
			}
		}
		n.ledger.mu.Unlock()
	}
	return n.Client.Do(ctx, cmd)
}

// take returns what was noted since it was last called.
func (l *ledger) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	spent := l.spent
	l.spent = nil
	slices.Sort(spent)
	return spent
}

// A client's response is sent to the one instance that asked, not to the fleet.
func TestAResponseCostsOneMessageHoweverManyInstancesThereAre(t *testing.T) {
	t.Parallel()
	for _, instances := range []int{2, 20} {
		t.Run(fmt.Sprint(instances), func(t *testing.T) {
			t.Parallel()
			var l ledger
			noted := func(o *fleet.Options) { o.Redis = noting{o.Redis, &l} }
			simulate(t, simulated{instances: instances, options: noted}, func(t *testing.T, s *simulation) {
				for warm := range 2 { // at first Redis does not know the script
					c := s.session(t)
					q := asked(t, at(c, s.instances[0].url), "form")
					at(c, s.instances[1].url).Call(t, "ping", "{}") // or its session would be touched
					synctest.Wait()
					l.take()
					accepts(t, at(c, s.instances[1].url), responseTo(q.ID, "blue"))
					wantText(t, q.stream.Message(t), "acceptblue")
					synctest.Wait()
					// The response is sent, the response logged, its stream given up.
					want := []string{"EVALSHA responses", "EVALSHA session", "EVALSHA stream"}
					if got := l.take(); warm == 1 {
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("commands (-want +got)\n%s", diff)
						}
					}
				}
			})
		})
	}
}

// Sessions share nothing but the fleet: however many are spoken to at once, each
// receives all that is its own, in order, and nothing else.
func TestConcurrentPublishersToManySessionsLoseNothing(t *testing.T) {
	t.Parallel()
	sessions, messagesEach := 100, 20
	if race.Enabled {
		sessions = 20
	}
	simulate(t, simulated{instances: 3}, func(t *testing.T, s *simulation) {
		var streams []*fleettest.Stream
		var publishers sync.WaitGroup
		for range sessions {
			c := s.session(t)
			streams = append(streams, c.Get(t, ""))
			publishers.Go(func() {
				for n := range messagesEach {
					i := s.instances[n%len(s.instances)]
					must(t, i.handler.Notify(t.Context(), c.Session, "notifications/"+c.Session, map[string]any{"n": n}))
				}
			})
		}
		var readers sync.WaitGroup
		for _, stream := range streams {
			readers.Go(func() {
				whose := stream.Request.Header.Get("Mcp-Session-Id")
				for n := range messagesEach {
					m := stream.Message(t)
					if want := fmt.Sprintf(`{"n":%d}`, n); m.Method != "notifications/"+whose || string(m.Params) != want {
						t.Errorf("session %s hears %s %s, want %s", whose, m.Method, m.Params, want)
						return
					}
				}
			})
		}
		publishers.Wait()
		readers.Wait()
	})
}
