package sessionstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A Pulse is what [Store.Touch] learns about a session.
type Pulse struct {
	// StandaloneNext is the offset of the next event of the session's
	// standalone stream, or zero if there was none yet.
	StandaloneNext int64
	// StandaloneReader is who reads that stream, empty if nobody does.
	StandaloneReader string
}

// Touch keeps a session and all its keys, with the state and log of the given
// streams, alive for another TTL. Call it for a session in use, once per
// [Store.TouchEvery]. It does not prolong an absolute lifetime.
func (s *Store) Touch(ctx context.Context, id string, streams ...string) (Pulse, error) {
	if !ValidID(id) {
		return Pulse{}, ErrNotFound
	}
	touched := s.sessionKeys(id)
	for _, stream := range streams {
		touched = append(touched, s.keys.Stream(id, stream), s.keys.Log(id, stream))
	}
	reply, err := sessionTouch.Exec(ctx, s.rdb, touched, append([]string{redisx.Millis(s.kept())}, streams...)...)
	if err != nil {
		return Pulse{}, err
	}
	if reply.IsNil() {
		return Pulse{}, ErrNotFound
	}
	parts, err := reply.AsStrSlice()
	if err != nil || len(parts) != 4 {
		return Pulse{}, fmt.Errorf("touch session: unexpected reply %v", parts)
	}
	left, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return Pulse{}, fmt.Errorf("touch session: time left: %w", err)
	}
	next, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return Pulse{}, fmt.Errorf("touch session: next event of the standalone stream: %w", err)
	}
	s.refresh(ctx, parts[2], id, time.Duration(left)*time.Millisecond)
	return Pulse{next, parts[3]}, nil
}

// sessionKeys returns the keys that every session may have, in the order that
// the scripts expect.
func (s *Store) sessionKeys(id string) []string {
	return []string{
		s.keys.Session(id),
		s.keys.Values(id),
		s.keys.OpenStreams(id),
		s.keys.EndedStreams(id),
		s.keys.Stream(id, rediskeys.Standalone),
		s.keys.Log(id, rediskeys.Standalone),
		s.keys.Subscriptions(id),
		s.keys.Stored(id),
	}
}
