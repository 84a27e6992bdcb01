package session

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// A Store is the sessions of a fleet. It is safe for concurrent use and needs
// no closing.
//
// Every method that takes the id of a session fails with [ErrNotFound] if there
// is no such session, including ids of the wrong form, and with
// [ErrUnavailable] if Redis does not confirm a command within
// [Options.RedisTimeout]. Methods do not stop when their context ends: a change
// given up half-way would have an unknown outcome for no gain.
//
// Packages mcp and transport convert the store that they serve sessions from to
// this type, whose methods are those that an application needs.
type Store sessionstore.Store

// Options configure [NewStore]. Only Redis is required; the zero value of any
// other field means its default.
type Options struct {
	// Redis is a client of the fleet's Redis, which must send its reads to
	// primaries. The caller keeps ownership and closes it.
	Redis rueidis.Client
	// Prefix is the fleet's, the first part of every key. If empty, "mcp".
	Prefix string
	// CacheTTL bounds how stale a record from [Store.Load] may be. If zero,
	// 5 seconds; values under 1 millisecond are an error. To read without a
	// cache, give the client rueidis.ClientOption.DisableCache.
	CacheTTL time.Duration
	// MaxValue bounds one of a session's [Values], as JSON, in bytes. If zero,
	// 64 KiB.
	MaxValue int
	// MaxValues bounds the number of a session's [Values]. If zero, 64.
	MaxValues int
	// RedisTimeout bounds each call to Redis. If zero, 2 seconds; values under
	// 1 millisecond are an error.
	RedisTimeout time.Duration
}

// NewStore returns the sessions of the fleet with the given Redis and prefix. After a
// use by such a store, the [Values] of users without sessions live for 5 minutes, or
// for as long as they would have. It fails if an option is invalid. It does no I/O: if Redis is unavailable, the
// first call of a method fails.
//
// A program that serves the sessions needs no store of its own, unless it wants
// other bounds for its [Values]; see the package documentation.
func NewStore(opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	store, err := sessionstore.NewStore(&sessionstore.Options{
		Redis: opts.Redis, Prefix: opts.Prefix, CacheTTL: opts.CacheTTL,
		MaxValue: opts.MaxValue, MaxValues: opts.MaxValues, RedisTimeout: opts.RedisTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return (*Store)(store), nil
}

// A Record is what is stored of one session.
type Record struct {
	// ID is the session's id, as in the Mcp-Session-Id header.
	ID string
	// Owner is the user that the session belongs to (TokenInfo.UserID of who
	// began it), or empty without authentication.
	Owner string
	// ProtocolVersion is the version that client and server agreed on. It is
	// empty while a session of the HTTP+SSE transport has not been initialized.
	ProtocolVersion string
	// InitializeParams are the parameters of the initialize request as the client
	// sent them: its name, version and capabilities. Those of more than 16 KiB are
	// without its icons.
	InitializeParams json.RawMessage
	// Initialized reports whether notifications/initialized has arrived.
	Initialized bool
	// Created is when the session began, by Redis's clock.
	Created time.Time
	// Expires is when the session ends even if it is in use, by Redis's clock, or
	// zero if it does not. A session that is not in use ends earlier.
	Expires time.Time
}

// Load returns a session's record, from the client-side cache if it is there.
// The record may be stale, by [Options.CacheTTL] at most; usually it is not,
// because Redis notifies the client of changes. So Load may still return a
// session that is gone, but it never returns [ErrNotFound] without having asked
// Redis. It does not count as use of the session.
func (s *Store) Load(ctx context.Context, id string) (Record, error) {
	return record(s.internal().Load(ctx, id))
}

// LoadFresh returns a session's record as it is in Redis now: for decisions
// that must not rest on a stale record. It does not count as use of the session.
func (s *Store) LoadFresh(ctx context.Context, id string) (Record, error) {
	return record(s.internal().LoadFresh(ctx, id))
}

// Delete ends a session. When it returns nil, nothing can bring the session
// back, and its record, values and undelivered messages are deleted. This store
// does not load it any more. Other instances may accept requests for it for
// their CacheTTL at most; calls that run and streams that are open end within about a
// quarter of the fleet's SessionTTL.
//
// If Redis fails between the two steps this takes, some undelivered messages
// remain until they expire; nobody can read them.
func (s *Store) Delete(ctx context.Context, id string) error {
	return s.internal().Delete(ctx, id)
}

func (s *Store) internal() *sessionstore.Store { return (*sessionstore.Store)(s) }

func record(r sessionstore.Record, err error) (Record, error) {
	if err != nil {
		return Record{}, err
	}
	return Record{
		ID:               r.ID,
		Owner:            r.Owner,
		ProtocolVersion:  r.ProtocolVersion,
		InitializeParams: r.InitializeParams,
		Initialized:      r.Initialized,
		Created:          r.Created,
		Expires:          r.Expires,
	}, nil
}
