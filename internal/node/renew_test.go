package node

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// An instance leaves in bounded time, however many sessions are to be kept while
// Redis does not answer.
func TestAnInstanceLeavesWhileItKeepsManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const sessions = 100 * touchesAtOnce
		f := newBubbleFleet(t, Options{})
		n := f.nodes[0]
		for range sessions {
			f.resume(t, n, beginSession(t, f.store), nil)
		}
		f.links[0].Freeze()
		time.Sleep(testTTL) // by now they are due
		began := time.Now()
		n.Close(context.WithoutCancel(t.Context()))
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		f.links[0].Heal()
	})
}

// While an instance's inbox had expired nobody could tell it anything. When it is
// there again the instance looks at once what its streams have missed, however
// long sessions live.
func TestAnInstanceLooksForWhatItsInboxMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newBubbleFleet(t, Options{}, long)
		rec := f.begin(t, announcesAll)
		v := f.follow(t, f.nodes[0], rec, nil)
		synctest.Wait()
		f.links[0].Cut()
		time.Sleep(inboxTTL + renewEvery)
		if err := f.nodes[1].Standalone(t.Context(), rec.ID, []byte(`{"jsonrpc":"2.0","method":"m"}`)); err != nil {
			t.Fatal(err)
		}
		if err := f.nodes[1].Subscribe(t.Context(), rec.ID, "a:b", f.nodes[1].Position()); err != nil {
			t.Fatal(err)
		}
		if err := f.nodes[1].Publisher().ResourceUpdated(t.Context(), "a:b"); err != nil {
			t.Fatal(err)
		}
		f.links[0].Heal()
		start := time.Now()
		var got []string
		for range 2 {
			got = append(got, v.message(t).Method)
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"m", "notifications/resources/updated"}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if took := time.Since(start); took > renewEvery+redisx.ReadWait+time.Second {
			t.Errorf("it took %v", took)
		}
		v.hangUp()
	})
}
