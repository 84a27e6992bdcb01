package sessionstore

import (
	"context"
	"errors"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// SetInitialized is [Store.LoadOwned] for notifications/initialized: with the same
// command it records that the notification has arrived. It returns the record as it
// was before, from Redis. first is true for the first call for a session, on whatever
// instance, and false for all others. If no handler of the notification runs after
// that, call [Store.UnsetInitialized].
//
// httpSSE says of which transport the session is; one of the other is left as it is.
// After [ErrUnavailable] the call may have been the first.
func (s *Store) SetInitialized(ctx context.Context, id, owner, server string, httpSSE bool) (r Record, first bool, err error) {
	args := append([]string{owner, server, redisx.Flag(httpSSE)}, fields[:]...)
	reply, err := s.update(ctx, sessionInitialize, id, args...)
	if err != nil {
		return Record{}, false, err
	}
	values, err := reply.ToArray()
	if err != nil || len(values) == 0 {
		return Record{}, false, corrupt(errors.New("unexpected reply"))
	}
	if r, err = parseRecord(id, values[1:]); err == nil {
		r, err = r.ownedBy(owner, server)
	}
	n, _ := values[0].AsInt64() // the script says 1 or 0
	return r, n == 1, err
}

// UnsetInitialized takes back what [Store.SetInitialized] has recorded, as far as Redis
// can be reached: no handler has seen the notification, so another is to be the first.
func (s *Store) UnsetInitialized(ctx context.Context, id string) {
	s.rdb.Do(ctx, s.rdb.B().Hdel().Key(s.keys.Session(id)).Field(fields[fieldInitialized]).Build())
}
