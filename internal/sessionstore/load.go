package sessionstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Load returns a session's record, from the client-side cache if it is there.
// The record may be stale, by [Options.CacheTTL] at most; usually it is not,
// because Redis notifies the client of changes. So Load may still return a
// session that is gone, but it never returns [ErrNotFound] without having asked
// Redis. The caller may modify the record it gets.
func (s *Store) Load(ctx context.Context, id string) (Record, error) {
	if !ValidID(id) {
		return Record{}, ErrNotFound
	}
	if s.ended.has(id) {
		return s.LoadFresh(ctx, id)
	}
	cmd := s.rdb.B().Hmget().Key(s.keys.Session(id)).Field(fields[:]...).Cache().ToStaticTTL()
	r, err := s.record(id, s.rdb.DoCache(ctx, cmd, s.opts.CacheTTL))
	if errors.Is(err, ErrUnavailable) {
		return Record{}, err
	}
	if err != nil || r.expired() {
		return s.LoadFresh(ctx, id)
	}
	return r, nil
}

// LoadOwned is [Store.Load] for a request of owner. A session of another owner
// is not found: nobody can tell it from one that does not exist. A cached record
// is never a reason to refuse a request: the record is read again first.
//
// If server is not empty, a session that began with a server of another name is
// [ErrOtherServer], with its record. Records of older versions have no name.
func (s *Store) LoadOwned(ctx context.Context, id, owner, server string) (Record, error) {
	r, err := s.Load(ctx, id)
	if err == nil && r.Owner != owner {
		r, err = s.LoadFresh(ctx, id)
	}
	if err != nil {
		return Record{}, err
	}
	return r.ownedBy(owner, server)
}

// ownedBy returns a record to its owner, on a server of a name.
func (r Record) ownedBy(owner, server string) (Record, error) {
	switch {
	case r.Owner != owner:
		return Record{}, ErrNotFound
	case r.ServerName != "" && server != "" && r.ServerName != server:
		return r, ErrOtherServer
	default:
		return r, nil
	}
}

// LoadFresh returns a session's record as it is in Redis now, bypassing the
// cache.
func (s *Store) LoadFresh(ctx context.Context, id string) (Record, error) {
	if !ValidID(id) {
		return Record{}, ErrNotFound
	}
	cmd := s.rdb.B().Hmget().Key(s.keys.Session(id)).Field(fields[:]...).Build()
	return s.record(id, s.rdb.Do(ctx, cmd))
}

// Forget makes [Store.Load] bypass the cache for a session until no cached
// record of it can be older than this call. Call it on learning that a session
// has ended. It does no I/O.
func (s *Store) Forget(id string) { s.ended.add(id) }

// maxForgotten bounds the ids that a store remembers, to about 2 MB.
const maxForgotten = 16 << 10

// forgotten remembers each id for a fixed time. With too many of them it
// remembers every id instead: slower for a while, never wrong.
type forgotten struct {
	keep  time.Duration
	start time.Time
	last  atomic.Int64 // end of the last id's time; spares Load the lock after it

	mu    sync.RWMutex             // guards all fields below
	until map[string]time.Duration // times are since start, so they only grow
	queue []forgottenID            // the oldest first
	all   time.Duration            // until when every id counts as remembered
}

type forgottenID struct {
	id    string
	until time.Duration
}

func newForgotten(keep time.Duration) *forgotten {
	return &forgotten{keep: keep, start: time.Now(), until: make(map[string]time.Duration)}
}

func (f *forgotten) add(id string) {
	now := time.Since(f.start)
	until := now + f.keep
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire(now)
	if len(f.queue) < maxForgotten {
		f.queue = append(f.queue, forgottenID{id, until})
		f.until[id] = until
	} else {
		f.all = until
	}
	f.last.Store(int64(until))
}

// expire drops the ids whose time is over. f.mu must be held.
func (f *forgotten) expire(now time.Duration) {
	for len(f.queue) > 0 && f.queue[0].until <= now {
		if oldest := f.queue[0]; f.until[oldest.id] == oldest.until {
			delete(f.until, oldest.id)
		}
		f.queue = f.queue[1:]
	}
}

func (f *forgotten) has(id string) bool {
	last := f.last.Load()
	if last == 0 {
		return false
	}
	now := time.Since(f.start)
	if now >= time.Duration(last) {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return now < f.until[id] || now < f.all
}
