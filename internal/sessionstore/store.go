package sessionstore

import (
	"context"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A Store stores the sessions of a fleet. It is safe for concurrent use and
// needs no closing.
//
// Every method that takes the id of a session fails with [ErrNotFound] if there
// is no such session, including ids of the wrong form (see [ValidID]), and with
// [ErrUnavailable] if Redis does not confirm a command within
// [Options.RedisTimeout]. Methods do not stop when their context ends: a change
// given up half-way would have an unknown outcome for no gain.
type Store struct {
	rdb    redisx.Client
	keys   rediskeys.Space
	opts   Options
	ended  *forgotten
	secret secret
}

// NewStore returns a store of the sessions in opts.Redis. It does no I/O: if
// Redis is unavailable, the first call of a method fails.
func NewStore(opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	o := opts.withDefaults()
	space, err := rediskeys.New(o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("Options.Prefix: %w", err)
	}
	return &Store{
		rdb:  redisx.New(o.Redis, o.RedisTimeout),
		keys: space,
		opts: o,
		// A read that was under way when the session ended may still fill the
		// cache, so its time is added.
		ended:  newForgotten(o.CacheTTL + o.RedisTimeout),
		secret: secret{asking: make(chan struct{}, 1)},
	}, nil
}

// Clock returns the store's estimate of Redis's clock.
func (s *Store) Clock() *redisx.Clock { return s.rdb.Clock }

// TTL returns how long an unused session lives.
func (s *Store) TTL() time.Duration { return s.opts.SessionTTL }

// TouchEvery returns how long a session in use may go without [Store.Touch].
func (s *Store) TouchEvery() time.Duration { return s.opts.SessionTTL / 4 }

// kept returns how long Redis keeps an untouched session: longer than the TTL
// by as much as the last touch may be older than the last use.
func (s *Store) kept() time.Duration { return s.opts.SessionTTL + s.TouchEvery() }

// Create stores a new session. It gives r an id if it has none, and sets
// Created and Expires. It fails with [ErrTooLarge] if r's params are larger
// than allowed, [ErrTooMany] if its owner has too many sessions and
// [ErrExists] if there is a session with its id.
//
// After [ErrUnavailable] the session may exist; nobody knows its id, so it
// expires unused.
func (s *Store) Create(ctx context.Context, r Record) (Record, error) {
	if r.ID == "" {
		r.ID = NewID()
	}
	if !ValidID(r.ID) {
		return Record{}, fmt.Errorf("create session: id %q is not a lower-case version 4 UUID", r.ID)
	}
	if n := len(r.InitializeParams); n > s.opts.MaxInitialize {
		return Record{}, fmt.Errorf("create session: initialize params of %d bytes, %d are allowed: %w", n, s.opts.MaxInitialize, ErrTooLarge)
	}
	if err := checkLevel(r.LogLevel); err != nil {
		return Record{}, err
	}
	if !s.counts(r.Owner) {
		return s.create(ctx, r)
	}
	return s.createCounted(ctx, r)
}

func (s *Store) create(ctx context.Context, r Record) (Record, error) {
	args := append([]string{redisx.Millis(s.kept()), redisx.Millis(s.opts.SessionLifetime)}, r.arguments()...)
	reply, err := sessionCreate.Exec(ctx, s.rdb, []string{s.keys.Session(r.ID)}, args...)
	if err != nil {
		return Record{}, err
	}
	if reply.IsNil() {
		return Record{}, ErrExists
	}
	times, err := reply.AsIntSlice()
	if err != nil || len(times) != 2 {
		return Record{}, fmt.Errorf("create session: unexpected reply %v", times)
	}
	r.Created, r.Expires = timeOf(times[0]), timeOf(times[1])
	return r, nil
}

// maxLevel bounds a log level. Its meaning is the SDK's business, its size ours.
const maxLevel = 32

// SetLogLevel stores the log level that the session's client has set. It fails
// with [ErrTooLarge] if level is longer than any log level.
func (s *Store) SetLogLevel(ctx context.Context, id string, level mcp.LoggingLevel) error {
	if err := checkLevel(level); err != nil {
		return err
	}
	_, err := s.update(ctx, levelSet, id, string(level))
	return err
}

func checkLevel(level mcp.LoggingLevel) error {
	if len(level) > maxLevel {
		return fmt.Errorf("log level of %d bytes: %w", len(level), ErrTooLarge)
	}
	return nil
}

// LogLevel returns the session's log level as it is in Redis now, or "" if its
// client has set none.
func (s *Store) LogLevel(ctx context.Context, id string) (mcp.LoggingLevel, error) {
	if !ValidID(id) {
		return "", ErrNotFound
	}
	cmd := s.rdb.B().Hget().Key(s.keys.Session(id)).Field(fields[fieldLevel]).Build()
	level, err := s.rdb.Do(ctx, cmd).ToString()
	switch {
	case rueidis.IsRedisNil(err): // a record always has the field
		return "", ErrNotFound
	case err != nil:
		return "", redisx.Unavailable("read log level", err)
	}
	return mcp.LoggingLevel(level), nil
}

// update runs a script that changes the record of a session. It fails with
// [ErrNotFound] if the script returns nil, which means that there is no record.
func (s *Store) update(ctx context.Context, script *redisx.Script, id string, args ...string) (rueidis.RedisMessage, error) {
	if !ValidID(id) {
		return rueidis.RedisMessage{}, ErrNotFound
	}
	reply, err := script.Exec(ctx, s.rdb, []string{s.keys.Session(id)}, args...)
	if err == nil && reply.IsNil() {
		err = ErrNotFound
	}
	return reply, err
}
