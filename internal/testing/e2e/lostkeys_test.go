//go:build unix

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	mcpfleet "github.com/mcpfleet/mcpfleet/mcp"
	"github.com/mcpfleet/mcpfleet/session"
)

// A lostKey is a kind of key that Redis loses, and what docs/redis.md says then.
type lostKey struct {
	kind string // in the key's name
	// ofFleet says that it belongs to no session.
	ofFleet bool
	// ends says that sessions end which have lost it. Otherwise they go on.
	ends bool
	// fails is what a call says that fails instead of getting its response.
	fails string
}

var lostKeys = []lostKey{
	{kind: ":session", ends: true},
	{kind: ":values", ends: true},
	{kind: ":subs", ends: true},
	{kind: ":streams"},
	{kind: ":ended"},
	{kind: ":stored"},
	{kind: ":stream:g"},
	{kind: ":log:g"},
	{kind: ":stream:c", fails: "no longer available"},
	{kind: ":log:c", fails: "no longer available"},
	{kind: ":inbox", ofFleet: true},
	{kind: ":responses", ofFleet: true, fails: "may have been lost"},
	{kind: "{bus}", ofFleet: true},
}

// clientsPerKey is how many clients lose their keys at once.
const clientsPerKey = 8

// Redis loses keys of sessions that are in use in every way on three processes. Each
// client gets its next update, the end of its call and the response to what it has
// answered, or is told that there is none: its call fails, or its session has ended.
// TEST_LOST_KEYS says how often Redis loses each kind of key; by default once.
func TestALostKeyUnderLoadIsToldOrMadeGood(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	newFleet := func(t *testing.T) *fleet {
		f := startFleetOn(t, &redis.Server, everything, 3)
		updateAlways(t, f)
		return f
	}
	ofSessions := newFleet(t) // what one session loses is nothing to the others
	for _, key := range lostKeys {
		t.Run(strings.Trim(key.kind, ":{}"), func(t *testing.T) {
			t.Parallel()
			f := ofSessions
			if key.ofFleet {
				f = newFleet(t)
			}
			loseOften(t, f, key)
		})
	}
}

// updated is the resource that clients are subscribed to.
const updated = "test://static/resource/1"

// updateAlways tells the fleet all the time that the resource was updated.
func updateAlways(t *testing.T, f *fleet) {
	notifier, ended := f.notifier(t), make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		for t.Context().Err() == nil {
			err := again(t.Context(), func() error { return notifier.ResourceUpdated(t.Context(), updated) })
			if err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
			pause(t.Context(), 200*time.Millisecond)
		}
	}()
}

// losing is what Redis loses of one kind, and who uses it.
type losing struct {
	t        *testing.T
	fleet    *fleet
	key      lostKey
	redis    rueidis.Client
	notifier *mcpfleet.Notifier
	clients  []*busyClient
}

func loseOften(t *testing.T, f *fleet, key lostKey) {
	l := &losing{t: t, fleet: f, key: key, redis: f.redis.Client(t), notifier: f.notifier(t), clients: make([]*busyClient, clientsPerKey)}
	store, err := session.NewStore(&session.Options{Redis: l.redis, Prefix: f.prefix})
	must(t, err)
	values := session.NewValues[int](store, "load")
	rounds := repetitions(t, "TEST_LOST_KEYS", 1)
	var told, made, failed int64
	for range rounds {
		for i, c := range l.clients {
			if c == nil {
				l.clients[i] = newBusyClient(t, f, values)
			}
		}
		for i, err := range l.round() {
			c := l.clients[i]
			failed += c.failed.Swap(0)
			switch {
			case errors.Is(err, errEnded) && key.ends:
				told++
				c.endedEverywhere(t)
				l.clients[i] = nil
			case err != nil || key.ends:
				t.Errorf("client %d: %v", i, err)
			default:
				made++
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d rounds: %d clients were told of the end, for %d it was made good; %d of their calls failed", rounds, told, made, failed)
}

// round has the clients use their sessions and Redis lose their keys meanwhile. It
// returns, for each client, why it cannot go on; nil if it can.
func (l *losing) round() []error {
	ctx, cancel := context.WithTimeoutCause(l.t.Context(), patience, errors.New("silence"))
	defer cancel()
	uses := make([]*use, len(l.clients))
	for i, c := range l.clients {
		uses[i] = c.use(ctx, l.key)
		defer uses[i].end()
		must(l.t, l.notify(ctx, c, "notifications/before"))
	}
	for i, u := range uses {
		if err := u.until(u.before); err != nil {
			l.t.Fatalf("client %d, before anything was lost: %v", i, err)
		}
	}
	pause(ctx, between(0, time.Second))
	l.lose()
	for _, u := range uses {
		close(u.lost)
		err := l.notify(ctx, u.busyClient, "notifications/after")
		if err != nil && !(l.key.ends && errors.Is(err, session.ErrNotFound)) {
			l.t.Error(err)
		}
	}
	outcomes := make([]error, len(uses))
	for i, u := range uses {
		outcomes[i] = u.until(u.after)
	}
	return outcomes
}

func (l *losing) notify(ctx context.Context, c *busyClient, method string) error {
	return again(ctx, func() error { return l.notifier.Notify(ctx, c.Session, method, nil) })
}

// lose deletes the keys of the kind, in one go.
func (l *losing) lose() {
	l.t.Helper()
	names, err := l.redis.Do(l.t.Context(), l.redis.B().Keys().Pattern(l.fleet.prefix+":*"+l.key.kind+"*").Build()).AsStrSlice()
	must(l.t, err)
	if !l.key.ofFleet {
		names = l.ofClients(names)
	}
	if len(names) == 0 {
		l.t.Fatal("there is no such key")
	}
	must(l.t, l.redis.Do(l.t.Context(), l.redis.B().Del().Key(names...).Build()).Error())
}

// ofClients returns those of the keys that belong to the clients' sessions. Each has
// some.
func (l *losing) ofClients(names []string) (ours []string) {
	for i, c := range l.clients {
		before := len(ours)
		for _, name := range names {
			if strings.HasPrefix(name, l.fleet.prefix+":{"+c.Session+"}"+l.key.kind) {
				ours = append(ours, name)
			}
		}
		if len(ours) == before {
			l.t.Fatalf("client %d has no such key", i)
		}
	}
	return ours
}
