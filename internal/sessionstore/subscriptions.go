package sessionstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Subscribe subscribes a session to a resource, from a position on the bus on.
// If the session already is subscribed, the older position stays. It returns
// the reader of the session's standalone stream, which has to be told, or "" if
// there is none. It fails with [ErrTooMany] if the session has too many
// subscriptions and with [ErrTooLarge] for a URI longer than 8 KiB.
func (s *Store) Subscribe(ctx context.Context, id, uri, position string) (reader string, err error) {
	if len(uri) > MaxURI {
		return "", fmt.Errorf("subscribe to a URI of %d bytes: %w", len(uri), ErrTooLarge)
	}
	return s.subscription(ctx, subscriptionAdd, id, uri, position, strconv.Itoa(s.opts.MaxSubscriptions))
}

// Unsubscribe ends a session's subscription, if there is one, and returns the
// reader of the session's standalone stream, or "".
func (s *Store) Unsubscribe(ctx context.Context, id, uri string) (reader string, err error) {
	return s.subscription(ctx, subscriptionRemove, id, uri)
}

// MaxURI bounds the URI of a resource, in bytes: a longer one can be neither
// subscribed to nor updated.
const MaxURI = 8 << 10

func (s *Store) subscription(ctx context.Context, script *redisx.Script, id string, args ...string) (reader string, err error) {
	if !ValidID(id) {
		return "", ErrNotFound
	}
	reply, err := script.Exec(ctx, s.rdb,
		[]string{s.keys.Session(id), s.keys.Subscriptions(id), s.keys.Stream(id, rediskeys.Standalone)}, args...)
	if err != nil {
		return "", err
	}
	if reply.IsNil() {
		return "", ErrNotFound
	}
	parts, err := reply.AsStrSlice()
	if err != nil || len(parts) != 2 {
		return "", fmt.Errorf("subscription: unexpected reply %v", parts)
	}
	if parts[0] == "0" {
		return "", fmt.Errorf("more than %d subscriptions: %w", s.opts.MaxSubscriptions, ErrTooMany)
	}
	return parts[1], nil
}

// Subscriptions returns the URIs of the resources that a session is subscribed
// to, each with the position on the bus from which its updates count. A session
// that does not exist has none. One whose subscriptions Redis has lost ends, and is
// not found.
func (s *Store) Subscriptions(ctx context.Context, id string) (map[string]string, error) {
	if !ValidID(id) {
		return nil, ErrNotFound
	}
	replies := s.rdb.DoMulti(ctx,
		s.rdb.B().Hgetall().Key(s.keys.Subscriptions(id)).Build(),
		s.rdb.B().Hget().Key(s.keys.Session(id)).Field(subscribed).Build())
	subs, err := replies[0].AsStrMap()
	if err != nil {
		return nil, redisx.Unavailable("load subscriptions", err)
	}
	flag, err := replies[1].ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		return nil, redisx.Unavailable("load subscriptions", err)
	}
	if flag == "1" && len(subs) == 0 { // lost, or removed in between
		if _, err := s.Touch(ctx, id); err != nil {
			return nil, err
		}
	}
	return subs, nil
}

// subscribed is the field of the record that is 1 while there are subscriptions.
const subscribed = "subscribed"

// MissSubscriptions returns those of the sessions, all of which are subscribed to
// something, whose subscriptions are not there.
func (s *Store) MissSubscriptions(ctx context.Context, ids []string) (missing []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	cmds := make(rueidis.Commands, 0, len(ids))
	for _, id := range ids {
		cmds = append(cmds, s.rdb.B().Exists().Key(s.keys.Subscriptions(id)).Build())
	}
	for i, reply := range s.rdb.DoMulti(ctx, cmds...) {
		n, err := reply.AsInt64()
		if err != nil {
			return nil, redisx.Unavailable("look for subscriptions", err)
		}
		if n == 0 {
			missing = append(missing, ids[i])
		}
	}
	return missing, nil
}
