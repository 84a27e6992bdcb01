package sessionstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
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

// expired compares with the instance's clock, which may be wrong: it is a
// reason to ask Redis, nothing more.
func (r *Record) expired() bool { return !r.Expires.IsZero() && !time.Now().Before(r.Expires) }

// LoadFresh returns a session's record as it is in Redis now, bypassing the
// cache.
func (s *Store) LoadFresh(ctx context.Context, id string) (Record, error) {
	if !ValidID(id) {
		return Record{}, ErrNotFound
	}
	cmd := s.rdb.B().Hmget().Key(s.keys.Session(id)).Field(fields[:]...).Build()
	return s.record(id, s.rdb.Do(ctx, cmd))
}

func (s *Store) record(id string, result rueidis.RedisResult) (Record, error) {
	values, err := result.ToArray()
	if err != nil {
		return Record{}, redisx.Unavailable("load session", err)
	}
	return parseRecord(id, values)
}

// parseRecord reads a record from the values of fields, in their order. It is
// on the path of every request, so it reads the reply in place.
func parseRecord(id string, values []rueidis.RedisMessage) (Record, error) {
	var text [len(fields)]string
	if len(values) != len(text) {
		return Record{}, corrupt(errors.New("wrong number of fields"))
	}
	found := false
	for i := range values {
		if values[i].IsNil() {
			continue
		}
		var err error
		if text[i], err = values[i].ToString(); err != nil {
			return Record{}, corrupt(fmt.Errorf("field %s: %w", fields[i], err))
		}
		found = true
	}
	if !found {
		return Record{}, ErrNotFound
	}
	if text[fieldSchema] != schema {
		return Record{}, corrupt(fmt.Errorf("schema version %q, this instance knows %s", text[fieldSchema], schema))
	}
	created, err := parseTime(text[fieldCreated])
	if err != nil {
		return Record{}, corrupt(fmt.Errorf("field created: %w", err))
	}
	expires, err := parseTime(text[fieldExpires])
	if err != nil {
		return Record{}, corrupt(fmt.Errorf("field expires: %w", err))
	}
	r := Record{
		ID:              id,
		Owner:           text[fieldOwner],
		ProtocolVersion: text[fieldVersion],
		Initialized:     text[fieldInitialized] == "1",
		LogLevel:        mcp.LoggingLevel(text[fieldLevel]),
		Created:         created,
		Expires:         expires,
		Position:        text[fieldPosition],
		Legacy:          text[fieldLegacy] == "1",
	}
	// Copies: the text is the cache's.
	if params := text[fieldParams]; params != "" {
		r.InitializeParams = json.RawMessage(params)
	}
	if caps := text[fieldServer]; caps != "" {
		r.ServerCapabilities = json.RawMessage(caps)
	}
	return r, nil
}

func corrupt(err error) error { return fmt.Errorf("unusable session record: %w", err) }

// parseTime reads milliseconds since 1970; zero is no time.
func parseTime(ms string) (time.Time, error) {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	return timeOf(n), nil
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
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

	mu    sync.RWMutex
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

// expire drops what is over.
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
