package mcp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Redis loses one key of a session that is in use on two instances. Its client gets
// the update and the notification that are made afterwards and the end of its call, or
// learns that its session has ended; values that a tool has stored are there, or the session is not.
func TestALostKeyIsToldOrMadeGood(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{":session", ":values", ":subs", ":streams", ":ended", ":stored", ":stream:g", ":log:g", ":stream:c", ":log:c", ":inbox", ":responses", "{bus}"} {
		for name, reconnect := range map[string]bool{"client stays": false, "client comes back": true} {
			t.Run(strings.Trim(kind, ":")+", "+name, func(t *testing.T) {
				t.Parallel()
				loseKey(t, kind, reconnect)
			})
		}
	}
}

func loseKey(t *testing.T, kind string, reconnect bool) {
	f := fleettest.Start(t, fleettest.Config{Redis: redistest.Real(t), Server: newsRig().server})
	store, err := sessionstore.NewStore(&sessionstore.Options{Redis: f.Instances[0].Redis, Prefix: f.Prefix})
	must(t, err)
	c := fleettest.Initialized(t, f.URL)
	here, there := at(c, f.Instances[0].URL), at(c, f.Instances[1].URL)
	values := sessionstore.NewValues(store, "v")
	_, err = values.CompareAndSet(t.Context(), c.Session, 0, json.RawMessage(`1`))
	must(t, err)
	wantText(t, here.CallTool(t, "count", `{"n":1}`), "1") // its stream has ended
	subscribe(t, here, "news://a")
	q := asked(t, here, "form")
	events := there.Get(t, "")
	must(t, f.Instances[0].Handler.Notify(t.Context(), c.Session, "notifications/x", nil))
	if e, err := nextMessage(events); err != nil || !strings.Contains(string(e), "notifications/x") {
		t.Fatalf("%s, %v", e, err)
	}

	removeKeys(t, f, kind)
	if reconnect {
		events.Close()
		if events = here.Get(t, events.Last); events.StatusCode == http.StatusNotFound {
			return
		}
	}
	must(t, f.Instances[0].Handler.ResourceUpdated(t.Context(), "news://a"))
	if err := f.Instances[0].Handler.Notify(t.Context(), c.Session, "notifications/y", nil); !errors.Is(err, sessionstore.ErrNotFound) {
		must(t, err)
	}
	res, err := there.Do(t.Context(), "POST", responseTo(q.ID, "x"))
	must(t, err)
	_ = res.Body.Close()
	raw, _, err := values.Get(t.Context(), c.Session)
	if res.StatusCode == http.StatusNotFound || errors.Is(err, sessionstore.ErrNotFound) {
		redistest.Until(t, "the session has ended everywhere", func() bool { // an instance may have it in its cache
			res, err := here.Do(t.Context(), "POST", fleettest.Request(9, "ping", "{}"))
			must(t, err)
			_ = res.Body.Close()
			return res.StatusCode == http.StatusNotFound
		})
		return
	}
	if string(raw) != "1" {
		t.Errorf("the value is %q, %v", raw, err)
	}
	updated, notified := false, false
	if !follow(t, there, events, func(m string) bool {
		updated = updated || strings.Contains(m, "news://a")
		notified = notified || strings.Contains(m, "notifications/y")
		return updated && notified
	}) {
		return
	}
	follow(t, here, q.stream, func(m string) bool { return strings.Contains(m, `"id":1`) && !strings.Contains(m, "method") })
}

func removeKeys(t *testing.T, f *fleettest.Fleet, kind string) {
	t.Helper()
	redis, found := f.Instances[0].Redis, false
	for _, k := range redistest.Keys(t, redis, f.Prefix) {
		if strings.Contains(k.Name, kind) {
			found = true
			must(t, redis.Do(t.Context(), redis.B().Del().Key(k.Name).Build()).Error())
		}
	}
	if !found {
		t.Fatal("there is no such key")
	}
}

// nextMessage returns the next event with data.
func nextMessage(s *fleettest.Stream) ([]byte, error) {
	for {
		e, err := s.Next()
		if err != nil || len(e.Data) > 0 {
			return e.Data, err
		}
	}
}

// follow reads a stream, which it resumes as clients do, until a message comes. It
// returns false if the session has ended instead.
func follow(t *testing.T, c *fleettest.Client, s *fleettest.Stream, wanted func(string) bool) bool {
	t.Helper()
	deadline := time.AfterFunc(2*time.Minute, func() { t.Error("neither a message nor an end came"); s.Close() })
	defer deadline.Stop()
	for t.Context().Err() == nil {
		m, err := nextMessage(s)
		if err == nil && wanted(string(m)) {
			return true
		}
		if err == nil {
			continue
		}
		if t.Failed() {
			return false
		}
		s = c.Get(t, s.Last)
		if s.StatusCode == http.StatusNotFound {
			return false
		}
	}
	return false
}
