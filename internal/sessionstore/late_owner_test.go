package sessionstore

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// The place of a session is renewed by a command of its own, after the session.
func TestALateOwnerRefreshChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := redistest.NewBubble(t)
		link := b.Link()
		s, err := NewStore(&Options{Redis: link.Client(t), SessionTTL: time.Minute, SessionsPerUser: 10})
		if err != nil {
			t.Fatal(err)
		}
		b.Late(t, link, func(t *testing.T) func() error {
			id := NewID()
			if _, err := s.reserve(t.Context(), "alice", id); err != nil {
				t.Fatal(err)
			}
			return func() error {
				_, err := ownerRefresh.Exec(context.Background(), s.rdb, []string{s.keys.OwnerSessions("alice")}, id, redisx.Millis(time.Hour))
				return err
			}
		})
	})
}
