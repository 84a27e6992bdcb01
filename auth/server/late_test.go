package server

import (
	"context"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// stores are what the scripts change.
type stores struct {
	grants   *grants
	sessions *authSessions
}

// Each script is sent, and executed only after its caller has given it up.
func TestALateGrantScriptChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	newCode := func(t *testing.T, s stores) credential {
		code, err := s.grants.create(ctx, grant{Client: "client", Subject: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	newTokens := func(t *testing.T, s stores) tokens {
		got, err := s.grants.redeem(ctx, newCode(t, s), grant{}, access{}, true)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	begin := func(t *testing.T, s stores) browserBinding {
		b, err := s.sessions.create(ctx, authSession{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	location := &url.URL{Scheme: "https", Host: "upstream.test"}
	for name, prepare := range map[string]func(t *testing.T, s stores) func() error{
		"grant_create": func(_ *testing.T, s stores) func() error {
			return func() error { _, err := s.grants.create(ctx, grant{}); return err }
		},
		"grant_issue": func(_ *testing.T, s stores) func() error {
			return func() error { _, err := s.grants.issue(ctx, grant{}, access{}); return err }
		},
		"grant_redeem": func(t *testing.T, s stores) func() error {
			code := newCode(t, s)
			return func() error { _, err := s.grants.redeem(ctx, code, grant{}, access{}, true); return err }
		},
		"grant_refresh": func(t *testing.T, s stores) func() error {
			token := newTokens(t, s).refresh
			return func() error { _, err := s.grants.refresh(ctx, token, grant{}, access{}); return err }
		},
		"grant_revoke": func(t *testing.T, s stores) func() error {
			token := newTokens(t, s).refresh
			return func() error { _, err := s.grants.revokeRefresh(ctx, token); return err }
		},
		"authsession_create": func(_ *testing.T, s stores) func() error {
			return func() error { _, err := s.sessions.create(ctx, authSession{}); return err }
		},
		"authsession_approve": func(t *testing.T, s stores) func() error {
			b := begin(t, s)
			return func() error { _, _, err := s.sessions.approve(ctx, b, "state", location, nil); return err }
		},
		"authsession_deny": func(t *testing.T, s stores) func() error {
			b := begin(t, s)
			return func() error { return s.sessions.deny(ctx, b) }
		},
		"authsession_finish": func(t *testing.T, s stores) func() error {
			b := begin(t, s)
			if _, _, err := s.sessions.approve(ctx, b, "state", location, nil); err != nil {
				t.Fatal(err)
			}
			return func() error { _, _, err := s.sessions.finish(ctx, b.session, b.cookie, "state"); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				s := lateStores(t, link)
				b.Late(t, link, func(t *testing.T) func() error { return prepare(t, s) })
			})
		})
	}
}

func lateStores(t *testing.T, link *redistest.Link) stores {
	space, err := rediskeys.New(redistest.NewPrefix())
	if err != nil {
		t.Fatal(err)
	}
	o := &Options{CacheTTL: time.Second, CodeTTL: time.Minute, AccessTokenTTL: time.Hour, RefreshTokenTTL: time.Hour, RefreshGrace: 10 * time.Second}
	rdb := redisx.New(link.Client(t), 0)
	return stores{newGrants(rdb, space, o), &authSessions{rdb, space, time.Minute}}
}

// A use of a refresh token that failed because Redis hung, and was repeated with
// success, revokes nothing when Redis executes it after the grace.
func TestALateRefreshRevokesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := redistest.NewBubble(t)
		link := b.Link()
		s := lateStores(t, link)
		code, err := s.grants.create(ctx, grant{Client: "client"})
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.grants.redeem(ctx, code, grant{}, access{}, true)
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.grants.refresh(ctx, first.refresh, grant{}, access{})
		if err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		if _, err := s.grants.refresh(ctx, second.refresh, grant{}, access{}); err == nil {
			t.Fatal("a refresh succeeded without Redis")
		}
		link.Overtake()
		third, err := s.grants.refresh(ctx, second.refresh, grant{}, access{})
		for err != nil { // the connection has to be made anew
			third, err = s.grants.refresh(ctx, second.refresh, grant{}, access{})
		}
		time.Sleep(time.Minute)
		link.Deliver()
		time.Sleep(time.Millisecond)
		if _, err := s.grants.refresh(ctx, third.refresh, grant{}, access{}); err != nil {
			t.Errorf("the next refresh: %v", err)
		}
	})
}

// A use of a replaced refresh token, after the grace, that failed because Redis hung
// does not replace the unused successor when Redis executes it late: that would be
// one that its client has been told of since.
func TestALateRefreshReplacesNoSuccessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := redistest.NewBubble(t)
		link := b.Link()
		s := lateStores(t, link)
		code, err := s.grants.create(ctx, grant{Client: "client"})
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.grants.redeem(ctx, code, grant{}, access{}, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.grants.refresh(ctx, first.refresh, grant{}, access{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		link.Freeze()
		if _, err := s.grants.refresh(ctx, first.refresh, grant{}, access{}); err == nil {
			t.Fatal("a refresh succeeded without Redis")
		}
		link.Overtake()
		again, err := s.grants.refresh(ctx, first.refresh, grant{}, access{})
		for err != nil { // the connection has to be made anew
			again, err = s.grants.refresh(ctx, first.refresh, grant{}, access{})
		}
		time.Sleep(time.Minute)
		link.Deliver()
		time.Sleep(time.Millisecond)
		if _, err := s.grants.refresh(ctx, again.refresh, grant{}, access{}); err != nil {
			t.Errorf("the successor: %v", err)
		}
	})
}
