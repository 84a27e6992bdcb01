package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// The sessions of an owner are counted in another slot than the sessions
// themselves, so no script covers both. A place is taken while the session is
// created, before anybody knows its id, and given back after it is gone; a crash in
// between leaves it taken until it expires. Whether the session exists does not depend on the count: so
// release and refresh return no error.

// counts reports whether the sessions of owner are counted.
func (s *Store) counts(owner string) bool { return s.opts.SessionsPerUser > 0 && owner != "" }

// createCounted creates a session and counts it among its owner's, at the same time:
// its client waits for both. What turns out to be in vain is taken back.
func (s *Store) createCounted(ctx context.Context, r Record) (Record, error) {
	type creation struct {
		r   Record
		err error
	}
	creating := make(chan creation, 1)
	go func() {
		created, err := s.create(ctx, r)
		creating <- creation{created, err}
	}()
	reserved, err := s.reserve(ctx, r.Owner, r.ID)
	c := <-creating
	switch {
	case err != nil && c.err == nil && !silent(err):
		s.rdb.Do(ctx, s.rdb.B().Del().Key(s.keys.Session(r.ID)).Build()) // nobody knows its id
	case err == nil && c.err != nil && reserved && !silent(c.err):
		s.release(ctx, r.Owner, r.ID)
	}
	if err == nil {
		err = c.err
	}
	if err != nil {
		return Record{}, err
	}
	return c.r, nil
}

// reserve counts a session among its owner's. It reports whether the place is this
// call's to give back.
func (s *Store) reserve(ctx context.Context, owner, id string) (bool, error) {
	kept := s.kept()
	if s.opts.SessionLifetime > 0 {
		kept = min(kept, s.opts.SessionLifetime)
	}
	reply, err := ownerReserve.Exec(ctx, s.rdb, []string{s.keys.OwnerSessions(owner)},
		id, redisx.Millis(kept), strconv.Itoa(s.opts.SessionsPerUser))
	if err != nil {
		return false, err
	}
	n, err := reply.AsInt64()
	if err != nil {
		return false, fmt.Errorf("reserve a session of the owner: unexpected reply: %w", err)
	}
	if n == 0 {
		return false, fmt.Errorf("sessions of one owner, %d are allowed: %w", s.opts.SessionsPerUser, ErrTooMany)
	}
	return n == 1, nil
}

// release gives back the place of a session that was not created.
func (s *Store) release(ctx context.Context, owner, id string) {
	s.rdb.Do(ctx, s.releaseCommand(owner, id))
}

// silent reports whether err says that Redis did not answer at all: then the
// session may be there, and another command would only wait as long.
func silent(err error) bool {
	var reply *rueidis.RedisError
	return errors.Is(err, ErrUnavailable) && !errors.As(err, &reply)
}

func (s *Store) releaseCommand(owner, id string) rueidis.Completed {
	return s.rdb.B().Zrem().Key(s.keys.OwnerSessions(owner)).Member(id).Build()
}

// refresh keeps the place of a session that lives on.
func (s *Store) refresh(ctx context.Context, owner, id string, left time.Duration) {
	if s.counts(owner) {
		_, _ = ownerRefresh.Exec(ctx, s.rdb, []string{s.keys.OwnerSessions(owner)}, id, redisx.Millis(left))
	}
}
